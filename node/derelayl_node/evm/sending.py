"""From a command to its events: deposits that it needs, the outbox, and the wait until it is mined."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import trio

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.commands import REPEATABLE, Command, Deposit
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.spelling import exact_tokens
from derelayl_protocol.types import Address, Wei

from ..ports import LedgerUnavailable
from .answers import Receipt
from .codec import INSUFFICIENT_ALLOWANCE
from .fees import TooDear
from .outbox import IntentState, Outbox, command_key
from .provider import CallReverted
from .sender import Displaced, OutOfGas, Sender
from .views import Views, token_call

log = logging.getLogger(__name__)

T = TypeVar("T")

SEND_DEADLINE_S = 180.0
"""Seconds for a command to be mined: a dozen blocks of a usual chain; it stays in the outbox beyond."""

SILENCE_S = 30.0
"""Seconds without an answer after which waiting for a transaction ends: a node restarts in fewer."""

FIRST_POLL_S, LAST_POLL_S, POLL_GROWTH = 0.02, 1.0, 1.5
"""Seconds between two looks for a receipt, from the first to the last, and the factor between them: the embedded chain
mines within a second, others within many."""


class InThread(Protocol):
    """Runs a blocking call in a thread, with a deadline."""

    async def __call__(self, function: Callable[..., T], *arguments: Any) -> T: ...


class Sending:
    """What one account sends, each intent once. Use it from one trio run."""

    def __init__(self, views: Views, account: Address, sender: Sender, outbox: Outbox, thread: InThread) -> None:
        self._views, self._account, self._sender, self._outbox = views, account, sender, outbox
        self._ledger, self._token = views.addresses.ledger.address, views.addresses.token
        self._thread = thread
        self._depositing = trio.Lock()

    async def send(self, command: Command, key: str | None, cover: Wei | None) -> tuple[Event, ...]:
        """See `EvmLedger.send`."""
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

    async def is_held(self, command: Command) -> bool:
        """See `EvmLedger.is_held`."""
        return await self._thread(self._outbox.find, command_key(command)) is not None

    async def forget(self, command: Command) -> None:
        """See `EvmLedger.forget`."""
        held = await self._thread(self._outbox.find, command_key(command))
        if held is not None and held.state is IntentState.MINED:
            await self._thread(self._outbox.release, command_key(command))

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
            f"{self._account} has sent {found} transactions that the chain did not take within "
            f"{SEND_DEADLINE_S:.0f} s: they stay in the outbox, try again."
        )

    async def give(self, address: Address, token_wei: Wei, gas_wei: int, key: str | None = None) -> None:
        """Send tokens and coins for gas from this account's wallet to another; the same key gives only once.

        Without a key, as in `send`: a gift that a crash cut off is finished by whoever asks for the same again.

        Raises RuleViolation(INSUFFICIENT_BALANCE) for tokens that the wallet does not hold, LedgerUnavailable.
        """
        intent = f"give {address} {token_wei} {gas_wei}" if key is None else key
        if gas_wei:
            await self._execute(f"{intent}/gas", address, b"", gas_wei)
        if token_wei:
            transfer = token_call("transfer(address,uint256)", address, token_wei)
            await self._execute(f"{intent}/token", self._token, transfer)
        if key is None:
            await self._thread(self._outbox.release, intent)

    async def _covered(self, intent: str, command: Command, cover: Wei | None) -> tuple[Event, ...]:
        try:
            return await self._once(intent, command)
        except RuleViolation as refusal:
            if refusal.reason is not Reason.INSUFFICIENT_BALANCE or not cover:
                raise
        deposit = f"{intent}/deposit"
        held = await self._thread(self._outbox.find, deposit)
        elsewhere = held is not None and held.state is IntentState.MINED  # its tokens: the next try may pay anew
        try:
            return await self._paid(deposit, intent, command, cover)
        except RuleViolation as refusal:
            if elsewhere:
                await self._thread(self._outbox.release, deposit)
            if elsewhere or refusal.reason is not Reason.INSUFFICIENT_BALANCE:
                raise
        await self.settle()  # a reorganisation may have taken the deposit between the two
        return await self._paid(deposit, intent, command, cover)

    async def _paid(self, deposit: str, intent: str, command: Command, cover: Wei) -> tuple[Event, ...]:
        """Deposit what is missing to `cover`, then send. A purse that is too empty for it is told with its numbers."""
        try:
            missing = cover - await self._thread(self._views.free, self._account)
            if missing > 0:
                await self._once(deposit, Deposit(Wei(missing)))
            return await self._once(intent, command)
        except RuleViolation as refusal:
            if refusal.reason is not Reason.INSUFFICIENT_BALANCE:
                raise
            raise RuleViolation(refusal.reason, await self._too_little(cover)) from refusal

    async def _too_little(self, cover: Wei) -> str:
        wallet = await self._thread(self._views.wallet, self._account)
        free = await self._thread(self._views.free, self._account)
        return (
            f"{exact_tokens(cover)} tokens are needed, {self._account} has {exact_tokens(wallet)} in its wallet and "
            f"{exact_tokens(free)} free in the ledger"
        )

    async def _once(self, intent: str, command: Command) -> tuple[Event, ...]:
        data = self._views.codec.command(command)
        if isinstance(command, Deposit):
            async with self._depositing:
                await self._approve_if_needed(intent, command.amount, data)
                return self._views.events(await self._execute(intent, self._ledger, data))
        return self._views.events(await self._execute(intent, self._ledger, data))

    def _pending(self) -> int:
        self._sender.catch_up()
        return len(self._outbox.unsettled(self._views.rpc.nonce(self._account)))

    async def _execute(self, intent: str, to: Address, data: bytes, value: int = 0) -> Receipt:
        id_ = 0
        with trio.move_on_after(SEND_DEADLINE_S):
            id_ = (await self._attempt(self._sender.submit, intent, to, data, value)).id
            receipt = await self._mined(id_)
            if receipt.succeeded:
                return receipt
            # Accepted by the estimate, refused when mined: others came first. Now the reason shows.
            await self._attempt(partial(self._views.rpc.call, sender=self._account), to, data)
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
            await self._thread(partial(self._views.rpc.call, sender=self._account), self._ledger, deposit)
        except CallReverted as error:
            if error.data[:4] != INSUFFICIENT_ALLOWANCE:
                raise self._views.refusal(error) from error
            wallet = await self._thread(self._views.wallet, self._account)
            if wallet < amount:
                raise RuleViolation(
                    Reason.INSUFFICIENT_BALANCE,
                    f"{exact_tokens(amount)} tokens are to be deposited, the wallet holds {exact_tokens(wallet)}",
                ) from error
            approval = token_call("approve(address,uint256)", self._ledger, amount)
            await self._execute(f"{intent}/approval", self._token, approval)
            # Allowing twice moves nothing; held on, the key would keep an allowance from being given anew.
            await self._thread(self._outbox.release, f"{intent}/approval")

    async def _attempt(self, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return await self._thread(function, *arguments)
        except CallReverted as error:
            raise self._views.refusal(error) from error
