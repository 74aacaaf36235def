"""What remedies against rings that bend the truth bring, and what they cost honest people.

A row is a mean over seeds of the scenario, its spread Student's 95 % interval. Gains are money a round and person
beyond honesty on the same people and luck; the others are of the honest world with entry and exit, over the last
quarter of its rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.rows import Row, row
from derelayl_simulations.scenarios import load
from derelayl_simulations.scenarios.load import Scenario
from derelayl_simulations.search.equilibrium import deviations_of
from derelayl_simulations.study.run import run
from derelayl_simulations.study.statistics import mean

Values = Mapping[str, Any]

NARROW: Values = {"ledger.agreement": 0.05}
SHARP: Values = {"ledger.agreement": 0.025, "world.judging.noise": 0.01}
ALL: Values = {"ledger.committee_size": 12, "ledger.quorum": 7}
"""Seats for all validators of a relay, where five judge first and all of them some legs."""

REMEDIES: Mapping[str, Values] = {
    "as shipped": {},
    "validator share 0.5": {"ledger.validator_share": 0.5, "ledger.trainer_share": 0.35},
    "committee 15": {"ledger.committee_size": 15, "ledger.quorum": 8},
    "caution 2": {"world.judging.caution": 2.0},
    "error 0.01": {"world.judging.noise": 0.01},
    "error 0.005": {"world.judging.noise": 0.005},
    "agreement 0.1": {"ledger.agreement": 0.1},
    "agreement 0.05": NARROW,
    "agreement 0.03": {"ledger.agreement": 0.03},
    "trimmed": {"mechanism.score": "trimmed"},
    "precise": {"mechanism.score": "precise"},
    "proven": {"mechanism.score": "proven"},
    "appeal": {"mechanism.score": "appeal", **ALL},
    "audit:0.1": {"mechanism.score": "audit:0.1", **ALL},
    "audit:0.5": {"mechanism.score": "audit:0.5", **ALL},
    "level": {"mechanism.score": "level"},
    "ball": {"mechanism.score": "ball"},
    "ball, agreement 0.05": {"mechanism.score": "ball", **NARROW},
    "steep:4, agreement 0.05": {"mechanism.score": "steep:4", **NARROW},
    "steep:8, agreement 0.05": {"mechanism.score": "steep:8", **NARROW},
    "steep-level:8, agreement 0.05": {"mechanism.score": "steep-level:8", **NARROW},
    "contest:4, agreement 0.05": {"mechanism.score": "contest:4", **NARROW},
    "contest:8, agreement 0.05": {"mechanism.score": "contest:8", **NARROW},
    "agreement 0.025, error 0.01": {**SHARP},
    "steep:8, agreement 0.025, error 0.01": {"mechanism.score": "steep:8", **SHARP},
    "contest:8, agreement 0.025, error 0.01": {"mechanism.score": "contest:8", **SHARP},
}
"""What is tried in the world `crowded`."""

BEST = (
    "as shipped",
    "agreement 0.05",
    "ball, agreement 0.05",
    "steep:8, agreement 0.05",
    "steep-level:8, agreement 0.05",
    "contest:8, agreement 0.05",
)
"""What is tried in the other worlds, too."""

WORLDS: Mapping[str, tuple[str, Values]] = {
    "crowded": ("crowded", {}),
    "roomy": ("roomy", {}),
    "alike": ("alike", {}),
    "uneven": ("crowded", {"world.group.validators.quality": {"mean": 1.0, "deviation": 0.4}}),
    "blunt": ("crowded", {"world.judging.noise": 0.1}),
}
"""Scenarios and what is otherwise in them: validators whose errors differ by half and more, or are five times as great.
"""

TRIED: Values = {"search.rings": ("nudging-ring", "whispering-ring"), "search.control": ()}
ALONE: Values = {"search.trainer": ("sybil", "half-sybil"), "search.validator": ("guesser", "exaggerator")}
"""What a tenth tries besides: it needs nobody else."""

HONEST = ("profit_validator", "participation_validator", "profit_trainer", "quality")
SEEDS, QUICK_SEEDS = range(8), range(2)


def measure(quick: bool) -> list[Row]:
    return list(_rows(QUICK_SEEDS if quick else SEEDS, ("as shipped", "level") if quick else tuple(REMEDIES)))


def gain_rows(case: str, scenario: Scenario, seeds: Sequence[int]) -> Iterator[Row]:
    """Say what each deviation gains that the scenario's search tries."""
    found = deviations_of(scenario, seeds)
    for name in found[0]:
        gains = [each[name].gain for each in found]
        yield mean_row(case, f"gain of {name}, {scenario.search.share:.0%}", "money a round and person", gains)


def honest_rows(case: str, scenario: Scenario, seeds: Sequence[int]) -> Iterator[Row]:
    """Say how the honest fare, with entry and exit, over the last quarter of the rounds."""
    tables = [run(scenario, seed).table for seed in seeds]
    quarter = scenario.rounds // 4
    for name in HONEST:
        values = [float(np.nanmean(table[name][-quarter:])) for table in tables]
        yield mean_row(
            case, name, {"quality": "nats", "participation_validator": "%"}.get(name, "coins a round"), values
        )


def mean_row(case: str, metric: str, unit: str, values: Sequence[float]) -> Row:
    """Make a row of the mean and Student's interval over seeds."""
    found = mean(values)
    return row(case, metric, unit, values) | {
        "value": round(found.estimate, 4),
        "spread": [round(found.low, 4), round(found.high, 4)],
    }


def _rows(seeds: Sequence[int], names: Sequence[str]) -> Iterator[Row]:
    for world, (scenario_name, otherwise) in WORLDS.items():
        for name in names if world == "crowded" else [each for each in names if each in BEST]:
            scenario = load(scenario_name).with_values({**otherwise, **REMEDIES[name], **TRIED})
            many = scenario.with_values({"search.share": 0.4, **dict.fromkeys(ALONE, ())})
            case = f"{world}: {name}"
            yield from gain_rows(case, scenario.with_values(ALONE), seeds)
            yield from gain_rows(case, many, seeds)
            yield from honest_rows(case, scenario, seeds)
