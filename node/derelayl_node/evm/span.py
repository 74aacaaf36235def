"""How many blocks to ask a chain's node for at once: found out by asking, because every node has a limit of its own."""

from __future__ import annotations

FIRST_BLOCKS = 2_000
"""Blocks of the first range: what public nodes commonly allow."""

MOST_BLOCKS = 500_000
"""Blocks of the largest range: five months of a usual chain; a node that answers it at once answers anything."""

FORGET_AFTER = 32
"""Full ranges answered after a refusal, after which more is tried again: some limits are of results, not of blocks."""


WORTH_TRYING = 1.2
"""A range this much longer than one that was answered is tried below one that was refused."""


class Span:
    """Doubles with every full range that is answered, until one is refused; then comes near to that from below."""

    def __init__(self, first: int = FIRST_BLOCKS, most: int = MOST_BLOCKS) -> None:
        self.blocks = min(first, most)
        self._most = most
        self._good = 0
        self._refused: int | None = None
        self._answered = 0

    def answered(self, blocks: int) -> None:
        """Note that a range of so many blocks was answered; one that is not full says nothing about the limit."""
        if blocks < self.blocks:
            return
        self._good = blocks
        self._answered += 1
        if self._answered > FORGET_AFTER:
            self._refused, self._answered = None, 0
        longer = 2 * blocks
        if self._refused is not None and longer >= self._refused:
            longer = (blocks + self._refused) // 2
        if longer >= WORTH_TRYING * blocks:
            self.blocks = min(longer, self._most)

    def refused(self, blocks: int) -> None:
        """Note that the node wants to be asked for less."""
        if blocks <= self._good:  # no limit of blocks, then, but of what is in them
            self._good = 0
        self._refused, self._answered = blocks, 0
        self.blocks = self._good or max(1, blocks // 2)

    def silent(self) -> None:
        """Note that there was no answer: perhaps the range took the node too long. Nothing is known of its limit."""
        self.blocks = max(1, self.blocks // 2)
