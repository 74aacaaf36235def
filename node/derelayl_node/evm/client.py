"""The ledger port on an EVM chain: web3 in threads, an outbox under every command."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import trio
from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.commands import REPEATABLE, Command, Deposit
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.state import CheckpointRecord, ModelState, RoundView, Unbonding
from derelayl_protocol.spelling import exact_tokens
from derelayl_protocol.types import Address, ModelId, Root, Timestamp, Wei

from ..kept import kept_folder
from ..keys import NodeKey
from ..ports import AccountView, BlockRef, LedgerUnavailable, LogBatch
from ..settings import DEFAULT_MAX_FEE_GWEI, ChainAccess, Network, chain_access
from .codec import INSUFFICIENT_ALLOWANCE, Codec
from .deploy import NetworkAddresses, artifact
from .event_log import EventLog
from .fees import TooDear
from .names import NameIndex
from .one_block import at_fresh_head
from .outbox import IntentState, Outbox, command_key
from .provider import DEFAULT_TIMEOUT_S, CallReverted, Receipt, Rpc, open_chain
from .sender import Displaced, OutOfGas, Sender

log = logging.getLogger(__name__)

T = TypeVar("T")

log = logging.getLogger(__name__)

_run_sync: Any = trio.to_thread.run_sync
"""Untyped, because the stubs that another dependency installs are older than its `abandon_on_cancel`."""

MAX_CALLS = 8
"""Requests to the chain at once: keeps threads few and the embedded chain's queue short."""

READ_DEADLINE_S = 60.0
"""Seconds for one read: three requests' timeouts."""

LOGS_DEADLINE_S = 180.0
"""Seconds for one piece of the log: an answer is cut after `BATCH_SECONDS`, and a slow node needs more for the
few requests before and after."""

SAY_EVERY_S = 5.0
"""Seconds between two words on how far a long reading is."""

SEND_DEADLINE_S = 180.0
"""Seconds for a command to be mined: a dozen blocks of a usual chain; it stays in the outbox beyond."""

SILENCE_S = 30.0
"""Seconds without an answer after which waiting for a transaction ends: a node restarts in fewer."""

FIRST_POLL_S, LAST_POLL_S, POLL_GROWTH = 0.02, 1.0, 1.5
"""Seconds between two looks for a receipt, from the first to the last, and the factor between them: the embedded chain
mines within a second, others within many."""


