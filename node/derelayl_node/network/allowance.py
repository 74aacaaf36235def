"""How much an author of news may say: a burst, and then so much a second. What is beyond it is not passed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..ports import PeerId

BURST = 32.0
"""News that one author may send at once: an account's children and entries of several rounds."""

PER_SECOND = 1.0
"""News a second in the long run: an account has a bid, a child (told as an entry and shown), a commit and a reveal in a
round, which takes longer than five seconds on any chain."""

MAX_AUTHORS = 4096
"""Authors of whom is remembered what they said; the one that was silent the longest is forgotten first."""


@dataclass(slots=True)
class _Purse:
    left: float
    at: float


class Allowance:
    """What each author may still say. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float], *, burst: float = BURST, per_second: float = PER_SECOND) -> None:
        self._clock, self._burst, self._per_second = clock, burst, per_second
        self._purses: dict[PeerId, _Purse] = {}

    def take(self, author: PeerId) -> bool:
        """Whether the author may say one thing more; if so, it has."""
        now = self._clock()
        purse = self._purses.pop(author, None) or _Purse(self._burst, now)
        purse.left = min(self._burst, purse.left + self._per_second * (now - purse.at))
        purse.at = now
        self._purses[author] = purse  # the newest is the last
        if len(self._purses) > MAX_AUTHORS:
            del self._purses[next(iter(self._purses))]
        if purse.left < 1:
            return False
        purse.left -= 1
        return True
