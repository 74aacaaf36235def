"""A chain with the reference ledger: blocks by the clock, a pool, nonces, reorganisations."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import trio

from derelayl_node.ports import BlockRef, LogBatch, LogEntry
from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import Command
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.signed import Recover
from derelayl_protocol.ledger.state import LedgerState
from derelayl_protocol.types import Address, Timestamp, Wei

from .weather import chain_time

BLOCK_SECONDS = 1.0
BLOCKS_PER_BATCH = 256
LAG_BLOCKS = 3
"""How far an endpoint that lags is behind."""


@dataclass(frozen=True, slots=True)
class Transaction:
    hash: bytes
    sender: Address
    nonce: int
    command: Command


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transaction came to: its events, or why the ledger refused it."""

    events: tuple[Event, ...]
    refusal: RuleViolation | None


@dataclass(frozen=True, slots=True)
class Block:
    ref: BlockRef
    transactions: tuple[Transaction, ...]
    outcomes: Mapping[bytes, Outcome]
    entries: tuple[LogEntry, ...]
    state: LedgerState
    nonces: Mapping[Address, int]


@dataclass
class VirtualChain:
    """The chain that all peers share. `frozen` ends the making of blocks; the pool then waits."""

    wallets: Mapping[Address, Wei]
    recover: Recover
    blocks: list[Block] = field(default_factory=list)
    pool: dict[bytes, Transaction] = field(default_factory=dict)
    frozen: bool = False
    made: int = 0

    def __post_init__(self) -> None:
        self._append((), LedgerState(wallets=dict(self.wallets)), {}, ())

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    async def run(self) -> None:
        """Make a block each BLOCK_SECONDS."""
        while True:
            await trio.sleep(BLOCK_SECONDS)
            if not self.frozen:
                self.mine(tuple(self.pool.values()))

    def seen(self, lagging: bool) -> Block:
        """The newest block that an endpoint knows."""
        return self.blocks[max(0, len(self.blocks) - 1 - LAG_BLOCKS)] if lagging else self.head

    def take(self, transaction: Transaction) -> None:
        """Put a transaction in the pool; one that is on the chain already has no effect."""
        if transaction.nonce >= self.head.nonces.get(transaction.sender, 0):
            self.pool[transaction.hash] = transaction

    def outcome(self, transaction: bytes) -> Outcome | None:
        """What became of a transaction on the canonical chain, None if it is on no block of it."""
        return next((b.outcomes[transaction] for b in reversed(self.blocks) if transaction in b.outcomes), None)

    def mine(self, candidates: Sequence[Transaction]) -> None:
        """A block with those transactions whose turn it is."""
        state, nonces = self.head.state, dict(self.head.nonces)
        done: list[Transaction] = []
        outcomes: dict[bytes, Outcome] = {}
        waiting = list(candidates)
        while ready := [each for each in waiting if each.nonce == nonces.get(each.sender, 0)]:
            for transaction in ready:
                waiting.remove(transaction)
                if transaction.nonce != nonces.get(transaction.sender, 0):
                    continue
                nonces[transaction.sender] = transaction.nonce + 1
                done.append(transaction)
                try:
                    state, events = apply(
                        state, transaction.command, transaction.sender, self._block_time(), self.recover
                    )
                    outcomes[transaction.hash] = Outcome(events, None)
                except RuleViolation as refusal:
                    outcomes[transaction.hash] = Outcome((), refusal)
        self._append(done, state, outcomes, nonces)
        self.pool = {name: each for name, each in self.pool.items() if each.nonce >= nonces.get(each.sender, 0)}

    def reorganise(self, depth: int, luck: random.Random) -> None:
        """Replace the newest blocks by one more; what was in them is mined again, some of it a block later."""
        depth = min(depth, len(self.blocks) - 1)
        dropped = self.blocks[len(self.blocks) - depth :]
        del self.blocks[len(self.blocks) - depth :]
        returned = [transaction for block in dropped for transaction in block.transactions]
        self.pool = {each.hash: each for each in (*returned, *self.pool.values())}
        for _ in range(depth + 1):
            candidates = [each for each in self.pool.values() if luck.random() < 0.5]
            luck.shuffle(candidates)
            self.mine(candidates)

    def logs(self, known: Sequence[BlockRef], lagging: bool) -> LogBatch:
        """What follows the newest block of `known` that is still on the chain."""
        end = self.seen(lagging).ref.number + 1
        kept = next((ref.number for ref in reversed(known) if self._has(ref)), -1)
        new = self.blocks[kept + 1 : max(kept + 1, min(end, kept + 1 + BLOCKS_PER_BATCH))]
        return LogBatch(
            keep_through=kept,
            blocks=tuple(block.ref for block in new),
            entries=tuple(entry for block in new for entry in block.entries),
            more=kept + 1 + len(new) < end,
        )

    def events(self) -> tuple[Event, ...]:
        """All events of the canonical chain."""
        return tuple(entry.event for block in self.blocks for entry in block.entries)

    def _has(self, ref: BlockRef) -> bool:
        return 0 <= ref.number < len(self.blocks) and self.blocks[ref.number].ref.hash == ref.hash

    def _block_time(self) -> Timestamp:
        now = int(chain_time())
        return Timestamp(max(now, self.head.ref.time) if self.blocks else now)

    def _append(
        self,
        transactions: Sequence[Transaction],
        state: LedgerState,
        outcomes: Mapping[bytes, Outcome],
        nonces: Mapping[Address, int] | tuple[()],
    ) -> None:
        self.made += 1
        ref = BlockRef(len(self.blocks), hashlib.sha256(b"block %d" % self.made).digest(), self._block_time())
        entries: list[LogEntry] = []
        for transaction in transactions:
            for event in outcomes[transaction.hash].events:
                entries.append(LogEntry(event, ref, transaction.hash, len(entries)))
        self.blocks.append(Block(ref, tuple(transactions), outcomes, tuple(entries), state, dict(nonces)))
