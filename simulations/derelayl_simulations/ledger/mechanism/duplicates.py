"""Other ways to tell which legs are copies."""

from __future__ import annotations

from ..arithmetic import Ints
from .port import Copies, Duplicates


class Allowed(Duplicates):
    """Lets copies be: every leg is a training of its own."""

    def classes(self, copies: Copies) -> Ints | None:
        return None


class Exact(Duplicates):
    """Knows which children are exactly the same, and takes nothing else for a copy: the best that a test could do."""

    def classes(self, copies: Copies) -> Ints | None:
        assert copies.evidence is not None, "a mechanism with this rule asks for evidence"
        return copies.evidence.twin
