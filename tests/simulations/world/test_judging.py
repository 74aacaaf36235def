"""What seats measure of legs, and which legs they take for copies."""

from __future__ import annotations

import numpy as np
from tests.simulations.world.builders import generator

from derelayl_protocol.limits import MAX_SCORE_PPM
from derelayl_protocol.types import UNAVAILABLE
from derelayl_simulations.world.judging import how_alike, measure, name_originals
from derelayl_simulations.world.settings import JudgingSettings
from derelayl_simulations.world.strategies.port import Deeds, Legs

SEEN = JudgingSettings(noise=0.02, still_noise=0.001, partiality=0.1, caution=0.5, common=0.5)


def scores(
    gain: list[float],
    *,
    submitted: list[bool] | None = None,
    still: bool = False,
    skew: float = 0.0,
    seats: int = 3,
    luck: object = 0.0,
    samples: object = 0.0,
    liking: object = 0.0,
) -> np.ndarray:
    """Return what seats with perfect data measure, (seats, legs); what is not given is the same for all."""
    legs = len(gain)
    return measure(
        SEEN,
        gain=np.array([gain]),
        still=np.full((1, legs), still),
        skew=np.full((1, legs), skew),
        submitted=np.array([submitted or [True] * legs]),
        quality=np.ones((1, seats)),
        luck=np.broadcast_to(np.asarray(luck, float), (1, seats, legs)),
        samples=np.broadcast_to(np.asarray(samples, float), (1, seats)),
        liking=np.broadcast_to(np.asarray(liking, float), (1, seats, legs)),
    )[0]


def handed_over(
    twin: list[int], *, tip: list[int] | None = None, late: tuple[int, ...] = (), half: bool = False
) -> tuple[Legs, Deeds]:
    """Return legs of one relay and what became of them: `twin` of each, those that are late not submitted."""
    many = len(twin)
    nothing = np.zeros(many)
    legs = Legs(
        relay=np.zeros(many, np.int64), number=np.arange(many), trainer=np.arange(many), person=np.arange(many),
        tip=np.array(tip or [0] * many), level=nothing, best=nothing, average=nothing, start=nothing, base=nothing,
        kept=nothing, luck=nothing, strategy=np.zeros(many, np.int64),
    )  # fmt: skip
    deeds = Deeds.honest(nothing, submitted=~np.isin(np.arange(many), late), effort=np.ones(many))
    deeds.twin[:] = twin
    deeds.half[:] = half & (deeds.twin != np.arange(many))
    return legs, deeds


def originals(given: tuple[Legs, Deeds], likeness: list[float] | float, mistaken: float = 0.0) -> list[int]:
    settings = JudgingSettings(copy_found=0.9, half_found=0.3, mistaken=mistaken)
    luck = np.broadcast_to(np.asarray(likeness, float), given[0].number.shape)
    return name_originals(settings, *given, luck).tolist()


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
    luck, samples, liking = (generator(seed).standard_normal((1, 4000, 1)) for seed in range(3))
    plain, skewed = (
        scores([0.1], skew=skew, seats=4000, luck=luck, samples=samples[:, :, 0], liking=liking) / 1e6
        for skew in (0.0, 1.0)
    )
    assert np.isclose(plain.std(), 0.02, rtol=0.05)
    assert np.isclose(skewed.std(), np.hypot(0.02, 0.1), rtol=0.05)
    assert np.isclose(skewed.mean(), 0.09, atol=0.005)


def test_a_judges_errors_about_the_legs_of_a_round_have_their_samples_in_common() -> None:
    luck, samples = generator(1).standard_normal((1, 4000, 2)), generator(2).standard_normal((1, 4000))
    first, second = scores([0.1, 0.1], seats=4000, luck=luck, samples=samples).T
    assert np.isclose(np.corrcoef(first, second)[0, 1], SEEN.common, atol=0.05)


def test_how_a_judge_likes_a_trainers_data_is_as_wide_as_any_error_and_the_same_next_time() -> None:
    judges, trainers = generator(1).standard_normal((1, 50, 3)), generator(2).standard_normal((1, 400, 3))
    alike = how_alike(judges, trainers)
    assert alike.shape == (1, 50, 400)
    assert np.isclose(alike.std(), 1, atol=0.1)
    assert abs(alike.mean()) < 0.1
    assert (how_alike(judges, trainers) == alike).all()


def test_copies_are_named_after_the_first_of_them_that_is_there() -> None:
    assert originals(handed_over([0, 1, 1, 0, 1]), 0.5) == [0, 1, 1, 0, 1]
    assert originals(handed_over([0, 1, 1, 0, 1], late=(1,)), 0.5) == [0, 1, 2, 0, 2]


def test_a_copy_that_is_not_found_and_one_of_another_tip_stay_their_own() -> None:
    assert originals(handed_over([0, 0, 0]), [0.5, 0.95, 0.5]) == [0, 1, 0]
    assert originals(handed_over([0, 0, 0], tip=[0, 1, 1]), 0.5) == [0, 1, 1]


def test_a_child_of_half_a_training_is_found_less_often() -> None:
    assert originals(handed_over([0, 0, 0], half=True), [0.5, 0.5, 0.2]) == [0, 1, 0]


def test_a_leg_is_taken_by_mistake_for_a_copy_of_an_earlier_one_of_its_tip() -> None:
    given = handed_over([0, 1, 2, 3, 4], tip=[0, 1, 1, 0, 1], late=(1,))
    assert originals(given, [0.0, 0.0, 0.0, 0.0, 0.05], mistaken=0.1) == [0, 1, 2, 0, 2]
    assert originals(given, 0.5, mistaken=0.1) == [0, 1, 2, 3, 4]


def test_with_half_an_error_of_caution_about_seventeen_of_a_hundred_useless_legs_pass_a_committee_of_five() -> None:
    luck, samples = generator().standard_normal((20_000, 5, 1)), generator(1).standard_normal((20_000, 5))
    nothing = np.zeros((20_000, 1))
    seen = measure(
        SEEN, gain=nothing, still=nothing > 0, skew=nothing, submitted=nothing == 0, quality=np.ones((20_000, 5)),
        luck=luck, samples=samples, liking=luck,
    )  # fmt: skip
    passed = np.median(seen, axis=1) > 0
    assert abs(passed.mean() - 0.17) < 0.015  # docs/PROTOCOL.md section 7
