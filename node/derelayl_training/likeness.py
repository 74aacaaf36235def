"""Which children are one in function: their losses change alike, sample by sample.

Source: docs/PROTOCOL.md section 4 (Scores).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Changes = NDArray[np.float64]

GUARD = 2.0
"""Standard errors, on Fisher's scale, by which a correlation must exceed the threshold: with few samples those of
honest legs scatter, and one that is taken for a copy costs its trainer the bond (docs/LEARNING.md)."""


def originals(changes: Sequence[Changes | None], parents: Sequence[int], alike: float) -> tuple[int, ...]:
    """Name for each child the first one of the same parent that is one with it in function: itself if there is none.

    `changes[i]` (N,) are child i's losses less its parent's, all on the same samples; None for one without losses,
    which is its own. Two are one whose changes correlate (Pearson) above `alike` by GUARD standard errors, or are the
    same to the bit. With 0, each is its own.
    """
    named = list(range(len(changes)))
    if alike <= 0:
        return tuple(named)
    rows = [_unit(each) for each in changes]
    for late, change in enumerate(changes):
        for early in range(late):
            other = changes[early]
            if change is None or other is None or parents[early] != parents[late]:
                continue
            if float(rows[early] @ rows[late]) >= surely(alike, len(change)) or np.array_equal(other, change):
                named[late] = early
                break
    return tuple(named)


def surely(alike: float, samples: int) -> float:
    """The least correlation of so many samples that is above `alike` by GUARD standard errors; above 1 if none is."""
    if samples <= 3:
        return math.inf
    return math.tanh(math.atanh(alike) + GUARD / math.sqrt(samples - 3)) if alike < 1 else alike


def _unit(changes: Changes | None) -> Changes:
    """Shift to a mean of 0 and scale to a length of 1, so that a product is a correlation; zeros where none differs."""
    if changes is None:
        return np.zeros(0)
    centred: Changes = changes - changes.mean()
    length = float(np.linalg.norm(centred))
    return centred / length if length > 0 else np.zeros_like(centred)
