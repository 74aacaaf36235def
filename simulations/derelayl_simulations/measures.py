"""Measures of a distribution that more than one rule set needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gini(ascending: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Gini coefficient of amounts from 0 on that ascend along the last axis; (..., people) to (...).

    2 Σ i·x_i / (n Σ x_i) - (n + 1) / n over the amounts x_i; 0 if nobody has anything.
    """
    people, total = ascending.shape[-1], ascending.sum(axis=-1)
    weighted = (np.arange(1.0, people + 1) * ascending).sum(axis=-1)  # not a BLAS product: its bits differ by machine
    some = total > 0
    return np.where(some, 2 * weighted / np.where(some, people * total, 1.0) - (people + 1) / max(people, 1), 0.0)
