"""Pareto fronts: which points are worth a choice, and how far another is from them. Of every cost, less is better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..study.statistics import Floats

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Distance:
    """Where a point stands to the others of the front."""

    dominators: int  # of them that are at least as good in everything and better in something
    nearest: int | None  # the one whose least lead is the greatest; None if there is none or a cost is not known
    lead: float  # that least lead, as a part of the range of its cost; below 0 it is behind somewhere


def front(costs: Floats, allowed: Bools) -> Bools:
    """Return which points no other allowed point dominates, (points,); `costs` is (points, objectives).

    A point that is not allowed, or that has a cost which is not known, is on no front and dominates nothing.
    """
    there = allowed & ~np.isnan(costs).any(axis=1)
    return np.array([here and not dominators(costs, there, row).any() for here, row in zip(there, costs, strict=True)])


def dominators(costs: Floats, allowed: Bools, row: Floats) -> Bools:
    """Return which allowed points are at least as good as a row of costs in everything and better in something."""
    found: Bools = allowed & (costs <= row).all(axis=1) & (costs < row).any(axis=1)
    return found


def distance(costs: Floats, allowed: Bools, point: int) -> Distance:
    """Return where a point stands to the front of the allowed ones; costs are weighed by their range among those."""
    known = allowed & ~np.isnan(costs).any(axis=1)
    others = front(costs, allowed)
    others[point] = False
    found = np.flatnonzero(others)
    if len(found) == 0 or np.isnan(costs[point]).any():
        return Distance(0, None, 0.0)
    width = np.ptp(np.vstack([costs[known], costs[point]]), axis=0)
    leads = ((costs[point] - costs[found]) / np.where(width > 0, width, 1.0)).min(axis=1)
    best = int(np.argmax(leads))
    ahead = dominators(costs, others, costs[point])
    return Distance(int(ahead.sum()), int(found[best]), float(leads[best]))
