"""Keep the index up with the chain: ask for logs, apply them, wait, and go on when the chain or the disk fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

import trio

from ..pace import MAX_BACKOFF_SECONDS, Pace
from ..ports import AnotherChain, BlockRef, Clock, Ledger, LedgerUnavailable, LogBatch, LogEntry
from .database import IndexUnusable
from .index import MAX_ENTRIES, LineageIndex

LOGS_SECONDS: Final = 240.0
"""The longest one question for logs may take: longer than a ledger's own patience, which tells what is the matter."""

SAY_SECONDS: Final = 10.0
"""Between two words on how far a long reading is."""

LAGGING: Final = "the chain's node is behind what was read before: it catches up, or another one is needed"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """How the follower is doing; written by `follow`, read by the API. Times are the clock's Unix seconds.

    `another_chain` says that what answers is not the chain which the index was read from.
    """

    reachable: bool = False
    caught_up_at: float | None = None
    error: str = ""
    another_chain: bool = False

    def lag_seconds(self, now: float) -> float | None:
        """Seconds since the index last held everything the chain had; None if it never has."""
        return None if self.caught_up_at is None else max(0.0, now - self.caught_up_at)


class Listener(Protocol):
    """Who wants to know what the follower hears."""

    def heard(self, batch: LogBatch, undone: bool) -> None:
        """What is in the index since the last time, whoever read it; `undone` says that some of it was taken back."""

    def missed(self, error: Exception) -> None:
        """The log could not be read, or not be kept."""


async def follow(
    ledger: Ledger,
    index: LineageIndex,
    clock: Clock,
    pace: Pace,
    progress: Progress | None = None,
    listener: Listener | None = None,
) -> None:
    """Follow the ledger until cancelled; failures are logged, shown in `progress` and tried again."""
    state = progress or Progress()
    pause, said_at = pace.poll_seconds, clock.now()
    told: BlockRef | None = None
    while True:
        try:
            batch, told = await _read_once(ledger, index, listener, told)
        except (LedgerUnavailable, IndexUnusable, trio.TooSlowError) as error:
            pause = min(max(pause, pace.poll_seconds) * 2, MAX_BACKOFF_SECONDS)
            state.reachable = isinstance(error, IndexUnusable)
            reason = str(error) or "the chain did not answer in time"
            _failed(state, reason, pause, another=isinstance(error, AnotherChain))
            if listener is not None:
                listener.missed(error)
            await clock.sleep(pause)
            continue
        state.reachable, pause = True, pace.poll_seconds
        if batch.lagging:
            _failed(state, LAGGING, pace.seconds())
            await pace.sleep()
            continue
        if state.error:
            log.info("the lineage index is advancing again")
        state.error, state.another_chain = "", False
        if batch.more:
            if clock.now() - said_at >= SAY_SECONDS:
                said_at = clock.now()
                log.info("reading the ledger's log: at block %d", batch.blocks[-1].number)
            continue
        state.caught_up_at = clock.now()
        await pace.sleep()


async def _read_once(
    ledger: Ledger, index: LineageIndex, listener: Listener | None, told: BlockRef | None
) -> tuple[LogBatch, BlockRef | None]:
    """Apply the next batch, and tell of it; also the index's newest block then. `told` is that of the last time."""
    known = await trio.to_thread.run_sync(index.known_blocks)
    with trio.fail_after(LOGS_SECONDS):
        batch = await ledger.logs(known)
    if batch.more and not batch.blocks:
        raise LedgerUnavailable("the chain promises more events but gives none")
    undone = bool(known) and batch.keep_through < known[-1].number
    others, lost = await _read_by_others(index, known, told)
    if batch.blocks or undone:
        await trio.to_thread.run_sync(partial(index.apply, batch))
    if listener is not None:
        listener.heard(replace(batch, entries=(*others, *batch.entries)), undone or lost)
    kept = (block for block in reversed(known) if block.number <= batch.keep_through)
    return batch, batch.blocks[-1] if batch.blocks else next(kept, None)


async def _read_by_others(
    index: LineageIndex, known: Sequence[BlockRef], told: BlockRef | None
) -> tuple[tuple[LogEntry, ...], bool]:
    """What other processes of a shared index have read since `told`, and whether they did more than that says."""
    if told is None or told in known[-1:]:
        return (), False
    if told not in known:  # taken back, or long ago
        return (), True
    entries = await trio.to_thread.run_sync(index.entries, told.number, known[-1].number)
    return entries, len(entries) == MAX_ENTRIES


def _failed(state: Progress, reason: str, pause: float, *, another: bool = False) -> None:
    """Tell of a failure once, not at every try."""
    before = (state.error, state.another_chain)
    state.error, state.another_chain = reason, another
    said_already = before == (state.error, state.another_chain) or (before[1] and state.another_chain)
    level = logging.DEBUG if said_already else logging.WARNING
    log.log(level, "the lineage index is not advancing: %s; next try in %g s", state.error, pause)
