"""Keep the index up with the chain: ask for logs, apply them, wait, and go on when the chain or the disk fails."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import trio

from ..pace import Pace
from ..ports import AnotherChain, Clock, Ledger, LedgerUnavailable, LogBatch
from .database import IndexUnusable
from .index import LineageIndex

LOGS_SECONDS: Final = 240.0
"""The longest one question for logs may take: longer than a ledger's own patience, which tells what is the matter."""

SAY_SECONDS: Final = 10.0
"""Between two words on how far a long reading is."""

MAX_BACKOFF_SECONDS: Final = 60.0
"""The longest pause after failures: an endpoint that comes back is noticed within a minute."""

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
        """An answer of the log that is in the index now; `undone` says that it took back what was there."""

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
    while True:
        try:
            batch = await _read_once(ledger, index, listener)
        except (LedgerUnavailable, IndexUnusable, trio.TooSlowError) as error:
            pause = min(max(pause, pace.poll_seconds) * 2, MAX_BACKOFF_SECONDS)
            _failed(state, error, pause)
            if listener is not None:
                listener.missed(error)
            await clock.sleep(pause)
            continue
        if state.error:
            log.info("the lineage index is advancing again")
        state.reachable, state.error, state.another_chain, pause = True, "", False, pace.poll_seconds
        if batch.more:
            if clock.now() - said_at >= SAY_SECONDS:
                said_at = clock.now()
                log.info("reading the ledger's log: at block %d", batch.blocks[-1].number)
            continue
        if batch.lagging:
            state.error = "the chain's node is behind what was read before: it catches up, or another one is needed"
        else:
            state.caught_up_at = clock.now()
        await pace.sleep()


async def _read_once(ledger: Ledger, index: LineageIndex, listener: Listener | None) -> LogBatch:
    """Apply the next batch."""
    known = await trio.to_thread.run_sync(index.known_blocks)
    with trio.fail_after(LOGS_SECONDS):
        batch = await ledger.logs(known)
    if batch.more and not batch.blocks:
        raise LedgerUnavailable("the chain promises more events but gives none")
    undone = bool(known) and batch.keep_through < known[-1].number
    if batch.blocks or undone:
        await trio.to_thread.run_sync(partial(index.apply, batch))
    if listener is not None:
        listener.heard(batch, undone)
    return batch


def _failed(state: Progress, error: Exception, pause: float) -> None:
    """Tell of a failure once, not at every try."""
    before = (state.error, state.another_chain)
    state.error = str(error) or "the chain did not answer in time"
    state.reachable, state.another_chain = isinstance(error, IndexUnusable), isinstance(error, AnotherChain)
    said_already = before == (state.error, state.another_chain) or (before[1] and state.another_chain)
    level = logging.DEBUG if said_already else logging.WARNING
    log.log(level, "the lineage index is not advancing: %s; next try in %g s", state.error, pause)
