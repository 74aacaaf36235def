"""How many blocks to ask a chain's node for at once: found out by asking, because every node has a limit of its own."""

from __future__ import annotations

FIRST_BLOCKS = 2_000
"""Blocks of the first range: what public nodes commonly allow."""

MOST_BLOCKS = 500_000
"""Blocks of the largest range: five months of a usual chain; a node that answers it at once answers anything."""

FORGET_AFTER = 32
"""Full ranges answered after a refusal, after which more is tried again: some limits are of results, not of blocks."""


class Span:
    """Doubles with every full range that is answered, halves with every refusal, and remembers what was refused."""

    def __init__(self, first: int = FIRST_BLOCKS, most: int = MOST_BLOCKS) -> None:
        self.blocks = min(first, most)
        self._most = most
        self._refused: int | None = None
        self._answered = 0

    def answered(self, blocks: int) -> None:
        """Note that a range of so many blocks was answered; one that is not full says nothing about the limit."""
        if blocks < self.blocks:
            return
        self._answered += 1
        if self._answered > FORGET_AFTER:
            self._refused, self._answered = None, 0
        limit = self._most if self._refused is None else self._refused - 1
        self.blocks = max(self.blocks, min(2 * self.blocks, self._most, limit))

    def refused(self, blocks: int) -> None:
        """Note that the node wants to be asked for less."""
        self._refused, self._answered = blocks, 0
        self.blocks = max(1, blocks // 2)

    def silent(self) -> None:
        """Note that there was no answer: perhaps the range took the node too long. Nothing is known of its limit."""
        self.blocks = max(1, self.blocks // 2)
