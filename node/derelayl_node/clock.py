"""The machine's clock as roles and followers see it."""

from __future__ import annotations

import time

import trio


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await trio.sleep(seconds)
