"""Other things to compare a child with."""

from __future__ import annotations

import numpy as np

from .port import Base, Floats


class Parent(Base):
    """Compares a child with its parent alone, without the averages of the tips."""

    def base(self, parent: Floats, best: Floats, average: Floats) -> Floats:
        return parent


class Tips(Base):
    """Compares a child with the best tip, without the averages of the tips.

    One hypothesis that everybody improves: Abernethy and Frongillo, NIPS 2011, arXiv 1111.2664.
    """

    def base(self, parent: Floats, best: Floats, average: Floats) -> Floats:
        return np.maximum(parent, best)
