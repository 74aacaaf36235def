"""The running round for all roles of a node: asked for when the log has an event of its model, not at every look."""

from __future__ import annotations

import logging

import trio

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.types import ModelId

from .pace import MAX_BACKOFF_SECONDS, Pace, first_of
from .ports import AnotherChain, Clock, Ledger, LedgerUnavailable, LogBatch

log = logging.getLogger(__name__)

READ_AGAIN_SECONDS = 300.0
"""After this long the round is asked for without an event, in case one was missed."""


class RoundWatch:
    """Gives the roles the round, again at every look, because deadlines pass without an event.

    The follower of the log tells it what it hears. A round changes only by events of its model, so it is asked for
    after those, and at every look while the log is not followed: while it is read from afar, or cannot be read.
    Of another chain nothing is given.
    """

    def __init__(self, ledger: Ledger, clock: Clock, model: ModelId, pace: Pace) -> None:
        self._ledger = ledger
        self._clock = clock
        self._model = model
        self._pace = pace
        self._changed = trio.Event()
        self._woken = trio.Event()
        self._heard_once = trio.Event()
        self._following = False
        self._another = False
        self._due = True
        self._read_at = 0.0
        self._error = ""
        self.latest: RoundView | None = None

    def heard(self, batch: LogBatch, undone: bool) -> None:
        """Take note of an answer of the log; `undone` says that it takes back what was told before."""
        self._following, self._another = not batch.more, False
        if undone or any(getattr(entry.event, "model", None) == self._model for entry in batch.entries):
            self._due = True
            self._pace.hurry()
            self._woken.set()
        self._heard_once.set()

    def missed(self, error: Exception) -> None:
        """Take note that the log could not be read."""
        self._following, self._another, self._due = False, isinstance(error, AnotherChain), True
        self._heard_once.set()

    async def run(self) -> None:
        """Look until cancelled; a silent chain is asked less and less often."""
        await self._heard_once.wait()  # by then it is known whose chain this is
        pause = self._pace.poll_seconds
        while True:
            if self._another:
                await self._pace.sleep()
                continue
            try:
                await self._look()
            except (LedgerUnavailable, RuleViolation) as error:
                pause = min(2 * pause, MAX_BACKOFF_SECONDS)
                if str(error) != self._error:
                    log.warning("%s; next try in %g s", error, pause)
                self._error = str(error)
                await self._clock.sleep(pause)
                continue
            pause, self._error = self._pace.poll_seconds, ""
            self._woken = trio.Event()
            if not self._due:
                await first_of(self._pace.sleep, self._woken.wait)

    async def next(self) -> RoundView:
        """The next look."""
        await self._changed.wait()
        assert self.latest is not None, "the event is set after a look"
        return self.latest

    async def _look(self) -> None:
        now = self._clock.now()
        if self._due or not self._following or now - self._read_at >= READ_AGAIN_SECONDS:
            self._due = False
            try:
                self.latest = await self._ledger.round(self._model)
            except BaseException:
                self._due = True
                raise
            self._read_at = now
            self._pace.phase_ends(self.latest.deadline)
        self._changed.set()
        self._changed = trio.Event()
