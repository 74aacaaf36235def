"""What helps a relay over skewed data against forgetting, and when keeping the largest changes alone does.

Each case passes one network over the sites' shards (as in table 3, `relay`), with one dial beside none in the same
run: test accuracy, GEM's ACC and BWT. Values were fixed before the run. Rehearsal is left out: a site's data does not
change here, so its past data is its data. The `sparse` cases ask when keeping 1 % or 10 % of each tensor's changes is
worth it: a convolutional network and a transformer, three skews, and four times as many hand-overs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.rows import Row, row
from derelayl_training.jobs import Architecture
from derelayl_training.recipe import Recipe, parse_recipe

from . import relay
from .harness import Log, Measured
from .relay_choices import RelayDials

BUDGET = replace(relay.FULL, steps=600)
RATE = 0.05
SHORT, LONG = 10, 60
"""Steps of a leg: twelve passes over the five sites, or two."""

NONE = "no dial"

DIALS: Mapping[str, str] = {
    NONE: "",
    "plain cross-entropy": "balanced=false",
    "prox 0.1": "prox=0.1",
    "distil 0.5": "distil=0.5",
    "merge": "merge=true",
    "consolidate 100": "consolidate=100",
    "sparse 10 %": "method=sparse,keep=0.1",
    "sparse 1 %": "method=sparse,keep=0.01",
}

TRANSFORMER = Architecture(
    "vit",
    {"channels": 1, "height": 28, "width": 28, "classes": 10, "patch": 7, "dimension": 48, "depth": 3, "heads": 4,
     "segments": 3},
)  # fmt: skip

NETWORKS: Mapping[str, tuple[Architecture, str, float]] = {
    "small-cnn": (relay.NETWORK, "", RATE),
    "transformer": (TRANSFORMER, "optimiser=adamw,", 1e-3),
}
"""Network, what its recipe begins with, rate."""


@dataclass(frozen=True)
class Case:
    """One relay. `times` stretches the number of steps, and so of hand-overs."""

    split: str
    dial: str
    leg_steps: int
    network: str = "small-cnn"
    times: int = 1

    @property
    def setting(self) -> str:
        """All but the dial: what is compared lies within it."""
        more = "" if self.times == 1 else f", {self.times} times the hand-overs"
        return f"{self.network}, {self.split}, legs of {self.leg_steps}{more}"

    @property
    def name(self) -> str:
        return f"{self.setting}: {self.dial}"


SPARSE = (NONE, "sparse 10 %", "sparse 1 %")

CASES = (
    *(Case("label-disjoint", dial, legs) for legs in (SHORT, LONG) for dial in DIALS),
    *(Case("Dirichlet 0.1", dial, SHORT) for dial in DIALS),
    *(Case("IID", dial, SHORT) for dial in SPARSE),
    *(Case(split, dial, SHORT, "transformer") for split in ("IID", "Dirichlet 0.1") for dial in SPARSE),
    *(Case("Dirichlet 0.1", dial, SHORT, times=4) for dial in SPARSE),
)

QUICK_CASES = tuple(case for case in CASES if case.split == "label-disjoint" and case.leg_steps == SHORT)


class ForgettingTable:
    """The dials side by side."""

    name = "forgetting"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        return [case.name for case in (QUICK_CASES if quick else CASES)]

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table."""
        return measure(next(each for each in CASES if each.name == case), seed, quick)

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        rows = []
        for case in CASES:
            runs = measured.get(case.name, ())
            if not runs:
                continue
            plain = measured.get(replace(case, dial=NONE).name, ())
            for key, metric in (("accuracy", "test accuracy"), ("acc", "ACC over the sites"), ("bwt", "BWT")):
                rows.append(row(case.name, metric, "share", [run[key] for run in runs]))
            if case.dial != NONE and len(plain) == len(runs):
                gains = [100 * (run["accuracy"] - rival["accuracy"]) for run, rival in zip(runs, plain, strict=True)]
                rows.append(row(case.name, "above no dial", "points", gains))
        return rows


TABLE = ForgettingTable()


def measure(case: Case, seed: int, quick: bool) -> Measured:
    """Run one relay."""
    budget = relay.QUICK if quick else BUDGET
    network, prefix, rate = NETWORKS[case.network]
    recipe = parse_recipe(prefix + DIALS[case.dial])
    dials = RelayDials(recipe, 2 if quick else case.leg_steps, rate, importance=_needs_importance(recipe))
    with tempfile.TemporaryDirectory() as folder:
        there = relay.lay_out(relay.SPLITS[case.split], budget, seed, Path(folder), relay.images(quick))
        return relay.told(relay.relay(there, dials, budget.steps * case.times, network), there, network)


def _needs_importance(recipe: Recipe) -> bool:
    return recipe.consolidate > 0
