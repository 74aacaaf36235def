"""Measures of a distribution that more than one rule set needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gini(ascending: NDArray[np.float64]) -> float:
    """Return the Gini coefficient of non-negative amounts sorted in ascending order; 0 if nobody has anything."""
    total, count = float(ascending.sum()), len(ascending)
    if total <= 0:
        return 0.0
    weighted = float((np.arange(1, count + 1) * ascending).sum())  # not a BLAS product: its bits differ by machine
    return 2 * weighted / (count * total) - (count + 1) / count
