"""The ledger port on an EVM chain: web3 in threads, an outbox under every command."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import trio

from derelayl_protocol.ledger.commands import Command
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.state import CheckpointRecord, ModelState, RoundView
from derelayl_protocol.types import Address, ModelId, Root, Wei

from ..kept import kept_folder
from ..keys import NodeKey
from ..ports import AccountView, BlockRef, LedgerUnavailable, LogBatch
from ..settings import DEFAULT_MAX_FEE_GWEI, ChainAccess, Network, chain_access
from .deploy import NetworkAddresses
from .event_log import EventLog
from .first_version import check_may_send, check_takes_part
from .one_block import at_fresh_head
from .outbox import UNKNOWN, Outbox
from .provider import DEFAULT_TIMEOUT_S, Rpc, open_chain
from .sender import Sender
from .sending import Sending
from .views import Views

log = logging.getLogger(__name__)

T = TypeVar("T")

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
        self._views = Views(rpc, addresses)
        self._log = EventLog(rpc, self._views.codec, addresses.ledger.address, addresses.start_block)
        self._sender = Sender(rpc, key, outbox, addresses.ledger.chain_id, clock, max_fee_gwei)
        self._sending = Sending(self._views, key.address, self._sender, outbox, self._thread)
        self._limiter = trio.CapacityLimiter(MAX_CALLS)

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
        key may be used again, whatever has happened. Raises AnotherVersion where this program does not take part.
        """
        check_may_send(command, await self._thread(self._views.version))
        return await self._sending.send(command, key, cover)

    async def check_takes_part(self) -> None:
        """Raise AnotherVersion where this program only reads."""
        check_takes_part(await self._thread(self._views.version))

    async def settle(self) -> int:
        """Wait until nothing that this account has signed is on its way; returns how many intents were.

        Raises LedgerUnavailable when some still are after SEND_DEADLINE_S.
        """
        return await self._sending.settle()

    async def round(self, model: ModelId) -> RoundView:
        """The running round. Raises RuleViolation(UNKNOWN_MODEL).

        It is asked for at every poll: while there is no new block, the last answer stands and costs the chain no call
        of the contract.
        """
        return await at_fresh_head(partial(self._thread, self._views.round, model, self._log.reached))

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
        return self._views.codec.rules((await self._view("modelOf", model))[0])

    async def checkpoint(self, model: ModelId, root: Root) -> CheckpointRecord | None:
        """An accepted checkpoint, None if the ledger has none of this root. Raises RuleViolation(UNKNOWN_MODEL)."""
        return self._views.codec.checkpoint(await self._view("checkpointOf", model, root))

    async def stake(self, model: ModelId, account: Address) -> Wei | None:
        """What the account has bonded, None if nothing shows that it ever did. Raises RuleViolation(UNKNOWN_MODEL)."""
        return await self._thread(self._views.stake, model, account)

    async def free(self, account: Address) -> Wei:
        """An account's withdrawable balance in the ledger."""
        return await self._thread(self._views.free, account)

    async def access(self, model: ModelId, root: Root, account: Address) -> bool:
        """Whether the account may fetch a checkpoint's weights. Raises RuleViolation(UNKNOWN_MODEL)."""
        return bool(await self._view("accessOf", model, root, account))

    # --- beyond the port --------------------------------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Send again what was signed and the chain does not have: after a restart, or a reorganisation."""
        await self._thread(self._sender.catch_up)

    async def is_held(self, command: Command) -> bool:
        """Whether the command was sent without a key by somebody who was not told its outcome: `send` tells that."""
        return await self._sending.is_held(command)

    async def forget(self, command: Command) -> None:
        """Have `send` do the command again, where such a one is mined and what it did is known otherwise."""
        await self._sending.forget(command)

    async def account_view(self, address: Address) -> AccountView:
        """An account's tokens: in the wallet, free in the ledger, staked and unbonding."""
        await self._read_names()
        return await at_fresh_head(partial(self._thread, self._views.account, address))

    async def model(self, model: ModelId) -> ModelState:
        """Rules, budget, stakes, the checkpoints and what this account has unbonding, all of the same block.

        For commands: it reads the log from the ledger's first block on (see `names`), then makes a call for each
        checkpoint and validator. A chain cannot list who unbonds or has bought: `buyers` is empty.
        Raises RuleViolation(UNKNOWN_MODEL).
        """
        await self._read_names()
        return await at_fresh_head(partial(self._thread, self._views.model, model, self.account))

    async def model_at(self, model: ModelId, block: int) -> ModelState:
        """What `model` gave at the end of a block. Raises StateGone if the chain no longer has that block's state."""
        return await self._thread(self._views.model, model, self.account, block)

    async def view_at(self, block: int, name: str, *arguments: Any) -> Any:
        """What a view of the contract gave at the end of a block. Raises StateGone like `model_at`."""
        return await self._thread(self._views.read, name, arguments, block)

    async def tokens_at(self, block: int) -> Wei:
        """Tokens in the ledger's own wallet at the end of a block: all that it owes, and what was sent to it astray.

        Raises StateGone like `model_at`.
        """
        return await self._thread(self._views.wallet, self._addresses.ledger.address, block)

    async def models(self) -> tuple[ModelId, ...]:
        """Models of the ledger in the order of their creation."""
        await self._read_names()
        return await self._thread(self._views.models)

    async def head(self) -> BlockRef:
        """The newest block."""
        return (await self._thread(self._rpc.head)).ref

    async def token_supply(self) -> Wei:
        """Tokens in existence, in wei: minted once, less what was burned."""
        return await self._thread(self._views.token_supply)

    async def gas_balance(self, address: Address) -> int:
        """The account's coins for gas, in wei of the chain's own currency."""
        return await self._thread(self._rpc.balance, address)

    async def give(self, address: Address, token_wei: Wei, gas_wei: int, key: str | None = None) -> None:
        """Send tokens and coins for gas from this account's wallet to another; the same key gives only once.

        Without a key, as in `send`: a gift that a crash cut off is finished by whoever asks for the same again.

        Raises RuleViolation(INSUFFICIENT_BALANCE) for tokens that the wallet does not hold, LedgerUnavailable.
        """
        await self._sending.give(address, token_wei, gas_wei, key)

    def keep_names(self, file: Path) -> None:
        """Keep the names that commands read from the log in a file, and go on from it."""
        self._views.names.keep_in(file)

    def close(self) -> None:
        """Close the outbox; nothing that was signed is lost."""
        self._outbox.close()

    async def _view(self, name: str, *arguments: Any) -> Any:
        return await self._thread(self._views.read, name, arguments)

    async def _read_names(self) -> None:
        """Read the log for names range by range: each may take as long as a read, all together as long as they take."""
        head = (await self._thread(self._rpc.head)).ref.number
        said = trio.current_time()
        while await self._thread(self._views.names.step, head):
            if trio.current_time() - said >= SAY_EVERY_S:
                said = trio.current_time()
                log.warning("reading the ledger's log: block %d of %d", self._views.names.next, head)

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
        origin = UNKNOWN if first is None else first.ref.hash.hex()
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