class EvmLedger:
    """The ledger as one account sees it, on any EVM chain. Implements `ports.Ledger` and `ports.Registry`.

    Use it from one trio run.
    """

    def __init__(
        self,
        rpc: Rpc,
        key: NodeKey,
        addresses: NetworkAddresses,
        outbox: Outbox,
        clock: Callable[[], float] = time.time,
        max_fee_gwei: float = DEFAULT_MAX_FEE_GWEI,
    ) -> None:
        """Wire up; makes no request. `open_ledger` does that too and checks the chain."""
        self._rpc, self._key, self._addresses, self._outbox = rpc, key, addresses, outbox
        self._contract = addresses.ledger.address
        self._codec = Codec(artifact("RelayLedger")["abi"])
        self._log = EventLog(rpc, self._codec, self._contract, addresses.start_block)
        self._names = NameIndex(rpc, self._codec, self._contract, addresses.start_block)
        self._sender = Sender(rpc, key, outbox, addresses.ledger.chain_id, clock, max_fee_gwei)
        self._limiter = trio.CapacityLimiter(MAX_CALLS)
        self._depositing = trio.Lock()
        self._rounds: dict[ModelId, tuple[bytes, RoundView]] = {}  # by the head at which each was read

    @property
    def account(self) -> Address:
        """The account that `send` signs for."""
        return self._key.address

    @property
    def addresses(self) -> NetworkAddresses:
        """Where the ledger is."""
        return self._addresses

    # --- the port ---------------------------------------------------------------------------------------------------

    async def send(self, command: Command, key: str | None = None, *, cover: Wei | None = None) -> tuple[Event, ...]:
        """Have the command executed once and return its events, also when called again after a crash.

        `key` names the intent: the same key is never executed twice. Without one the command's content is the key, and
        what may be meant twice with the same content (`commands.REPEATABLE`: deposits, stakes, …) gives it back once
        its events have been returned: what a crash cut off is finished by whoever asks for the same again.
        Where the ledger finds too little free balance, what is missing to `cover` is deposited first, as a part of
        the same intent. Raises RuleViolation when the ledger refuses it, LedgerUnavailable; after the latter the same
        key may be used again, whatever has happened.
        """
        intent = command_key(command) if key is None else key
        passing = key is None and type(command) in REPEATABLE
        if passing and await self._thread(self._outbox.find, intent) is not None:
            log.warning(
                "%s was sent before by somebody who did not live to see its outcome, which is told now: "
                "send it again to do it twice", type(command).__name__,
            )  # fmt: skip
        events = await self._covered(intent, command, cover)
        if passing:
            await self._thread(self._outbox.release, intent)
        return events

    async def settle(self) -> int:
        """Wait until nothing that this account has signed is on its way; returns how many intents were.

        Raises LedgerUnavailable when some still are after SEND_DEADLINE_S.
        """
        found: int | None = None
        poll = FIRST_POLL_S
        with trio.move_on_after(SEND_DEADLINE_S):
            while pending := await self._thread(self._pending):
                found = found or pending
                await trio.sleep(poll)
                poll = min(POLL_GROWTH * poll, LAST_POLL_S)
            return found or 0
        raise LedgerUnavailable(
            f"{self.account} has sent {found} transactions that the chain did not take within {SEND_DEADLINE_S:.0f} s: "
            "they stay in the outbox, try again."
        )

    async def round(self, model: ModelId) -> RoundView:
        """The running round. Raises RuleViolation(UNKNOWN_MODEL).

        It is asked for at every poll: while there is no new block, the last answer stands and costs the chain no call
        of the contract.
        """
        return await at_fresh_head(partial(self._thread, self._round, model))

    async def logs(self, known: Sequence[BlockRef]) -> LogBatch:
        """What follows the newest block of `known` on the canonical chain. Raises AnotherChain.

        What this account had sent in blocks that the chain took back is sent again: nobody's pool need have kept it.
        """
        batch = await self._thread(self._log.next_batch, known, deadline=LOGS_DEADLINE_S)
        if known and batch.keep_through < known[-1].number:
            await self.catch_up()
        return batch

    async def rules(self, model: ModelId) -> Rules:
        """The model's rules. Raises RuleViolation(UNKNOWN_MODEL)."""
        return self._codec.rules((await self._view("modelOf", model))[0])

    async def checkpoint(self, model: ModelId, root: Root) -> CheckpointRecord | None:
        """An accepted checkpoint, None if the ledger has none of this root. Raises RuleViolation(UNKNOWN_MODEL)."""
        return self._codec.checkpoint(await self._view("checkpointOf", model, root))

    async def stake(self, model: ModelId, account: Address) -> Wei | None:
        """What the account has bonded, None if nothing shows that it ever did. Raises RuleViolation(UNKNOWN_MODEL)."""
        if bonded := await self._view("stakeOf", model, account):
            return Wei(bonded)
        unbonding, _ = await self._view("unbondingOf", model, account)
        validators = await self._view("validatorsOf", model)  # those who lost everything too
        return Wei(0) if unbonding or account in (each.lower() for each in validators) else None

    async def free(self, account: Address) -> Wei:
        """An account's withdrawable balance in the ledger."""
        return Wei(await self._view("freeOf", account))

    async def access(self, model: ModelId, root: Root, account: Address) -> bool:
        """Whether the account may fetch a checkpoint's weights. Raises RuleViolation(UNKNOWN_MODEL)."""
        return bool(await self._view("accessOf", model, root, account))

    # --- beyond the port --------------------------------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Send again what was signed and the chain does not have: after a restart, or a reorganisation."""
        await self._thread(self._sender.catch_up)

    async def account_view(self, address: Address) -> AccountView:
        """An account's tokens: in the wallet, free in the ledger, staked and unbonding."""
        await self._read_names()
        return await at_fresh_head(partial(self._thread, self._account_view, address))

    async def model(self, model: ModelId) -> ModelState:
        """Rules, budget, stakes, the checkpoints and what this account has unbonding, all of the same block.

        For commands: it reads the log from the ledger's first block on (see `names`), then makes a call for each
        checkpoint and validator. A chain cannot list who unbonds or has bought: `buyers` is empty.
        Raises RuleViolation(UNKNOWN_MODEL).
        """
        await self._read_names()
        return await at_fresh_head(partial(self._thread, self._model, model))

    async def model_at(self, model: ModelId, block: int) -> ModelState:
        """What `model` gave at the end of a block. Raises StateGone if the chain no longer has that block's state."""
        return await self._thread(self._model, model, block)

    async def view_at(self, block: int, name: str, *arguments: Any) -> Any:
        """What a view of the contract gave at the end of a block. Raises StateGone like `model_at`."""
        return await self._thread(self._read, name, arguments, block)

    async def tokens_at(self, block: int) -> Wei:
        """Tokens in the ledger's own wallet at the end of a block: all that it owes, and what was sent to it astray.

        Raises StateGone like `model_at`.
        """
        return await self._thread(self._wallet, self._contract, block)

    async def models(self) -> tuple[ModelId, ...]:
        """Models of the ledger in the order of their creation."""
        await self._read_names()
        return await self._thread(self._models)

    async def head(self) -> BlockRef:
        """The newest block."""
        return (await self._thread(self._rpc.head)).ref

    async def token_supply(self) -> Wei:
        """Tokens in existence, in wei: minted once, less what was burned."""
        return Wei(_uint(await self._thread(self._rpc.call, self._addresses.token, _token_call("totalSupply()"))))

    async def gas_balance(self, address: Address) -> int:
        """The account's coins for gas, in wei of the chain's own currency."""
        return await self._thread(self._rpc.balance, address)

    async def give(self, address: Address, token_wei: Wei, gas_wei: int, key: str | None = None) -> None:
        """Send tokens and coins for gas from this account's wallet to another; the same key gives only once.

        Without a key, as in `send`: a gift that a crash cut off is finished by whoever asks for the same again.

        Raises RuleViolation(INSUFFICIENT_BALANCE) for tokens that the wallet does not hold, LedgerUnavailable.
        """
        intent = f"give {address} {token_wei} {gas_wei}" if key is None else key
        if gas_wei:
            await self._execute(f"{intent}/gas", address, b"", gas_wei)
        if token_wei:
            transfer = _token_call("transfer(address,uint256)", address, token_wei)
            await self._execute(f"{intent}/token", self._addresses.token, transfer)
        if key is None:
            await self._thread(self._outbox.release, intent)

    def keep_names(self, file: Path) -> None:
        """Keep the names that commands read from the log in a file, and go on from it."""
        self._names.keep_in(file)

    def close(self) -> None:
        """Close the outbox; nothing that was signed is lost."""
        self._outbox.close()

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _covered(self, intent: str, command: Command, cover: Wei | None) -> tuple[Event, ...]:
        try:
            return await self._once(intent, command)
        except RuleViolation as refusal:
            if refusal.reason is not Reason.INSUFFICIENT_BALANCE or not cover:
                raise
        deposit = f"{intent}/deposit"
        held = await self._thread(self._outbox.find, deposit)
        try:
            missing = cover - await self.free(self.account)
            if missing > 0:
                await self._once(deposit, Deposit(Wei(missing)))
            return await self._once(intent, command)
        except RuleViolation as refusal:
            if held is not None and held.state is IntentState.MINED:  # its tokens went elsewhere: the next try may pay
                await self._thread(self._outbox.release, deposit)
            if refusal.reason is not Reason.INSUFFICIENT_BALANCE:
                raise
            raise RuleViolation(refusal.reason, await self._too_little(cover)) from refusal

    async def _too_little(self, cover: Wei) -> str:
        wallet, free = await self._thread(self._wallet, self.account), await self.free(self.account)
        return (
            f"{exact_tokens(cover)} tokens are needed, {self.account} has {exact_tokens(wallet)} in its wallet and "
            f"{exact_tokens(free)} free in the ledger"
        )

    async def _once(self, intent: str, command: Command) -> tuple[Event, ...]:
        data = self._codec.command(command)
        if isinstance(command, Deposit):
            async with self._depositing:
                await self._approve_if_needed(intent, command.amount, data)
                return self._events(await self._execute(intent, self._contract, data))
        return self._events(await self._execute(intent, self._contract, data))

    def _pending(self) -> int:
        self._sender.catch_up()
        return len(self._outbox.unsettled(self._rpc.nonce(self.account)))

    async def _execute(self, intent: str, to: Address, data: bytes, value: int = 0) -> Receipt:
        id_ = 0
        with trio.move_on_after(SEND_DEADLINE_S):
            id_ = (await self._attempt(self._sender.submit, intent, to, data, value)).id
            receipt = await self._mined(id_)
            if receipt.succeeded:
                return receipt
            # Accepted by the estimate, refused when mined: others came first. Now the reason shows.
            await self._attempt(partial(self._rpc.call, sender=self.account), to, data)
            raise LedgerUnavailable("The ledger refused a transaction that it would accept now: try again.")
        reason = f" ({said})" if (said := self._sender.reason(id_)) else ""
        raise LedgerUnavailable(
            f"A transaction was not mined within {SEND_DEADLINE_S:.0f} s{reason}: it stays in the outbox, try again."
        )

    async def _mined(self, id_: int) -> Receipt:
        """Wait for the receipt. A chain that is silent for a moment has not refused what is stored already."""
        poll, answered = FIRST_POLL_S, trio.current_time()
        while True:
            try:
                receipt = await self._thread(self._sender.outcome, id_)
                answered = trio.current_time()
            except (Displaced, OutOfGas, TooDear):
                raise
            except LedgerUnavailable:
                if trio.current_time() - answered > SILENCE_S:
                    raise
                receipt = None
            if receipt is not None:
                return receipt
            await trio.sleep(poll)
            poll = min(POLL_GROWTH * poll, LAST_POLL_S)

    async def _approve_if_needed(self, intent: str, amount: Wei, deposit: bytes) -> None:
        """Allow the ledger to take exactly `amount` if a deposit fails for the lack of it."""
        if await self._thread(self._outbox.find, intent) is not None:
            return
        try:
            await self._thread(partial(self._rpc.call, sender=self.account), self._contract, deposit)
        except CallReverted as error:
            if error.data[:4] != INSUFFICIENT_ALLOWANCE:
                raise self._refusal(error) from error
            wallet = await self._thread(self._wallet, self.account)
            if wallet < amount:
                raise RuleViolation(
                    Reason.INSUFFICIENT_BALANCE,
                    f"{exact_tokens(amount)} tokens are to be deposited, the wallet holds {exact_tokens(wallet)}",
                ) from error
            approval = _token_call("approve(address,uint256)", self._contract, amount)
            await self._execute(f"{intent}/approval", self._addresses.token, approval)
            # Allowing twice moves nothing; held on, the key would keep an allowance from being given anew.
            await self._thread(self._outbox.release, f"{intent}/approval")

    async def _attempt(self, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return await self._thread(function, *arguments)
        except CallReverted as error:
            raise self._refusal(error) from error

    def _refusal(self, error: CallReverted) -> Exception:
        violation = self._codec.violation(error.data)
        if violation is not None:
            return violation
        return LedgerUnavailable(
            f"The ledger failed without a reason of the protocol ({error}): check the network file."
        )

    def _events(self, receipt: Receipt) -> tuple[Event, ...]:
        ours = (log for log in receipt.logs if log.address == self._contract)
        return tuple(self._codec.event(log.topics, log.data) for log in sorted(ours, key=lambda log: log.index))

    # --- reading ----------------------------------------------------------------------------------------------------

    async def _view(self, name: str, *arguments: Any) -> Any:
        return await self._thread(self._read, name, arguments)

    def _read(self, name: str, arguments: Sequence[Any], block: int | None = None) -> Any:
        try:
            data = self._rpc.call(self._contract, self._codec.call(name, *arguments), block=block)
        except CallReverted as error:
            raise self._refusal(error) from error
        return self._codec.result(name, data)

    def _round(self, model: ModelId) -> RoundView:
        head = self._rpc.head().ref
        if head.number < self._log.reached:
            raise LedgerUnavailable(
                f"The chain's node is at block {head.number}, but {self._log.reached} was seen: it is behind others."
            )
        seen, view = self._rounds.get(model, (None, None))
        if view is None or seen != head.hash:
            view = self._codec.round_view(self._read("roundOf", (model,), head.number))
            self._rounds[model] = head.hash, view
        return view

    def _model(self, model: ModelId, at: int | None = None) -> ModelState:
        block = self._rpc.head().ref.number if at is None else at
        rules, creator, genesis, budget, carry, settled_rounds, next_seed = self._read("modelOf", (model,), block)
        self._names.update(block)
        validators = tuple(Address(account.lower()) for account in self._read("validatorsOf", (model,), block))
        records = {
            root: self._codec.checkpoint(self._read("checkpointOf", (model, root), block))
            for root in self._names.roots(model)
        }
        return ModelState(
            rules=self._codec.rules(rules),
            creator=Address(creator.lower()),
            genesis=Root(genesis),
            budget=Wei(budget),
            carry=Wei(carry),
            settled_rounds=settled_rounds,
            next_seed=next_seed,
            current=self._codec.round_view(self._read("roundOf", (model,), block)),
            checkpoints={root: record for root, record in records.items() if record is not None},
            stakes={account: Wei(self._read("stakeOf", (model, account), block)) for account in validators},
            validators=validators,
            unbonding={self.account: own} if (own := self._unbonding(model, self.account, block)) else {},
        )

    def _unbonding(self, model: ModelId, account: Address, block: int) -> Unbonding | None:
        amount, release_time = self._read("unbondingOf", (model, account), block)
        return Unbonding(Wei(amount), Timestamp(release_time)) if amount else None

    def _models(self) -> tuple[ModelId, ...]:
        self._names.update(self._rpc.head().ref.number)
        return self._names.models()

    def _account_view(self, address: Address) -> AccountView:
        block = self._rpc.head().ref.number
        self._names.update(block)
        models = self._names.staked(address)
        stakes = {model: Wei(self._read("stakeOf", (model, address), block)) for model in models}
        unbonding = {model: self._unbonding(model, address, block) for model in models}
        return AccountView(
            wallet=self._wallet(address),
            free=Wei(self._read("freeOf", (address,), block)),
            stakes={model: stake for model, stake in stakes.items() if stake},
            unbonding={model: entry for model, entry in unbonding.items() if entry},
        )

    def _wallet(self, address: Address, block: int | None = None) -> Wei:
        balance = _token_call("balanceOf(address)", address)
        return Wei(_uint(self._rpc.call(self._addresses.token, balance, block=block)))

    async def _read_names(self) -> None:
        """Read the log for names range by range: each may take as long as a read, all together as long as they take."""
        head = (await self._thread(self._rpc.head)).ref.number
        said = trio.current_time()
        while await self._thread(self._names.step, head):
            if trio.current_time() - said >= SAY_EVERY_S:
                said = trio.current_time()
                log.warning("reading the ledger's log: block %d of %d", self._names.next, head)

    async def _thread(self, function: Callable[..., T], *arguments: Any, deadline: float = READ_DEADLINE_S) -> T:
        """Run a blocking call in a thread; cancelling abandons it, which the outbox makes safe."""
        with trio.move_on_after(deadline):
            return cast(T, await _run_sync(function, *arguments, limiter=self._limiter, abandon_on_cancel=True))
        raise LedgerUnavailable(f"The chain did not answer within {deadline:.0f} s: check that it runs.")


async def open_ledger(
    urls: str | Sequence[str],
    key: NodeKey,
    addresses: NetworkAddresses,
    outbox: Path,
    *,
    timeout: float = DEFAULT_TIMEOUT_S,
    clock: Callable[[], float] = time.time,
    max_fee_gwei: float = DEFAULT_MAX_FEE_GWEI,
) -> EvmLedger:
    """Connect, check that chain and contract are the expected ones, and send again what a former run left behind.

    `urls` are addresses of the chain, the first that serves is asked; `outbox` is this account's file for this network.
    Raises LedgerUnavailable with the remedy.
    """

    def connect() -> EvmLedger:
        chain_id, contract = addresses.ledger.chain_id, addresses.ledger.address
        rpc = open_chain(urls, chain_id, timeout, contract=contract)
        first = rpc.block(0)
        origin = "unknown" if first is None else first.ref.hash.hex()
        store = Outbox(outbox, f"{chain_id} {origin} {contract} {key.address}")
        return EvmLedger(rpc, key, addresses, store, clock, max_fee_gwei)

    ledger = await trio.to_thread.run_sync(connect)
    await ledger.catch_up()
    return ledger


async def open_network_ledger(
    network: Network, key: NodeKey, home: Path, access: ChainAccess | None = None
) -> EvmLedger:
    """The ledger that a network file names, with this account's outbox in `home`. Raises LedgerUnavailable.

    `access`: how this node reaches the chain; by default what the environment and HOME/node.toml say.
    """
    addresses = NetworkAddresses(
        ledger=network.ledger_id, token=Address(network.token), start_block=network.start_block
    )
    await trio.Path(home).mkdir(parents=True, exist_ok=True)
    own = chain_access(home) if access is None else access
    urls = own.chain_urls or (network.chain_url,)
    ledger = await open_ledger(urls, key, addresses, home / "outbox.sqlite", max_fee_gwei=own.max_fee_gwei)
    folder = await trio.to_thread.run_sync(kept_folder, network.ledger_id, network.start_block)
    if folder is not None:
        ledger.keep_names(folder / "names.json")
    return ledger


def _token_call(signature: str, *arguments: object) -> bytes:
    types = [kind for kind in signature[signature.index("(") + 1 : -1].split(",") if kind]
    return function_signature_to_4byte_selector(signature) + encode(types, arguments)


def _uint(data: bytes) -> int:
    if len(data) != 32:
        raise LedgerUnavailable("The token's answer is not a number: check the network file.")
    return int.from_bytes(data, "big")
