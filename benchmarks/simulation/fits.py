"""What `sim calibrate --network` finds in simulated histories whose numbers are known, and how well it predicts.

A share is a mean over histories, its spread Student's 95 % interval; an error is a median, beside what a naive forecast
is wrong by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.rows import Row, row
from benchmarks.simulation.remedies import mean_row
from derelayl_simulations import load
from derelayl_simulations.calibration.forecast import hold_out
from derelayl_simulations.calibration.network import calibrate
from derelayl_simulations.calibration.played import play_history
from derelayl_simulations.scenarios.load import Scenario

HISTORIES, QUICK_HISTORIES = 12, 2
NETWORKS, QUICK_NETWORKS = 8, 1
DRIFTS = (0.0, 0.02)
HELD_OUT = 0.25

KNOWN: Mapping[str, float] = {
    "world.learning.rate": 0.3,
    "world.learning.ceiling": 2.5,
    "world.learning.averaging": 0.05,
    "world.learning.noise": 0.03,
    "world.learning.roughness": 0.08,
    "world.judging.noise": 0.03,
    "world.judging.common": 0.3,
}
"""Numbers of the world that a fit is to find again."""


def measure(quick: bool) -> list[Row]:
    return [*_coverage(QUICK_HISTORIES if quick else HISTORIES), *_forecasts(QUICK_NETWORKS if quick else NETWORKS)]


def _coverage(histories: int) -> Iterator[Row]:
    """Share of the 95 % intervals that hold the truth: 21 trainers who are alike, 50 rounds."""
    for drift in DRIFTS:
        truth = {**KNOWN, "world.learning.drift": drift}
        world = _world(people=30, rounds=50, trainers=0.7).with_values(
            {**truth, "world.learning.forgetting": 0.0, "world.judging.partiality": 0.0, "world.churn": False}
        )
        fits = [calibrate(play_history(world, seed)).estimates() for seed in range(histories)]
        for key, value in truth.items():
            yield mean_row(f"drift {drift:g}", f"{key} held", "share", [float(value in found[key]) for found in fits])


def _forecasts(networks: int) -> Iterator[Row]:
    """Networks of 60 people and 60 rounds, a quarter of which are predicted."""
    world = _world(people=60, rounds=60, trainers=0.8)
    told = [hold_out(play_history(world, 10 + seed), HELD_OUT, world) for seed in range(networks)]
    yield mean_row("next rounds", "networks predicted", "share", [float(each.holds) for each in told])
    for place, first in enumerate(told[0].predictions):
        of = [each.predictions[place] for each in told]
        yield mean_row("next rounds", f"{first.name}, inside", "share of the rounds", [each.covered for each in of])
        for rival, errors in (("last value", [each.last for each in of]), ("mean", [each.mean for each in of])):
            yield row("next rounds", f"{first.name}, error", "as it is", [each.error for each in of], rival, errors)


def _world(people: int, rounds: int, trainers: float) -> Scenario:
    groups = (
        {"name": "trainers", "share": trainers, "quality": 1.0, "skill": 1.0, "skew": 0.0},
        {"name": "validators", "role": "validator", "share": 1 - trainers, "quality": 1.0},
    )
    return load("honest").with_values(
        {"rounds": rounds, "world.participants": people, "world.relays": 1, "world.group": groups}
        | {"ledger.committee_size": 5, "ledger.quorum": 3}
    )
