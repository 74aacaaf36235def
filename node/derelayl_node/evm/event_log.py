"""Follows the ledger's event log over reorganisations of the chain, at a cost that grows with its events.

Ranges of logs, and headers of the blocks with events and of the last one alone. What makes that safe:

* The last block of a range, its anchor, is looked up before the logs, and each block with events afterwards; hashes
  must agree. The next range begins at the anchor, so an anchor of a lost fork is noticed, and all above it is undone.
* A node that is behind gives fewer logs and says nothing. So the newest blocks of a range are asked for again some
  blocks later, and what was missed is read after all. An anchor's bloom filter tells as well.
* A single new block on the known head needs no range: its bloom filter says whether to ask for its logs, by its hash.
  That holds where the chain has been seen to fill in bloom filters.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eth_bloom.bloom import BloomFilter

from derelayl_protocol.spelling import from_hex, to_hex
from derelayl_protocol.types import Address

from ..ports import MAX_REORG_BLOCKS, AnotherChain, BlockRef, LedgerUnavailable, LogBatch, LogEntry
from .answers import Block, RawLog
from .codec import Codec
from .provider import Rpc, TooMuchAsked
from .span import Span

log = logging.getLogger(__name__)

MAX_BLOCKS_PER_BATCH = 256
"""Blocks with events in one answer: each costs a call for its header."""

BATCH_SECONDS = 20.0
"""After this long an answer is cut where it stands, so that a slow node's reader still gets on."""

UNSETTLED_BLOCKS = 64
"""Newest blocks that get a range of their own, so that a fork there costs no more than those: two epochs of a usual
chain, after which it takes nothing back."""

RECHECK_BLOCKS = 16
"""Blocks after which a range that reached the head is looked at again: a node behind others has caught up by then."""

RECHECKED_BLOCKS = 128
"""Newest blocks that are looked at again: those of their own range, and as many before them."""


class _Behind(Exception):
    """Somebody who answers does not have a block that somebody else has shown."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What this reader has told last: through which block, from where on, and which blocks had events."""

    through: bytes
    above: int
    with_events: tuple[BlockRef, ...] = ()


