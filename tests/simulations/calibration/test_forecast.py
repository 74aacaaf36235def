"""Rounds that a fit has not seen are predicted, or it is said that they are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.calibration.forecast import Holdout, Prediction, hold_out
from derelayl_simulations.calibration.history import History
from derelayl_simulations.calibration.played import play_history

from .builders import LEARNING, world

WORLDS = 16
SEEDS = range(3)


@pytest.fixture(scope="module")
def histories() -> list[History]:
    lively = {**LEARNING, "drift": 0.02}  # there is always something to learn, and so legs
    return [play_history(world(rounds=50, learning=lively), seed) for seed in SEEDS]


def prediction(**other: float) -> Prediction:
    values = {"covered": 0.9, "error": 1.0, "last": 2.0, "mean": 2.0} | other
    return Prediction(name="legs", rounds=10, **values)


def test_too_few_rounds_to_hold_out_are_refused(histories: list[History]) -> None:
    with pytest.raises(LocalFault, match="2 of 20 rounds would be held out, at least 4"):
        hold_out(histories[0].first(20), 0.1, world())


def test_a_world_that_misses_the_rounds_or_is_worse_than_their_mean_does_not_predict() -> None:
    assert prediction().holds
    assert prediction(last=0.1).holds
    assert not prediction(covered=0.5).holds
    assert not prediction(mean=0.5).holds
    assert not Holdout(10, ()).holds
    said = Holdout(10, (prediction(), prediction(covered=0.5))).sentence()
    assert said == "the calibrated world does not predict this network's next rounds: not legs"


@pytest.mark.slow
def test_the_simulators_own_rounds_are_predicted(histories: list[History]) -> None:
    results = [hold_out(history, 0.25, world(), WORLDS) for history in histories]
    assert [result.fitted for result in results] == [38, 38, 38]
    assert all(len(result.predictions) == 4 for result in results)
    assert sum(result.holds for result in results) >= 2, results
    holding = next(result for result in results if result.holds)
    assert holding.sentence() == "the calibrated world predicts this network's next rounds"


@pytest.mark.slow
def test_rounds_in_which_legs_suddenly_gain_otherwise_are_not(histories: list[History]) -> None:
    history = histories[1]
    cut = len(history.rounds) * 3 // 4
    changed = [each if place < cut else replace(each, score=each.score + 0.5)
               for place, each in enumerate(history.rounds)]  # fmt: skip
    result = hold_out(replace(history, rounds=tuple(changed)), 0.25, world(), WORLDS)
    assert result.sentence().startswith("the calibrated world does not predict this network's next rounds: not gain")
