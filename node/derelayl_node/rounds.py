"""One poll of the running round for all roles of a node."""

from __future__ import annotations

import logging

import trio

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.types import ModelId

from .ports import Clock, Ledger, LedgerUnavailable

log = logging.getLogger(__name__)

MAX_BACKOFF_SECONDS = 30.0
"""Longest pause between two tries while the chain is down."""


class RoundWatch:
    """Looks at the round every `poll_seconds`; whoever waits gets the newest look, others miss it."""

    def __init__(self, ledger: Ledger, clock: Clock, model: ModelId, poll_seconds: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._model = model
        self._poll_seconds = poll_seconds
        self._changed = trio.Event()
        self.latest: RoundView | None = None
        self.chain_reachable = False

    async def run(self) -> None:
        """Poll until cancelled; a silent chain is asked less and less often."""
        pause = self._poll_seconds
        while True:
            try:
                self.latest = await self._ledger.round(self._model)
                pause, self.chain_reachable = self._poll_seconds, True
                self._changed.set()
                self._changed = trio.Event()
            except (LedgerUnavailable, RuleViolation) as error:  # refused: the chain has lost the model, for a while
                pause, self.chain_reachable = min(2 * pause, MAX_BACKOFF_SECONDS), False
                log.warning("%s; next try in %.0f s", error, pause)
            await self._clock.sleep(pause)

    async def next(self) -> RoundView:
        """The next look."""
        await self._changed.wait()
        assert self.latest is not None, "the event is set after a look"
        return self.latest
