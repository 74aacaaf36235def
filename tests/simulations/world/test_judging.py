from __future__ import annotations

import numpy as np
from tests.simulations.world.builders import generator

from derelayl_protocol.limits import MAX_SCORE_PPM
from derelayl_protocol.types import UNAVAILABLE
from derelayl_simulations.world.judging import measure
from derelayl_simulations.world.settings import JudgingSettings

SEEN = JudgingSettings(noise=0.02, still_noise=0.001, partiality=0.1, caution=0.5)


def scores(
    gain: list[float],
    *,
    submitted: list[bool] | None = None,
    still: bool = False,
    skew: float = 0.0,
    seats: int = 3,
    luck: object = 0.0,
) -> np.ndarray:
    legs = len(gain)
    given = np.broadcast_to(np.asarray(luck, float), (1, seats, legs))
    return measure(
        SEEN,
        gain=np.array([gain]),
        still=np.full((1, legs), still),
        skew=np.full((1, legs), skew),
        submitted=np.array([submitted or [True] * legs]),
        quality=np.ones((1, seats)),
        luck=given,
    )[0]


def test_what_was_not_submitted_is_unavailable_to_everybody() -> None:
    found = scores([0.1, 0.1], submitted=[True, False])
    assert (found[:, 1] == UNAVAILABLE).all()
    assert (found[:, 0] != UNAVAILABLE).all()


def test_a_score_stays_half_a_standard_error_below_the_gain() -> None:
    assert (scores([0.1]) == 90_000).all()


def test_an_unchanged_child_is_seen_sharply_and_scores_just_below_zero() -> None:
    assert (scores([0.0], still=True) == -500).all()


def test_scores_stay_within_what_the_ledger_takes() -> None:
    assert scores([1e6, -1e6])[0].tolist() == [MAX_SCORE_PPM, -MAX_SCORE_PPM]


def test_skew_widens_the_error_and_not_the_caution() -> None:
    luck = generator().standard_normal((1, 4000, 1))
    plain, skewed = (scores([0.1], skew=skew, seats=4000, luck=luck) / 1e6 for skew in (0.0, 1.0))
    assert np.isclose(plain.std(), 0.02, rtol=0.05)
    assert np.isclose(skewed.std(), np.hypot(0.02, 0.1), rtol=0.05)
    assert np.isclose(skewed.mean(), 0.09, atol=0.005)


def test_with_half_an_error_of_caution_about_seventeen_of_a_hundred_useless_legs_pass_a_committee_of_five() -> None:
    luck = generator().standard_normal((1, 5, 20_000))
    passed = np.median(scores([0.0] * 20_000, seats=5, luck=luck), axis=0) > 0
    assert abs(passed.mean() - 0.17) < 0.015  # docs/PROTOCOL.md section 7
