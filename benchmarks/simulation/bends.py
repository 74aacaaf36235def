"""How much a ring should bend its scores: what 40 % of the people gain by each size of the bend, under the best rules.

A row is a mean over seeds of the world `crowded`, its spread Student's 95 % interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.rows import Row
from benchmarks.simulation.remedies import NARROW, QUICK_SEEDS, SEEDS, SHARP, Values, mean_row
from derelayl_protocol.ledger.scoring import PPM
from derelayl_simulations.scenarios import load
from derelayl_simulations.search.equilibrium import deviations_of
from derelayl_simulations.world.strategies import code_of, judge_of
from derelayl_simulations.world.strategies.judges import NudgingJudge

SHARPER: Values = {"ledger.agreement": 0.0125, "world.judging.noise": 0.005}
RULES: Mapping[str, Values] = {
    "as shipped": {},
    "ball, agreement 0.05": {"mechanism.score": "ball", **NARROW},
    "contest:8, agreement 0.05": {"mechanism.score": "contest:8", **NARROW},
    "contest:8, agreement 0.025, error 0.01": {"mechanism.score": "contest:8", **SHARP},
    "contest:8, agreement 0.0125, error 0.005": {"mechanism.score": "contest:8", **SHARPER},
}
BENDS = (2_500, 5_000, 7_500, 10_000, 15_000, 20_000, 30_000, 60_000)
"""Sizes, ppm."""

RING = "nudging-ring"
TRIED: Values = {
    "search.share": 0.4, "search.rings": (RING,), "search.trainer": (), "search.validator": (), "search.control": ()
}  # fmt: skip


def measure(quick: bool) -> list[Row]:
    return list(_rows(QUICK_SEEDS if quick else SEEDS))


def _rows(seeds: range) -> Iterator[Row]:
    for name, values in RULES.items():
        scenario = load("crowded").with_values({**values, **TRIED})
        for bend in BENDS:
            with _bending(bend):
                gains = [found[RING].gain for found in deviations_of(scenario, seeds)]
            yield mean_row(
                f"crowded: {name}", f"gain by a bend of {bend / PPM:g} nats", "money a round and person", gains
            )


@contextmanager
def _bending(ppm: int) -> Iterator[None]:
    """Let the ring bend by so much meanwhile."""
    judge = judge_of(code_of("validator", RING))
    assert isinstance(judge, NudgingJudge)
    judge.bend = ppm
    try:
        yield
    finally:
        del judge.bend
