"""`Ledger` in memory: the reference of the protocol on a chain of blocks that a test can roll back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import trio

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.access import has_access
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import REPEATABLE, Command, Deposit
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.signed import Recover, no_signatures
from derelayl_protocol.ledger.state import CheckpointRecord, LedgerState, ModelState, RoundView
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Address, ModelId, Root, Timestamp, Wei

from ..ports import MAX_REORG_BLOCKS, AnotherChain, BlockRef, Clock, LedgerUnavailable, LogBatch, LogEntry

MAX_BLOCKS_PER_BATCH = 256
"""Blocks in one answer of `logs`, as many as the adapter of a real chain gives."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A block, the command in it (None in an empty one) with its key, its events, and the ledger after it."""

    ref: BlockRef
    sent: tuple[Address, Command] | None
    key: str | Command | None
    entries: tuple[LogEntry, ...]
    state: LedgerState

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(entry.event for entry in self.entries)


class FakeChain:
    """A chain with one ledger. Each command that the ledger takes is a block of its own, at the time of the clock.

    `silent` makes every account's calls fail as if nobody answered.
    """

    def __init__(
        self,
        wallets: Mapping[Address, Wei],
        clock: Clock,
        *,
        blocks_per_batch: int = MAX_BLOCKS_PER_BATCH,
        recover: Recover = no_signatures,
    ) -> None:
        """Begin with block 0, empty, and tokens in these wallets; `recover` names the signers of signed calls."""
        self.silent = False
        self._clock = clock
        self._blocks_per_batch = blocks_per_batch
        self._recover = recover
        self._mined = 0  # blocks ever, those rolled back too: makes every block's hash new
        self._blocks: list[_Block] = []
        self._append(None, None, (), LedgerState(wallets=dict(wallets)))

    @property
    def state(self) -> LedgerState:
        """The ledger after the newest block."""
        return self._blocks[-1].state

    @property
    def head(self) -> BlockRef:
        """The newest block."""
        return self._blocks[-1].ref

    def account(self, account: Address) -> FakeLedger:
        """The ledger as that account sees it."""
        return FakeLedger(self, account)

    def execute(self, sender: Address, command: Command, key: str | Command | None = None) -> tuple[Event, ...]:
        """Mine a block with the command. Raises RuleViolation, then no block is mined."""
        state, events = apply(self.state, command, sender, self._block_time(), self._recover)
        self._append((sender, command), key, events, state)
        return self._blocks[-1].events

    def mine(self) -> None:
        """Mine an empty block."""
        self._append(None, None, (), self.state)

    def reorg(self, depth: int) -> None:
        """Drop the newest `depth` blocks; nothing of them is executed again. Raises ValueError for block 0."""
        if not 0 <= depth < len(self._blocks):
            raise ValueError(f"{depth} blocks cannot be dropped, the chain has {len(self._blocks) - 1} above block 0")
        del self._blocks[len(self._blocks) - depth :]

    def begin_anew(self) -> None:
        """Forget everything but the wallets of block 0 and begin with another block 0, as a wiped chain does."""
        first = self._blocks[0].state
        self._blocks.clear()
        self._append(None, None, (), first)

    def sent(self, sender: Address, key: str | Command) -> tuple[Event, ...] | None:
        """The events of the block with this intent of this account, None if the chain has none."""
        mine = (block for block in self._blocks if block.sent is not None and block.sent[0] == sender)
        return next((block.events for block in mine if block.key == key), None)

    def logs(self, known: Sequence[BlockRef]) -> LogBatch:
        """What follows the newest block of `known` that is still on the chain, at most `blocks_per_batch` blocks.

        Raises AnotherChain.
        """
        there = [ref for ref in known if ref.number < len(self._blocks)]
        if known and self._has(there[-1] if there else known[0]) and there[-1] != known[-1]:
            return LogBatch(known[-1].number, (), (), more=False, lagging=True)
        lost = next((ref for ref in there if not self._has(ref)), None)
        if known and (not self._has(known[0]) or (lost and known[-1].number - lost.number >= MAX_REORG_BLOCKS)):
            raise AnotherChain("The fake chain has other blocks than those read before.")
        kept = next((ref.number for ref in reversed(known) if self._has(ref)), -1)
        new = self._blocks[kept + 1 : kept + 1 + self._blocks_per_batch]
        ends = (new[-1], *(new[:1] if not known else ())) if new else ()
        return LogBatch(
            keep_through=kept,
            blocks=tuple(block.ref for block in new if block.entries or block in ends),
            entries=tuple(entry for block in new for entry in block.entries),
            more=kept + 1 + len(new) < len(self._blocks),
        )

    def _has(self, ref: BlockRef) -> bool:
        return 0 <= ref.number < len(self._blocks) and self._blocks[ref.number].ref.hash == ref.hash

    def _block_time(self) -> Timestamp:
        """The clock's time in whole seconds; like a real chain, never before the last block."""
        now = int(self._clock.now())
        return Timestamp(max(now, self.head.time) if self._blocks else now)

    def _append(
        self,
        sent: tuple[Address, Command] | None,
        key: str | Command | None,
        events: Sequence[Event],
        state: LedgerState,
    ) -> None:
        self._mined += 1
        digest = hashlib.sha256(b"block %d" % self._mined).digest()
        ref = BlockRef(len(self._blocks), digest, self._block_time())
        transaction = hashlib.sha256(b"transaction in " + digest).digest()
        entries = tuple(LogEntry(event, ref, transaction, index) for index, event in enumerate(events))
        self._blocks.append(_Block(ref, sent, key, entries, state))


