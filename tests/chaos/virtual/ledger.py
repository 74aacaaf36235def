"""`Ledger` and `Registry` of one account on the virtual chain: an outbox, an endpoint, and what is wrong with it.

It keeps the promises of the adapter of a real chain and no more: an intent is noted before it is sent, a key that has
an intent gets that one until its outcome is told, and what the pool lost is sent again.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from derelayl_node.evm.outbox import command_key
from derelayl_node.ports import BlockRef, LedgerUnavailable, LogBatch
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.access import has_access
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import REPEATABLE, Command, Deposit
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.state import CheckpointRecord, ModelState, RoundView
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Address, ModelId, Root, Timestamp, Wei
from tests.chaos.faults import Lie, OutOfGas, Refusal, RpcLies, RpcLimits

from .chain import Block, Transaction, VirtualChain
from .weather import Weather, chain_time

SEND_SECONDS = 180.0
POLL_SECONDS = 1.0
RESEND_SECONDS = 5.0


@dataclass
class Outbox:
    """What an account has signed; on disk, so that it outlives the peer. `all` never forgets."""

    by_key: dict[str, Transaction] = field(default_factory=dict)
    all: list[Transaction] = field(default_factory=list)

    def reserve(self, key: str, sender: Address, chain_nonce: int, command: Command) -> Transaction:
        nonce = max(chain_nonce, self.all[-1].nonce + 1 if self.all else 0)
        digest = hashlib.sha256(f"{sender} {nonce}".encode()).digest()
        transaction = Transaction(digest, sender, nonce, command)
        self.by_key[key] = transaction
        self.all.append(transaction)
        return transaction

    def release(self, key: str) -> None:
        """Forget a key and those derived from it, not what was signed under them."""
        self.by_key = {
            each: sent for each, sent in self.by_key.items() if each != key and not each.startswith(f"{key}/")
        }


class VirtualLedger:
    """The ledger as one account sees it through its own endpoint."""

    def __init__(
        self, chain: VirtualChain, account: Address, outbox: Outbox, weather: Weather, name: str, luck: random.Random
    ) -> None:
        self._chain = chain
        self._account = account
        self._outbox = outbox
        self._weather = weather
        self._name = name
        self._luck = luck
        self._sent_at: dict[bytes, float] = {}

    @property
    def account(self) -> Address:
        return self._account

    async def send(self, command: Command, key: str | None = None, *, cover: Wei | None = None) -> tuple[Event, ...]:
        """Have the command executed once, after a deposit of what is missing to `cover`.

        Raises RuleViolation, LedgerUnavailable.
        """
        name = command_key(command) if key is None else key
        events = await self._covered(command, name, cover)
        if key is None and type(command) in REPEATABLE:  # its outcome is told: it may be meant once more
            self._outbox.release(name)
        return events

    async def _covered(self, command: Command, key: str, cover: Wei | None) -> tuple[Event, ...]:
        try:
            return await self._once(command, key)
        except RuleViolation as refusal:
            missing = (cover or 0) - self._chain.head.state.free.get(self._account, Wei(0))
            if refusal.reason is not Reason.INSUFFICIENT_BALANCE or missing <= 0:
                raise
        await self._once(Deposit(Wei(missing)), f"{key}/deposit")
        return await self._once(command, key)

    async def settle(self) -> int:
        """Wait until nothing that this account has sent is on its way; how many intents were."""
        waiting = [each for each in self._outbox.all if self._chain.outcome(each.hash) is None]
        with trio.move_on_after(SEND_SECONDS):
            while any(self._chain.outcome(each.hash) is None for each in waiting):
                await self._reach()
                self._push()
                await trio.sleep(POLL_SECONDS)
            return len(waiting)
        raise LedgerUnavailable("what was sent is not mined in time")

    async def _once(self, command: Command, key: str) -> tuple[Event, ...]:
        seen = await self._reach()
        self._push()
        intent = self._outbox.by_key.get(key)
        if intent is None:
            self._try(seen, command)
            if self._weather.now(self._name, OutOfGas) is not None:
                raise LedgerUnavailable(f"the account {self._account} has no coins for gas")
            nonce = self._chain.head.nonces.get(self._account, 0)
            intent = self._outbox.reserve(key, self._account, nonce, command)
            self._push()
        with trio.move_on_after(SEND_SECONDS):
            return await self._mined(key, intent)
        raise LedgerUnavailable("not mined in time; it stays in the outbox")

    async def catch_up(self) -> None:
        """Send again what a former run signed and the chain does not have."""
        await self._reach()
        self._push()

    async def _mined(self, key: str, intent: Transaction) -> tuple[Event, ...]:
        while True:
            seen = await self._reach()
            lie = self._weather.now(self._name, RpcLies)
            outcome = None if lie and lie.lie is Lie.LATE_RECEIPTS else self._chain.outcome(intent.hash)
            if outcome is not None and outcome.refusal is None:
                return outcome.events
            if outcome is not None:
                self._outbox.by_key.pop(key, None)
                self._try(seen, intent.command)
                raise LedgerUnavailable("the ledger refused a transaction that it would take now: try again")
            self._push()
            await trio.sleep(POLL_SECONDS)

    def _push(self) -> None:
        """Send what is not on the chain, each at most once in RESEND_SECONDS."""
        chain_nonce, now = self._chain.head.nonces.get(self._account, 0), trio.current_time()
        for intent in reversed(self._outbox.all):
            if intent.nonce < chain_nonce:
                break
            if now - self._sent_at.get(intent.hash, float("-inf")) >= RESEND_SECONDS:
                self._sent_at[intent.hash] = now
                if not self._lost():
                    self._chain.take(intent)

    def _lost(self) -> bool:
        lie, limit = self._weather.now(self._name, RpcLies), self._weather.now(self._name, RpcLimits)
        if lie is not None and lie.lie is Lie.FORGETS:
            return True
        return limit is not None and limit.refusal is Refusal.SENDS and self._luck.random() < limit.share

    def _try(self, seen: Block, command: Command) -> None:
        """What a node does before it signs: ask whether the ledger would take it. Raises RuleViolation."""
        apply(seen.state, command, self._account, Timestamp(int(chain_time())), self._chain.recover)

    # --- reading ------------------------------------------------------------------------------------------------------

    async def round(self, model: ModelId) -> RoundView:
        return (await self._find(model)).current

    async def logs(self, known: Sequence[BlockRef]) -> LogBatch:
        await self._reach(Refusal.RANGE)
        return self._chain.logs(known, self._lags())

    async def rules(self, model: ModelId) -> Rules:
        return (await self._find(model)).rules

    async def checkpoint(self, model: ModelId, root: Root) -> CheckpointRecord | None:
        return (await self._find(model)).checkpoints.get(root)

    async def stake(self, model: ModelId, account: Address) -> Wei | None:
        found = await self._find(model)
        return found.stakes.get(account, Wei(0) if account in found.unbonding else None)

    async def free(self, account: Address) -> Wei:
        return (await self._reach()).state.free.get(account, Wei(0))

    async def access(self, model: ModelId, root: Root, account: Address) -> bool:
        return has_access(await self._find(model), root, account)

    async def _find(self, model: ModelId) -> ModelState:
        found = (await self._reach()).state.models.get(model)
        if found is None:
            raise RuleViolation(Reason.UNKNOWN_MODEL, to_hex(model))
        return found

    def _lags(self) -> bool:
        lie = self._weather.now(self._name, RpcLies)
        return lie is not None and lie.lie is Lie.LAGS

    async def _reach(self, refused: Refusal = Refusal.TOO_MANY) -> Block:
        """The newest block that the endpoint knows. Raises LedgerUnavailable."""
        await trio.lowlevel.checkpoint()
        await self._weather.running(self._name)
        lie, limit = self._weather.now(self._name, RpcLies), self._weather.now(self._name, RpcLimits)
        if self._weather.chain_down(self._name):
            raise LedgerUnavailable("the chain does not answer")
        if lie is not None and lie.lie is Lie.GARBAGE:
            raise LedgerUnavailable("the chain answered with something that is no JSON-RPC")
        if limit is not None and limit.refusal in (Refusal.TOO_MANY, refused) and self._luck.random() < limit.share:
            raise LedgerUnavailable("the chain refuses: 429")
        return self._chain.seen(self._lags())
