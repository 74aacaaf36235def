"""Readings of several calls at one block, on a chain that may forget that block's state meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from .provider import StateGone

T = TypeVar("T")

FRESH_HEADS = 3
"""Heads at which a reading is tried: one block may overtake it, two in a row happen, more do not on a usual chain."""


async def at_fresh_head(read: Callable[[], Awaitable[T]]) -> T:
    """What `read` gives, called again when the state of its block is gone; it must ask for the head each time.

    Raises StateGone after FRESH_HEADS tries.
    """
    for _ in range(FRESH_HEADS - 1):
        with suppress(StateGone):
            return await read()
    return await read()
