"""Who earns in a relay, why others do not, and what each rule changes of it.

A row is a mean over seeds, its spread Student's 95 % interval. Gains are money a round and person beyond honesty on the
same people and luck; the others are of the honest world with entry and exit, over the last quarter of its rounds, for
each relay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.rows import Row, row
from derelayl_protocol.ledger.experience import TRIALS
from derelayl_protocol.ledger.presets import PRESETS
from derelayl_simulations.scenarios import load
from derelayl_simulations.scenarios.load import Scenario
from derelayl_simulations.search.equilibrium import deviations_of
from derelayl_simulations.study.run import run
from derelayl_simulations.study.statistics import mean
from derelayl_simulations.world.bidding import worth_of_a_leg
from derelayl_simulations.world.income import OWNER, TRAINER
from derelayl_simulations.world.luck import draw
from derelayl_simulations.world.opening import open_world
from derelayl_simulations.world.people import Bools, Floats
from derelayl_simulations.world.play import play_round
from derelayl_simulations.world.state import World

TASTES = ("standard", "shared", "winner", "strict")
"""Presets that are compared."""

LEVERS: Mapping[str, Mapping[str, Any]] = {
    "royalty share 0.3": {"ledger.royalty_share": 0.3, "ledger.trainer_share": 0.35},
    "trainer share 0.6": {"ledger.trainer_share": 0.6, "ledger.validator_share": 0.25},
    "validator share 0.2": {"ledger.trainer_share": 0.65, "ledger.validator_share": 0.2},
    "selected share 0.34": {"ledger.selected_share": 0.34},
    "min bid 0.5": {"ledger.min_bid": 0.5},
    "emission 25": {"ledger.emission": 25.0},
    "emission 50": {"ledger.emission": 50.0},
    "emission 400": {"ledger.emission": 400.0},
    "halving every 50 rounds": {"ledger.halving_rounds": 50},
    "8 legs a tip": {"ledger.legs_per_tip": 8},
    "4 legs a tip": {"ledger.legs_per_tip": 4},
    "gamma 0.8": {"ledger.gamma": 0.8},
    "payment best": {"mechanism.payment": "best"},
    "payment equal": {"mechanism.payment": "equal"},
    "payment root": {"mechanism.payment": "root"},
    "payment ladder": {"mechanism.payment": "ladder"},
    "payment excess": {"mechanism.payment": "excess"},
    "base tips": {"mechanism.base": "tips"},
    "base parent": {"mechanism.base": "parent", "world.learning.start": "tip"},
    "patience 5": {"world.group.trainers.patience": 5.0},
    "world: averages add nothing": {"world.learning.averaging": 0.0},
    "world: averages add 0.02": {"world.learning.averaging": 0.02},
    "world: drift 0.05": {"world.learning.drift": 0.05},
    "world: judges' error 0.005": {"world.judging.noise": 0.005},
}
"""What departs from the scenario, beside the presets; what the world decides is named so."""

LONE: Mapping[str, Any] = {
    "search.trainer": ["sybil", "half-sybil", "averager"],
    "search.validator": ["guesser"],
    "search.control": ["multi"],
    "search.rings": ["nudging-ring"],
}
RINGS: Mapping[str, Any] = {
    "search.trainer": [], "search.validator": [], "search.control": [], "search.rings": ["nudging-ring"],
    "search.share": 0.4,
}  # fmt: skip
ALL_SEEDS, LEVER_SEEDS, QUICK_SEEDS = 10, 6, 2
COLUMNS = ("profit_trainer", "profit_validator", "participation_validator", "gini", "quality")
UNITS = {"quality": "nats", "participation_validator": "%", "gini": "Gini"}


def measure(quick: bool) -> list[Row]:
    return list(_rows(quick))


def _rows(quick: bool) -> Iterator[Row]:
    for name in TASTES[:1] if quick else TASTES:
        seeds = range(QUICK_SEEDS if quick else ALL_SEEDS)
        yield from case(f"preset {name}", seeds, {}, name)
    for name in () if quick else LEVERS:
        yield from case(name, range(LEVER_SEEDS), LEVERS[name], "standard")


def case(case: str, seeds: Sequence[int], values: Mapping[str, Any], preset: str) -> Iterator[Row]:
    """Yield the rows of a preset with other values."""
    honest, crowded, alike = (
        load(name).under(PRESETS[preset]).with_values(values) for name in ("honest", "crowded", "alike")
    )
    tables = [run(honest, seed).table for seed in seeds]
    quarter = honest.rounds // 4
    for column in COLUMNS:
        found = [float(np.nanmean(table[column][-quarter:])) for table in tables]
        yield _row(case, column, UNITS.get(column, "coins a round"), found)
    looked = [_look(honest, seed) for seed in seeds]
    for metric, unit in looked[0]:
        yield _row(case, metric, unit, [each[metric, unit] for each in looked])
    for world, scenario in (("crowded", crowded), ("alike", alike)):
        for share, tried in (("10 %", LONE), ("40 %", RINGS)):
            deviated = deviations_of(scenario.with_values(tried), seeds)
            for strategy in deviated[0]:
                gains = [each[strategy].gain for each in deviated]
                yield _row(case, f"{world}: gain of {strategy}, {share}", "money a round and person", gains)


def _look(scenario: Scenario, seed: int) -> dict[tuple[str, str], float]:
    """Play one seed and take its trainers apart over the last quarter of the rounds; a metric and unit each."""
    world, rng = open_world(scenario, seed)
    places, rounds = world.people.places, scenario.rounds
    last = rounds // 4
    there, teachers, legs, earned = (np.zeros(world.present.shape) for _ in range(4))
    kinds = {"whose legs pay": [0.0, 0.0], "who find out": [0.0, 0.0], "who try again": [0.0, 0.0]}
    selected = 0
    for number in range(rounds):
        pays, new = worth_of_a_leg(world) >= 0, world.income.legs < TRIALS
        can, present = _can_teach(world), world.present & world.trainers
        luck = draw(rng, world.people.relays, places.accounts, places.people, scenario.ledger.committee_size)
        happened = play_round(world, luck, scenario.event)
        if number < rounds - last:
            continue
        profit = happened.earned.profit(world.price, scenario.ledger.wei_per_coin)
        leased = np.zeros(world.present.shape, np.bool_)
        leased[happened.training.legs.relay, happened.training.legs.person] = True
        there, teachers, legs = there + present, teachers + (present & can), legs + leased
        earned += np.where(world.trainers, profit[TRAINER] + profit[OWNER], 0.0)
        for kind, who in zip(kinds, (pays & ~new, new, ~pays & ~new), strict=True):
            kinds[kind][0] += float((leased & who).sum())
            kinds[kind][1] += float(profit[TRAINER][leased & who].sum())
        selected += int(happened.outcome.selected.sum())
    relays, trained = world.people.relays, legs > 0
    gains = np.sort(np.maximum(np.where(trained, earned, 0.0), 0.0), axis=1)
    each = last * relays
    found = {
        ("trainers there", "people"): float(there.sum()) / each,
        ("trainers there whose legs should beat the bar", "people"): float(teachers.sum()) / each,
        ("trainers of the quarter", "people"): float(trained.sum()) / relays,
        ("share of them in profit, royalties included", "share"): float((earned[trained] > 0).mean()),
        ("share of all gains that the top four take", "share"): _top_four(gains),
        ("legs selected a round", "legs"): selected / each,
    }
    for kind, (count, profit_of) in kinds.items():
        found[f"legs a round of those {kind}", "legs"] = count / each
        found[f"what a leg brings those {kind}", "coins"] = profit_of / max(count, 1.0)
    return found


def _top_four(gains: Floats) -> float:
    return float((gains[:, -4:].sum(axis=1) / np.maximum(gains.sum(axis=1), 1e-9)).mean())


def _can_teach(world: World) -> Bools:
    """Return whose legs gain at least the margin beyond what they are compared with, luck left out, (R, P)."""
    learning, traits, tips = world.settings.learning, world.people.traits, world.book.tips
    levels = np.where(tips < 0, -np.inf, world.book.checkpoints.note[np.maximum(tips, 0)])
    best = levels.max(axis=1)
    average = best + np.where((tips >= 0).sum(axis=1) > 1, learning.averaging, 0.0)
    start = (average if learning.start == "average" else best)[:, None]
    bar = world.mechanism.base.base(best, best, average)[:, None]
    learnt = np.minimum(learning.rate * traits.skill, 1.0) * (learning.ceiling * traits.quality - start)
    gain = start + learnt - learning.forgetting * traits.skew * start - bar
    return np.asarray(gain >= world.ledger.margin)


def _row(case: str, metric: str, unit: str, values: Sequence[float]) -> Row:
    found = mean(values)
    return row(case, metric, unit, values) | {
        "value": round(found.estimate, 4),
        "spread": [round(found.low, 4), round(found.high, 4)],
    }
