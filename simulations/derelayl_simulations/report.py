"""What many seeds of one scenario add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .columns import COLUMNS
from .golden import Golden, Verdict
from .runner import Result
from .scenarios import Scenario

MEASURED_ROUNDS = (1, 5, 10, 51, 100, 1000, 5000)  # and the last
MEASURED_COLUMNS = (
    "owners", "trainers", "models", "latest", "behind_1", "behind_2", "none", "coins", "gini", "common_ancestor_depth",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """One column at one round, over the seeds that are still alive then."""

    round: int
    column: str
    seeds: int
    mean: float
    deviation: float | None  # standard deviation over seeds; None for a single one
    standard_error: float | None  # of the mean
    golden: float | None  # the published number, from a single run of the authors' script
    allowed: float | None  # how far the mean may lie from it
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A run of a scenario, without its tables."""

    scenario: Scenario
    rounds: int
    seeds: tuple[int, ...]
    died_out: dict[int, int]  # seed → the round that selected nobody
    measured: tuple[Measured, ...]

    @property
    def off(self) -> tuple[Measured, ...]:
        """Return what does not agree with the published numbers."""
        return tuple(row for row in self.measured if row.verdict is Verdict.OFF)

    @property
    def checked(self) -> int:
        """Return how many numbers were compared with published ones."""
        return sum(row.verdict in (Verdict.OK, Verdict.OFF) for row in self.measured)

    @property
    def unjudged(self) -> int:
        """Return how many published numbers of these rounds were not compared, for want of seeds still alive."""
        due = sum(len(row) for number, row in self.scenario.golden.items() if number <= self.rounds)
        return due - self.checked

    def document(self) -> dict[str, Any]:
        """Return it in the form of summary.json."""
        return {
            "scenario": self.scenario.name,
            "parameters": asdict(self.scenario.parameters),
            "rounds": self.rounds,
            "seeds": list(self.seeds),
            "died_out": {str(seed): dead for seed, dead in self.died_out.items()},
            "checked": self.checked,
            "off": len(self.off),
            "unjudged": self.unjudged,
            "columns": COLUMNS,
            "measured": [asdict(row) for row in self.measured],
        }


def summarise(scenario: Scenario, results: Sequence[Result]) -> Summary:
    """Measure the results of a scenario, which are of equal length and in the order of their seeds."""
    rounds = results[0].rounds
    measured: list[Measured] = []
    for number in sorted({number for number in (*MEASURED_ROUNDS, rounds) if number <= rounds}):
        alive = [result for result in results if result.survives(number)]
        golden = scenario.golden.get(number, {})
        if alive:
            measured += [_measure(alive, number, column, golden.get(column)) for column in MEASURED_COLUMNS]
    return Summary(scenario, rounds, tuple(result.seed for result in results), _died_out(results), tuple(measured))


def _died_out(results: Sequence[Result]) -> dict[int, int]:
    dead = {result.seed: np.flatnonzero(result.column("live_tips") == 0) for result in results}
    return {seed: int(rows[0]) + 1 for seed, rows in dead.items() if len(rows)}


def _measure(alive: Sequence[Result], number: int, column: str, golden: Golden | None) -> Measured:
    values = np.array([result.column(column)[number - 1] for result in alive])
    seeds, mean = len(values), float(values.mean())
    if seeds == 1:
        verdict = Verdict.TOO_FEW_SEEDS if golden else None
        return Measured(number, column, 1, mean, None, None, golden.value if golden else None, None, verdict)
    deviation = float(values.std(ddof=1))
    return Measured(
        round=number,
        column=column,
        seeds=seeds,
        mean=mean,
        deviation=deviation,
        standard_error=deviation / seeds**0.5,
        golden=golden.value if golden else None,
        allowed=golden.allowed(deviation, seeds) if golden else None,
        verdict=golden.judge(mean, deviation, seeds) if golden else None,
    )
