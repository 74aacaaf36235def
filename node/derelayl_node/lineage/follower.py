"""Keep the index up with the chain: ask for logs, apply them, wait, and go on when the chain or the disk fails."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from ..ports import Clock, Ledger, LedgerUnavailable
from .database import IndexUnusable
from .index import LineageIndex

LOGS_SECONDS: Final = 240.0
"""The longest one question for logs may take: longer than a ledger's own patience, which tells what is the matter."""

MAX_BACKOFF_SECONDS: Final = 60.0
"""The longest pause after failures: an endpoint that comes back is noticed within a minute."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """How the follower is doing; written by `follow`, read by the API. Times are the clock's Unix seconds."""

    reachable: bool = False
    caught_up_at: float | None = None
    error: str = ""

    def lag_seconds(self, now: float) -> float | None:
        """Seconds since the index last held everything the chain had; None if it never has."""
        return None if self.caught_up_at is None else max(0.0, now - self.caught_up_at)


async def follow(
    ledger: Ledger, index: LineageIndex, clock: Clock, poll_seconds: float, progress: Progress | None = None
) -> None:
    """Follow the ledger until cancelled; failures are logged, shown in `progress` and tried again."""
    state = progress or Progress()
    pause = poll_seconds
    while True:
        try:
            more = await _read_once(ledger, index)
        except (LedgerUnavailable, IndexUnusable, trio.TooSlowError) as error:
            pause = min(max(pause, poll_seconds) * 2, MAX_BACKOFF_SECONDS)
            _failed(state, error, pause)
            await clock.sleep(pause)
            continue
        state.reachable, state.error, pause = True, "", poll_seconds
        if not more:
            state.caught_up_at = clock.now()
            await clock.sleep(poll_seconds)


async def _read_once(ledger: Ledger, index: LineageIndex) -> bool:
    """Apply the next batch; tell whether there is more to read now."""
    known = await trio.to_thread.run_sync(index.known_blocks)
    with trio.fail_after(LOGS_SECONDS):
        batch = await ledger.logs(known)
    if batch.more and not batch.blocks:
        raise LedgerUnavailable("the chain promises more events but gives none")
    if batch.blocks or not known or batch.keep_through < known[-1].number:
        await trio.to_thread.run_sync(partial(index.apply, batch))
    return batch.more


def _failed(state: Progress, error: Exception, pause: float) -> None:
    state.error = str(error) or "the chain did not answer in time"
    state.reachable = isinstance(error, IndexUnusable)
    log.warning("the lineage index is not advancing: %s; next try in %g s", state.error, pause)