class EventLog:
    """One ledger's log. Thread safe, synchronous; made for one caller, who hands its own blocks in each time."""

    def __init__(
        self,
        rpc: Rpc,
        codec: Codec,
        ledger: Address,
        start: int,
        *,
        span: Span | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`start` is the ledger's first block."""
        self._rpc, self._codec, self._ledger, self._start = rpc, codec, ledger, start
        self._span, self._clock = span or Span(), clock
        self._lock = threading.Lock()
        self._blooms: bool | None = None  # whether headers' bloom filters are filled in, once that has shown
        self._goal: Block | None = None  # a head seen before, while there is far to go
        self._recheck_at: int | None = 0
        self._told = _Told(b"", start - 1)
        self.reached = 0
        """Number of the newest block that was told."""

    def next_batch(self, known: Sequence[BlockRef]) -> LogBatch:
        """What follows the newest block of `known` that is still on the chain; see `ports.Ledger.logs`.

        Raises LedgerUnavailable, AnotherChain.
        """
        with self._lock:
            try:
                batch = self._next(known)
            except _Behind:
                return LogBatch(known[-1].number if known else self._start - 1, (), (), more=False, lagging=True)
            if batch.blocks:
                self._note(batch)
            return batch

    def _next(self, known: Sequence[BlockRef]) -> LogBatch:
        head = self._head(known)
        if not known:
            self._check_ledger(head)
            self._recheck_at = None
            return self._range(None, head)
        newest = known[-1]
        self.reached = newest.number
        if self._told.through != newest.hash:
            self._told = _Told(newest.hash, newest.number)
        if head.ref.hash == newest.hash:
            return LogBatch(newest.number, (), (), more=False)  # one call while nothing happens
        due = self._recheck_at is not None and newest.number >= self._recheck_at
        if head.parent == newest.hash and self._blooms and not due:
            return self._single(newest, head)
        kept = newest if head.ref.number > newest.number else self._newest_canonical(known, head)
        if due:
            self._recheck_at, kept = None, self._complete(known, kept)
        batch = self._range(kept, head)
        if not self._stands(kept, head):  # asked last, so that nothing was read above a block of a lost fork
            kept = self._newest_canonical(known, head)
            batch = self._range(kept, head)
            if not self._stands(kept, head):
                raise _Behind
        return batch

    def _head(self, known: Sequence[BlockRef]) -> Block:
        """The newest block; while there is far to go, one that was the newest lately."""
        goal = self._goal
        if goal is None or not known or known[-1].number + self._span.blocks >= goal.ref.number:
            goal = self._goal = self._rpc.head()
        return goal

    def _check_ledger(self, head: Block) -> None:
        if head.ref.number < self._start or not self._rpc.code(self._ledger):
            raise AnotherChain(
                f"The chain has no ledger at {self._ledger}: it ends at block {head.ref.number}, the ledger begins at "
                f"{self._start}. It was started anew or is another one: check the chain's URL."
            )

    # --- which known block still stands -------------------------------------------------------------------------------

    def _newest_canonical(self, known: Sequence[BlockRef], head: Block) -> BlockRef:
        candidates = [ref for ref in known if ref.number <= head.ref.number]
        if candidates and self._stands(candidates[-1], head):
            if candidates[-1] is not known[-1]:
                self._check_ledger(head)
                raise _Behind  # shorter than what is known, and no other block: wait for it
            return candidates[-1]
        low, high = 0, len(candidates) - 1  # the blocks before `low` stand, those from `high` on do not
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._stands(candidates[middle], head) else (low, middle)
        if low == 0 or known[-1].number - candidates[low].number >= MAX_REORG_BLOCKS:
            raise AnotherChain(
                f"The chain has other blocks than those read before, from block {known[low].number} on, and ends at "
                f"block {head.ref.number}: it was started anew or is another one. What was read is kept; check the "
                "chain's URL, or delete the lineage index to begin with this chain."
            )
        log.warning(
            "the chain has replaced blocks: reading again from block %d, was at %d", candidates[low - 1].number + 1,
            known[-1].number,
        )  # fmt: skip
        return candidates[low - 1]

    def _stands(self, ref: BlockRef, head: Block) -> bool:
        if head.parent == ref.hash:
            return True
        there = head if ref.number == head.ref.number else self._block(ref.number)
        return there.ref.hash == ref.hash

    def _block(self, number: int) -> Block:
        """A block that is there, because its chain is longer."""
        block = self._rpc.block(number)
        if block is None:
            raise _Behind
        return block

    # --- reading ------------------------------------------------------------------------------------------------------

    def _single(self, newest: BlockRef, head: Block) -> LogBatch:
        """The only block after the newest known one."""
        logs = self._logs_of(head) if self._has_ledger(head) else ()
        entries = tuple(self._entry(head.ref, each) for each in logs)
        return LogBatch(newest.number, (head.ref,), entries, more=False)

    def _range(self, kept: BlockRef | None, head: Block) -> LogBatch:
        """What follows `kept`, the ledger's beginning if None, in one range."""
        first = self._start if kept is None else kept.number + 1
        anchor, found = self._ask(first, head)
        blocks: dict[int, BlockRef] = {}
        if kept is None and anchor.ref.number != first:
            blocks[first] = self._block(first).ref
        end, entries = self._with_headers([each for each in found if each.block_number >= first], anchor)
        blocks |= {entry.block.number: entry.block for entry in entries}
        blocks[end.ref.number] = end.ref
        near = end.ref.number > head.ref.number - UNSETTLED_BLOCKS
        if near and self._recheck_at is None and not (end.ref.number == first and self._blooms):
            self._recheck_at = end.ref.number + RECHECK_BLOCKS
        ordered = tuple(blocks[number] for number in sorted(blocks))
        return LogBatch(first - 1, ordered, tuple(entries), more=end.ref.number < head.ref.number)

    def _ask(self, first: int, head: Block) -> tuple[Block, Sequence[RawLog]]:
        """The logs of a range from `first` on, as long as the node answers, and its last block."""
        while True:
            last = min(head.ref.number, first + self._span.blocks - 1)
            settled = head.ref.number - UNSETTLED_BLOCKS
            if first <= settled < last:
                last = settled
            anchor = head if last == head.ref.number else self._block(last)
            found = self._logs(first, last)
            if found is not None:
                return anchor, found

    def _logs(self, first: int, last: int) -> Sequence[RawLog] | None:
        """The logs of a range; None if it was too much, then a shorter one may be asked for."""
        try:
            found = self._rpc.logs({"address": self._ledger, "fromBlock": hex(first), "toBlock": hex(last)})
        except TooMuchAsked:
            self._span.refused(last - first + 1)
            return None
        except LedgerUnavailable:
            self._span.silent()
            raise
        self._span.answered(last - first + 1)
        if any(not first <= each.block_number <= last for each in found):
            raise LedgerUnavailable("The chain's node gave logs of blocks that it was not asked for: try again.")
        return found

    def _complete(self, known: Sequence[BlockRef], kept: BlockRef) -> BlockRef:
        """The newest known block up to `kept` through which nothing was left out."""
        gap = self._missed(known, kept)
        if gap is None:
            return kept
        log.warning("block %d has events of the ledger that the chain's node did not give before", gap)
        return next((ref for ref in reversed(known) if ref.number < gap), known[0])

    def _missed(self, known: Sequence[BlockRef], kept: BlockRef) -> int | None:
        """The first of the newest blocks up to `kept` with events that the caller was not told of."""
        above = min(known[min(1, len(known) - 1)].number, self._told.above)
        first = max(above, kept.number - RECHECKED_BLOCKS) + 1
        before = (ref for ref in known if ref.number <= self._told.above)
        hashes = {ref.hash for ref in (*before, *self._told.with_events)}
        while first <= kept.number:
            last = min(kept.number, first + self._span.blocks - 1)
            found = self._logs(first, last)
            if found is None:
                continue
            if gaps := [each.block_number for each in found if each.block_hash not in hashes]:
                return min(gaps)
            first = last + 1
        return None

    def _with_headers(self, found: Sequence[RawLog], anchor: Block) -> tuple[Block, list[LogEntry]]:
        """The events of a range, and the last block that was read: the anchor unless there are too many blocks."""
        numbers = sorted({each.block_number for each in found})
        began, entries = self._clock(), list[LogEntry]()
        for count, number in enumerate(numbers, start=1):
            block = anchor if number == anchor.ref.number else self._block(number)
            logs = sorted((each for each in found if each.block_number == number), key=lambda each: each.index)
            if any(each.block_hash != block.ref.hash for each in logs):
                raise _Behind  # the chain has moved, or others answer than before: the next look sorts it out
            self._blooms = self._blooms is not False and self._has_ledger(block)
            entries += [self._entry(block.ref, each) for each in logs]
            late = count == MAX_BLOCKS_PER_BATCH or self._clock() - began > BATCH_SECONDS
            if late and count < len(numbers):
                if self._block(anchor.ref.number).ref.hash != anchor.ref.hash:
                    raise _Behind
                return block, entries
        if anchor.ref.number not in numbers and self._has_ledger(anchor) and self._logs_of(anchor):
            raise _Behind  # the range came from a node that has not seen its last block
        return anchor, entries

    def _logs_of(self, block: Block) -> Sequence[RawLog]:
        """All logs of one block, of no other one of its number."""
        try:
            logs = self._rpc.logs({"address": self._ledger, "blockHash": to_hex(block.ref.hash)})
        except LedgerUnavailable:
            if self._block(block.ref.number).ref.hash != block.ref.hash:
                raise _Behind from None
            raise
        return sorted(logs, key=lambda each: each.index)

    def _has_ledger(self, block: Block) -> bool:
        return from_hex(self._ledger) in BloomFilter(int.from_bytes(block.bloom, "big"))

    def _note(self, batch: LogBatch) -> None:
        """Remember what is told of the newest blocks."""
        kept, end = batch.keep_through, batch.blocks[-1]
        before = [ref for ref in self._told.with_events if ref.number <= kept]
        floor = max(min(self._told.above, kept), end.number - RECHECKED_BLOCKS)
        new = dict.fromkeys(entry.block for entry in batch.entries)
        self._told = _Told(end.hash, floor, tuple(ref for ref in (*before, *new) if ref.number > floor))
        self.reached = end.number

    def _entry(self, block: BlockRef, log: RawLog) -> LogEntry:
        event = self._codec.event(log.topics, log.data)
        return LogEntry(event=event, block=block, transaction=log.transaction, index=log.index)
