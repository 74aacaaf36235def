"""How the runs compare with the numbers that the authors' public script printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..published.golden import GOLDEN, MINIMUM_SEEDS, Golden, Verdict
from .results import Floats, Results

SCENARIOS = frozenset({"published", "published-long"})
"""The scenarios whose parameters are those of the script."""

MEASURED_ROUNDS = (1, 5, 10, 51, 100, 1000, 5000)  # and the last
MEASURED_COLUMNS: Mapping[str, str] = {
    "owners": "owners", "trainers": "trainers", "models": "models", "share_latest": "latest",
    "share_behind_1": "behind_1", "share_behind_2": "behind_2", "share_none": "none", "supply": "coins", "gini": "gini",
    "common_ancestor_depth": "common_ancestor_depth",
}  # fmt: skip
"""Column → its name among the published numbers."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One column at one round, over the seeds that are still alive then."""

    round: int
    column: str
    seeds: int
    mean: float
    deviation: float | None  # standard deviation over seeds; None for a single one
    golden: Golden | None  # the published number, from a single run of the authors' script
    verdict: Verdict | None

    @property
    def standard_error(self) -> float | None:
        """Of the mean."""
        return None if self.deviation is None else self.deviation / self.seeds**0.5


@dataclass(frozen=True, slots=True)
class Reproduction:
    """All measured numbers of a study's single point."""

    measured: tuple[Measured, ...]
    due: int  # published numbers of rounds that were played
    seeds: int

    @property
    def off(self) -> tuple[Measured, ...]:
        """Return what does not agree with the published numbers."""
        return tuple(row for row in self.measured if row.verdict is Verdict.OFF)

    @property
    def checked(self) -> int:
        """Return how many numbers were compared with published ones."""
        return sum(row.verdict in (Verdict.OK, Verdict.OFF) for row in self.measured)

    def complaint(self) -> str | None:
        """Return what is wrong in one sentence, None if nothing is.

        Dying out is a disagreement too: else a mechanism that never survives would have nothing to be wrong about.
        """
        if self.off:
            which = ", ".join(f"{row.column} at round {row.round}" for row in self.off)
            return f"{len(self.off)} of {self.checked} published numbers are off: {which}"
        if self.due > self.checked and self.seeds >= MINIMUM_SEEDS:
            why = f"fewer than {MINIMUM_SEEDS} of {self.seeds} seeds survive that long"
            return f"{self.due - self.checked} published numbers cannot be compared: {why}"
        return None


def reproduce(results: Results, judged: bool) -> Reproduction:
    """Measure the first point of a study; compare it with the published numbers if they are about these parameters."""
    rounds = results.study.at(0).rounds
    numbers = sorted({number for number in (*MEASURED_ROUNDS, rounds) if number <= rounds})
    extinct = results.extinct_rounds()
    tables = results.matrices(MEASURED_COLUMNS)
    measured: list[Measured] = []
    for number in numbers:
        alive = [place for place, dead in enumerate(extinct) if dead is None or dead > number]
        golden = GOLDEN.get(number, {}) if judged else {}
        if alive:
            measured += [
                _measure(values[alive, number - 1], number, column, golden.get(MEASURED_COLUMNS[column]))
                for column, values in tables.items()
            ]
    due = sum(len(row) for number, row in GOLDEN.items() if number <= rounds) if judged else 0
    return Reproduction(tuple(measured), due, len(extinct))


def comparable(results: Results) -> bool:
    """Tell whether the published numbers are about this study: the published scenario with nothing changed."""
    study = results.study
    return study.scenario.name in SCENARIOS and study.method == "run" and not set(study.changed) - {"rounds"}


def _measure(values: Floats, number: int, column: str, golden: Golden | None) -> Measured:
    seeds, mean = len(values), float(values.mean())
    if seeds == 1:
        return Measured(number, column, 1, mean, None, golden, Verdict.TOO_FEW_SEEDS if golden else None)
    deviation = float(values.std(ddof=1))
    return Measured(
        number, column, seeds, mean, deviation, golden, golden.judge(mean, deviation, seeds) if golden else None
    )
