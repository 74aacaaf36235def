"""Composition and judging: when the child of two legs beats both, what judging costs, and what its caution is good for.

Composition: a parent from a short relay; two sites train one segment each from it; the child that has both segments is
compared with both legs on the official test set, by its mean loss.

Judging: processor time of judging a leg beside training it, on one site's data; and how often a leg that taught nothing
passes a margin of zero, with and without the standard error that a score stays below the gain. Such legs are made by
training on labels that were dealt at random, so that they change the network without teaching it anything.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np

from benchmarks.rows import Row, row
from derelayl_protocol.ledger.scoring import score_ppm
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build
from derelayl_training.judge import gain_error, mean_loss, sample_losses
from derelayl_training.recipe import Recipe
from derelayl_training.split import Split

from . import relay
from .harness import Log, Measured
from .legs import Plan, State, train
from .relay_choices import RelayDials

WARM_STEPS, QUICK_WARM_STEPS = (0, 100, 600), (0, 20)
"""Steps of the relay before the two legs: how much there is left to learn."""

JUDGED_AFTER = 100
"""Steps of the relay before the legs that are judged."""

LONG, SHORT = 80, 10
"""Steps of a leg: the less each leg changes, the more nearly do the gains of two add up."""

RATE = 0.02
NULL_LEGS, QUICK_NULL_LEGS = 12, 2
"""Legs without use in one run; each is judged by every site."""

NULL_STEPS = 3
NULL_RATE = 2e-4
"""So small that the loss moves by chance in either direction."""

JUDGING = "judging"


@dataclass(frozen=True)
class Case:
    """Two legs from one parent: the sites' split, the steps of the relay before them, and of each of them."""

    split: str
    warm_steps: int
    leg_steps: int

    @property
    def name(self) -> str:
        return f"{self.split}, parent of {self.warm_steps} steps, legs of {self.leg_steps}"


def all_cases(quick: bool) -> list[Case]:
    splits = ("IID",) if quick else ("IID", "Dirichlet 0.1", "label-disjoint")
    warm = QUICK_WARM_STEPS if quick else WARM_STEPS
    return [Case(split, before, steps) for split in splits for before in warm for steps in (LONG, SHORT)]


class CompositionTable:
    """Composed children, and judging."""

    name = "composition"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        return [*(case.name for case in all_cases(quick)), JUDGING]

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table."""
        budget = relay.QUICK if quick else relay.FULL
        found = next((each for each in all_cases(quick) if each.name == case), None)  # None: judging
        with tempfile.TemporaryDirectory() as folder:
            partition = relay.SPLITS[found.split if found else "IID"]
            there = relay.lay_out(partition, budget, seed, Path(folder), relay.images(quick))
            if found is None:
                return measure_judging(there, QUICK_NULL_LEGS if quick else NULL_LEGS)
            return measure_composition(there, found.warm_steps, found.leg_steps)

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        rows = []
        for case, runs in measured.items():
            if case == JUDGING:
                seconds, beside = _all(runs, "judging"), _all(runs, "training")
                rows.append(row(case, "processor time of judging", "s", seconds, f"training for {LONG} steps", beside))
                rows.append(row(case, "useless legs accepted", "share", _all(runs, "accepted")))
                rows.append(row(case, "useless legs accepted without caution", "share", _all(runs, "accepted without")))
                continue
            rows.append(row(case, "gain of the composed child", "nats of ln(loss)", _all(runs, "composed")))
            rows.append(row(case, "gain of the better leg", "nats of ln(loss)", _all(runs, "better")))
            rows.append(row(case, "composed beats both", "share", [float(r["composed"] > r["better"]) for r in runs]))
        return rows


TABLE = CompositionTable()


def measure_composition(there: relay.Field, warm_steps: int, leg_steps: int) -> Measured:
    """Gains, ln(parent's loss / child's loss), of two legs on different segments and of their composition."""
    parent = relay.relay(there, RelayDials(Recipe(), 10, RATE), warm_steps).state
    sites = [there.sites[(there.seed + segment) % relay.SITES] for segment in (0, 1)]
    legs = [
        train(relay.NETWORK, parent, site, _plan(there.seed, segment, leg_steps)).state
        for segment, site in enumerate(sites)
    ]
    segment_of = build(relay.NETWORK).segment_of()
    composed = {name: legs[segment_of[name]][name] for name in parent}
    before = loss_on_test(parent, there)
    gains = [math.log(before / loss_on_test(state, there)) for state in (*legs, composed)]
    return {"better": max(gains[:2]), "composed": gains[2]}


def measure_judging(there: relay.Field, null_legs: int) -> Measured:
    """Seconds of a leg and of judging it; shares of useless legs that a site would accept."""
    parent = relay.relay(there, RelayDials(Recipe(), 10, RATE), JUDGED_AFTER).state
    useful = train(relay.NETWORK, parent, there.sites[0], _plan(there.seed, WHOLE_MODEL, LONG))
    started = time.process_time()
    judge(parent, [useful.state], there.sites[1])
    judging = time.process_time() - started
    rng = np.random.default_rng(there.seed)
    useless = [_useless_leg(there, parent, rng) for _ in range(null_legs)]
    verdicts = [verdict for site in there.sites for verdict in judge(parent, useless, site)]
    return {
        "training": useful.seconds,
        "judging": judging,
        "accepted": mean(cautious > 0 for cautious, _ in verdicts),
        "accepted without": mean(plain > 0 for _, plain in verdicts),
    }


def judge(parent: State, children: Sequence[State], site: Split) -> list[tuple[int, int]]:
    """A site's scores of each child in ppm: with the standard error off, and without."""
    model = build(relay.NETWORK)
    losses = []
    for state in (parent, *children):
        model.load_state_dict(state)
        losses.append(sample_losses(model, site.held_x, site.held_y))
    before = losses[0].mean()
    return [
        (score_ppm(before, own.mean(), gain_error(losses[0], own)), score_ppm(before, own.mean(), 0.0))
        for own in losses[1:]
    ]


def loss_on_test(state: State, there: relay.Field) -> float:
    """Mean loss on the official test images, in nats."""
    model = build(relay.NETWORK)
    model.load_state_dict(state)
    return mean_loss(model, there.test.held_x, there.test.held_y)


def _useless_leg(there: relay.Field, parent: State, rng: np.random.Generator) -> State:
    site = there.sites[0]
    noise = replace(site, train_y=rng.permutation(site.train_y))
    plan = Plan(Recipe(), NULL_STEPS, relay.BATCH, NULL_RATE, seed=int(rng.integers(2**31)))
    return train(relay.NETWORK, parent, noise, plan).state


def _plan(seed: int, segment: int, steps: int) -> Plan:
    return Plan(Recipe(), steps, relay.BATCH, RATE, seed, segment)


def _all(runs: Sequence[Measured], key: str) -> list[float]:
    return [float(run[key]) for run in runs]
