"""A claim of the table `fidelity`: one number that must be zero, or follow from a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LARGEST, RELATIVE, OVER = "largest difference", "relative difference", "share of the formula"

UNITS = {LARGEST: ("", 1.0), RELATIVE: ("1e-7", 1e-7), OVER: ("", 1.0)}
"""Unit of each metric and its size; 1e-7 is about the distance of a float32 from its neighbour, as a share."""


@dataclass(frozen=True)
class Figure:
    """What is claimed, the metric, and how it is measured from a seed and a number of steps; the claim has no colon."""

    claim: str
    metric: str
    measure: Callable[[int, int], float]