class FakeLedger:
    """A `FakeChain` as one account sees it. Implements `ports.Ledger` and `ports.Registry`."""

    def __init__(self, chain: FakeChain, account: Address) -> None:
        self._chain = chain
        self._account = account

    @property
    def account(self) -> Address:
        """The account that `send` signs for."""
        return self._account

    async def send(self, command: Command, key: str | None = None, *, cover: Wei | None = None) -> tuple[Event, ...]:
        """Have the command executed; the same key, or content that cannot be meant twice (`REPEATABLE`), only once."""
        await self._reach()
        try:
            return self._once(command, key)
        except RuleViolation as refusal:
            missing = (cover or 0) - self._chain.state.free.get(self._account, Wei(0))
            if refusal.reason is not Reason.INSUFFICIENT_BALANCE or missing <= 0:
                raise
        self._once(Deposit(Wei(missing)), None if key is None else f"{key}/deposit")
        return self._once(command, key)

    def _once(self, command: Command, key: str | None) -> tuple[Event, ...]:
        intent: str | Command | None = key
        if key is None and type(command) not in REPEATABLE:
            intent = command
        known = None if intent is None else self._chain.sent(self._account, intent)
        return self._chain.execute(self._account, command, intent) if known is None else known

    async def settle(self) -> int:
        """Nothing is ever on its way here: whatever is sent is in a block."""
        await self._reach()
        return 0

    async def round(self, model: ModelId) -> RoundView:
        """The running round. Raises RuleViolation(UNKNOWN_MODEL)."""
        return (await self._find(model)).current

    async def logs(self, known: Sequence[BlockRef]) -> LogBatch:
        """What follows the newest block of `known` that is still on the chain. Raises AnotherChain."""
        await self._reach()
        return self._chain.logs(known)

    async def rules(self, model: ModelId) -> Rules:
        """The model's rules. Raises RuleViolation(UNKNOWN_MODEL)."""
        return (await self._find(model)).rules

    async def checkpoint(self, model: ModelId, root: Root) -> CheckpointRecord | None:
        """An accepted checkpoint, None if there is none of this root. Raises RuleViolation(UNKNOWN_MODEL)."""
        return (await self._find(model)).checkpoints.get(root)

    async def stake(self, model: ModelId, account: Address) -> Wei | None:
        """What the account has bonded, None if nothing shows that it ever did. Raises RuleViolation(UNKNOWN_MODEL)."""
        found = await self._find(model)
        return found.stakes.get(account, Wei(0) if account in found.unbonding else None)

    async def free(self, account: Address) -> Wei:
        """An account's withdrawable balance in the ledger."""
        await self._reach()
        return self._chain.state.free.get(account, Wei(0))

    async def access(self, model: ModelId, root: Root, account: Address) -> bool:
        """Whether the account may fetch a checkpoint's weights. Raises RuleViolation(UNKNOWN_MODEL)."""
        return has_access(await self._find(model), root, account)

    async def model(self, model: ModelId) -> ModelState:
        """Beyond the ports, what a chain tells of a model: its own `unbonding`, no `buyers`.

        Raises RuleViolation(UNKNOWN_MODEL).
        """
        found = await self._find(model)
        own = {account: amount for account, amount in found.unbonding.items() if account == self._account}
        return replace(found, unbonding=own, buyers={})

    async def _find(self, model: ModelId) -> ModelState:
        await self._reach()
        found = self._chain.state.models.get(model)
        if found is None:
            raise RuleViolation(Reason.UNKNOWN_MODEL, to_hex(model))
        return found

    async def _reach(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._chain.silent:
            raise LedgerUnavailable("The fake chain is silent.")
