"""Are the methods what they say? Figures that must be zero, or follow from a formula, where a method is what it says.

Every figure is of a network of a few thousand weights, one row a claim; values are over the seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.learning import fidelity_attention, fidelity_local, fidelity_pseudoinverse
from benchmarks.learning.figure import UNITS, Figure
from benchmarks.learning.harness import Log, Measured
from benchmarks.rows import Row, row

FIGURES: Mapping[str, Figure] = {
    figure.claim: figure
    for figure in (*fidelity_local.FIGURES, *fidelity_attention.FIGURES, *fidelity_pseudoinverse.FIGURES)
}

QUICK_STEPS, STEPS = 3, 20
"""Optimiser steps of the legs that a figure takes."""


class FidelityTable:
    """Every claim, a figure each."""

    name = "fidelity"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        return list(FIGURES)

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table."""
        figure = FIGURES[case]
        unit, size = UNITS[figure.metric]
        value = figure.measure(seed, QUICK_STEPS if quick else STEPS) / size
        log(f"{case}: {figure.metric} {value:.3g} {unit}")
        return {"value": value}

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        metrics = {case: FIGURES[case].metric for case in measured}
        return [
            row(f"fidelity: {case}", metrics[case], UNITS[metrics[case]][0], [run["value"] for run in runs])
            for case, runs in measured.items()
        ]


TABLE = FidelityTable()
