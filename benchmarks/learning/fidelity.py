"""Are the methods what they say? Figures that must be zero, or follow from a formula, where a method is what it says.

Every figure is of a network of a few thousand weights, one row a claim; values are over the seeds.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.learning import fidelity_attention, fidelity_local, fidelity_pseudoinverse
from benchmarks.learning.figure import UNITS, Figure
from benchmarks.rows import Row, row

FIGURES: tuple[Figure, ...] = (*fidelity_local.FIGURES, *fidelity_attention.FIGURES, *fidelity_pseudoinverse.FIGURES)

QUICK_STEPS, STEPS = 3, 20
"""Optimiser steps of the legs that a figure takes."""


def run(quick: bool, seeds: int, log: Callable[[str], None]) -> list[Row]:
    """Measure every figure once for each seed."""
    rows = []
    for figure in FIGURES:
        unit, size = UNITS[figure.metric]
        values = [figure.measure(seed, QUICK_STEPS if quick else STEPS) / size for seed in range(seeds)]
        rows.append(row(f"fidelity: {figure.claim}", figure.metric, unit, values))
        log(f"{figure.claim}: {figure.metric} {max(values):.3g} {unit}")
    return rows
