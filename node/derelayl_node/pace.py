"""How often a node looks at its chain: as often as it is told while something happens, rarely while nothing does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from .ports import Clock

IDLE_SECONDS = 5.0
"""Between two looks while nothing happens: twelve requests a minute, and half a usual block's time on average."""

BUSY_SECONDS = 30.0
"""After an event or a deadline: others answer to it within this time, or wait for a deadline of their own."""

MAX_BACKOFF_SECONDS = 30.0
"""Longest pause between two tries while the chain is down: one that comes back is noticed within it."""

SHARE_OF_PHASE = 0.02
"""In a long phase, the share of what is left of it after which to look again."""


class Pace:
    """One for all that look at one chain."""

    def __init__(self, clock: Clock, poll_seconds: float) -> None:
        """`poll_seconds` lie between two looks while something happens."""
        self.poll_seconds = poll_seconds
        self._clock = clock
        self._deadline = 0.0
        self._busy_until = 0.0
        self._hurried = trio.Event()

    def seconds(self) -> float:
        """How long to wait between two looks now."""
        now = self._clock.now()
        if now < self._busy_until or 0 <= now - self._deadline < BUSY_SECONDS:
            return self.poll_seconds
        left = self._deadline - now
        idle = max(self.poll_seconds, IDLE_SECONDS)
        return idle if left <= 0 else min(max(self.poll_seconds, SHARE_OF_PHASE * left), idle)

    def phase_ends(self, deadline: float) -> None:
        """Note when the running phase ends, in Unix seconds; 0 for one that does not end by itself."""
        self._deadline = deadline

    def hurry(self) -> None:
        """Something happens: look often for a while."""
        self._busy_until = self._clock.now() + BUSY_SECONDS
        self._hurried.set()
        self._hurried = trio.Event()

    async def sleep(self) -> None:
        """Wait until the next look is due; never shorter than `poll_seconds`, whoever hurries."""
        began = self._clock.now()
        await self._clock.sleep(self.poll_seconds)
        while (left := began + self.seconds() - self._clock.now()) > 0:
            await first_of(lambda left=left: self._clock.sleep(left), self._hurried.wait)  # type: ignore[misc]


async def first_of(*waits: Callable[[], Awaitable[object]]) -> None:
    """Wait for whichever comes first."""
    async with trio.open_nursery() as nursery:

        async def wait(one: Callable[[], Awaitable[object]]) -> None:
            await one()
            nursery.cancel_scope.cancel()

        for one in waits:
            nursery.start_soon(wait, one)
