"""`Clock` that stands still until a test moves it."""

from __future__ import annotations

import heapq
import itertools

import trio
import trio.testing

START_SECONDS = 1_800_000_000.0
"""Unix seconds at which a fake clock starts: a round number in 2027."""


class FakeClock:
    """Time as a test tells it. Sleepers wake one after another, in the order of their times, first come first."""

    def __init__(self, start: float = START_SECONDS) -> None:
        self._now = start
        self._arrivals = itertools.count()
        self._sleepers: list[tuple[float, int, trio.Event]] = []

    def now(self) -> float:
        """Unix seconds."""
        return self._now

    @property
    def sleepers(self) -> int:
        """How many tasks are asleep."""
        return len(self._sleepers)

    @property
    def next_wake(self) -> float | None:
        """Unix seconds at which the next sleeper wakes, None if nobody sleeps."""
        return self._sleepers[0][0] if self._sleepers else None

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved by `seconds`; at once, but never without a checkpoint, for 0 or less."""
        if seconds <= 0:
            await trio.lowlevel.checkpoint()
            return
        woken = trio.Event()
        sleeper = (self._now + seconds, next(self._arrivals), woken)
        heapq.heappush(self._sleepers, sleeper)
        try:
            await woken.wait()
        finally:
            if not woken.is_set():  # cancelled: nobody has taken it out
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move the clock by `seconds`, stopping at each wake-up until every task has done what it can.

        A task that sleeps again within that time wakes again. Raises ValueError for a negative number.
        """
        if seconds < 0:
            raise ValueError(f"time does not run backwards: {seconds} s")
        end = self._now + seconds
        await trio.testing.wait_all_tasks_blocked()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now, _, woken = heapq.heappop(self._sleepers)
            woken.set()
            await trio.testing.wait_all_tasks_blocked()
        self._now = end
