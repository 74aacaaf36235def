"""Answers that are kept until the index changes, so that what many ask for is computed once for each block."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from derelayl_protocol.limits import MIB

KEPT_BYTES: Final = 16 * MIB
"""Memory for answers: eighty of the longest pages, or some ten thousand checkpoints."""

BESIDE_BYTES: Final = 2_048
"""What keeping an answer takes beside its body: headers, key and bookkeeping."""

Key: TypeAlias = tuple[str, bytes]
"""Path and query."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A document with the headers that it is sent with; `tag` is its entity tag."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    tag: str


@dataclass(slots=True)
class Answers:
    """The answers that were asked for last, all of one state of the index: `changes` counts its states.

    An answer is put with the count from before it was computed, so none is older than its count says.
    """

    changes: Callable[[], int]
    most_bytes: int = KEPT_BYTES
    _count: int = -1
    _bytes: int = 0
    _kept: OrderedDict[Key, Answer] = field(default_factory=OrderedDict)

    def get(self, key: Key) -> Answer | None:
        """The answer, if it still holds."""
        self._forget_what_is_past()
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Key, count: int, answer: Answer) -> None:
        """Keep an answer, unless the index has changed since `count`; those not asked for longest make room."""
        self._forget_what_is_past()
        if count != self._count or key in self._kept:
            return
        self._kept[key] = answer
        self._bytes += len(answer.body) + BESIDE_BYTES
        while self._bytes > self.most_bytes:
            _, last = self._kept.popitem(last=False)
            self._bytes -= len(last.body) + BESIDE_BYTES

    def _forget_what_is_past(self) -> None:
        now = self.changes()
        if now != self._count:
            self._count, self._bytes = now, 0
            self._kept.clear()
