"""What rules are chosen by: measures of a world, which of them to improve, and which bounds to keep.

A measure is taken in every run (`probe`), averaged over the seeds, and counts as it is in the worst of the worlds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from derelayl_protocol.errors import LocalFault

from ..scenarios.load import Scenario
from ..study.run import Run, run
from ..study.statistics import Floats
from .equilibrium import deviations

TOP = 0.1  # of the trainers, whose part of all trainers' profits is the concentration
TOP_COLUMN = "top_tenth"
WORST_GAIN = "deviation"  # the measure that takes the greatest of all gains

Comparison = Callable[[float, float], bool]
BOUNDS: Mapping[str, Comparison] = {
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    "<": lambda value, bound: value < bound,
}


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that rules are judged by."""

    name: str
    columns: tuple[str, ...]  # of a run's table; of several, the worst counts
    words: str
    unit: str
    lower: bool  # less of it is better
    lasting: bool = True  # averaged over the last quarter of the rounds; else the last round says it


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound that rules have to keep in every world."""

    measure: Measure
    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.measure.name} {self.sign} {self.bound:g}"

    def holds(self, value: float) -> bool:
        """Tell whether a value keeps it; what could not be measured does not."""
        return BOUNDS[self.sign](value, self.bound)


@dataclass(frozen=True, slots=True)
class Score:
    """What a measure comes to at one point, in the world where it is worst."""

    estimate: float  # mean over the seeds, NaN where a world has nothing to measure
    world: str
    column: str
    values: Floats  # of that world and column, (seeds,)


_KNOWN = {
    each.name: each
    for each in (
        Measure("median", ("profit_trainer",), "profit of the median trainer", "coins a round", lower=False),
        Measure("owner", ("profit_owner",), "profit of the median owner", "coins a round", lower=False),
        Measure("validator", ("profit_validator",), "profit of the median validator", "coins a round", lower=False),
        Measure("concentration", (TOP_COLUMN,), "part of the trainers' profits that their top tenth makes", "share",
                lower=True, lasting=False),
        Measure("gini", ("gini",), "Gini coefficient of the coins", "0 … 1", lower=True),
        Measure("quality", ("quality",), "quality of the best tip", "nats", lower=False),
        Measure("alive", ("relays_alive",), "share of the relays that live at the end", "share", lower=False,
                lasting=False),
    )
}  # fmt: skip

OBJECTIVES = (WORST_GAIN, "median", "concentration", "quality")
CONSTRAINTS = ("alive>=0.8", "validator>0")
"""What `sim optimise` asks for unless told otherwise."""


def measure(name: str, scenario: Scenario) -> Measure:
    """Return a measure by its name: one of the known, `deviation`, or the gain of one of `[search]`'s strategies.

    Raises LocalFault if there is none of that name.
    """
    search = scenario.search
    tried = dict.fromkeys((*search.trainer, *search.validator, *search.rings))
    controls = dict.fromkeys(search.control)
    gain = Measure(name, (gain_column(name),), f"gain of {name}", "money a round and person", lower=True, lasting=False)
    if name == WORST_GAIN:
        columns = tuple(gain_column(each) for each in tried if each != "honest" and each not in controls)
        return replace(gain, columns=columns, words="greatest gain of a tried deviation")
    if name in _KNOWN:
        return _KNOWN[name]
    if name in tried or name in controls:
        return gain
    known = ", ".join((WORST_GAIN, *_KNOWN, *tried, *controls))
    raise LocalFault(f"{name} is nothing that rules are judged by; there are {known}")


def constraint(text: str, scenario: Scenario) -> Constraint:
    """Read NAME>NUMBER, or with >=, < or <=. Raises LocalFault where it is none."""
    found = re.fullmatch(r"\s*([a-z-]+)\s*(>=|<=|>|<)\s*(\S+)\s*", text)
    try:
        if found is None:
            raise ValueError
        return Constraint(measure(found[1], scenario), found[2], float(found[3]))
    except ValueError:
        raise LocalFault(f"{text} is no constraint; write NAME>=NUMBER, as in {', '.join(CONSTRAINTS)}") from None


def probe(scenario: Scenario, seed: int, keep_history: bool = False) -> Run:
    """Play a scenario and its deviations with one seed; what the search found stands in the table's last round.

    Nobody's coins are kept. Raises LocalFault for the published rules, which know no strategies.
    """
    played = run(scenario, seed)
    found = {gain_column(name): each.gain for name, each in deviations(scenario, seed).items()}
    trainers = played.people["role"] == "trainer"
    found[TOP_COLUMN] = top_share(played.people["profit"][trainers])
    table = {name: np.append(np.full(scenario.rounds - 1, np.nan), value) for name, value in found.items()}
    return replace(played, table=played.table | table, people={}, coins=None)


def gain_column(strategy: str) -> str:
    """Name the column of what a strategy brings beyond honesty."""
    return f"gain_{strategy}"


def top_share(profits: Floats) -> float:
    """Return the part of all that is earned which the top tenth of these people earn; losses count as nothing.

    NaN where nobody earns anything.
    """
    earned = np.sort(np.maximum(profits, 0.0))[::-1]
    total = earned.sum()
    return float(earned[: max(1, round(TOP * len(earned)))].sum() / total) if total > 0 else float("nan")


def score(measured: Measure, worlds: Mapping[str, Mapping[str, Floats]]) -> Score:
    """Return the worst over worlds and columns of the mean over seeds; `worlds` maps to columns (seeds,) of a point.

    Seeds, and deviations, that have nothing to measure are left out; a world without any value is the worst there is.
    """
    sign = 1.0 if measured.lower else -1.0
    worst: list[Score] = []
    for world, columns in worlds.items():
        scores = [Score(_mean(columns[name]), world, name, columns[name]) for name in measured.columns]
        there = [each for each in scores if not np.isnan(each.estimate)]
        if not there:
            return scores[0]
        worst.append(max(there, key=lambda each: sign * each.estimate))
    return max(worst, key=lambda each: sign * each.estimate)


def costs(measures: Sequence[Measure], scores: Sequence[Mapping[str, Score]]) -> Floats:
    """Return the estimates as something of which less is better, (points, measures)."""
    signs = np.array([1.0 if each.lower else -1.0 for each in measures])
    estimates = np.array([[row[each.name].estimate for each in measures] for row in scores])
    return np.asarray(estimates * signs)


def _mean(values: Floats) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")
