"""Logging for a program of which strangers can set off lines: so many a minute, and the rest counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

MAX_LINES = 30
"""Of one place in the code within PERIOD_SECONDS; no place of ours has as many to say when all is well."""

PERIOD_SECONDS = 60.0
"""After which a place may speak again, and it is told what was left out."""


@dataclass(slots=True)
class _Place:
    """What one place in the code has said since `began`, and what was left out."""

    began: float
    lines: int = 0
    left_out: int = 0


class SparingHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error; of each place in the code, which is what no stranger can vary, MAX_LINES a period.

    Lines of DEBUG are not limited: who asks for them wants them all.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` gives monotonic seconds."""
        super().__init__()
        self._now = now
        self._places: dict[tuple[str, int], _Place] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line unless its place has said enough, and before it what was left out of earlier periods."""
        now = self._now()
        for key in [key for key, place in self._places.items() if now - place.began >= PERIOD_SECONDS]:
            self._summarise(key, self._places.pop(key))
        place = self._places.setdefault((record.pathname, record.lineno), _Place(now))
        if record.levelno > logging.DEBUG and place.lines >= MAX_LINES:
            place.left_out += 1
            return
        place.lines += 1
        super().emit(record)

    def _summarise(self, key: tuple[str, int], place: _Place) -> None:
        if place.left_out:
            message = f"{place.left_out} more lines like one above were left out within {PERIOD_SECONDS:g} s"
            super().emit(logging.LogRecord(__name__, logging.WARNING, *key, message, None, None))
