"""One seat's scores, their seal, and the committee's median."""

from __future__ import annotations

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.errors import LocalFault, Reason, RuleViolation
from derelayl_protocol.ledger.state import LegEntry, SeatEntry
from derelayl_protocol.limits import MAX_SCORE_PPM
from derelayl_protocol.scoring import (
    agreements,
    check_scores,
    commitment,
    median_seats,
    medians,
    score_ppm,
    weighted_median,
)
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, WHOLE_MODEL, ModelId, Ppm, Root, Wei

from .relay import OWNER, address, root

MODEL = ModelId(bytes([7]) * 32)
SALT = bytes([9]) * 32


def leg(child: Root) -> LegEntry:
    return LegEntry(address(1), root("parent"), OWNER, WHOLE_MODEL, Wei(1), Wei(0), child)


SUBMITTED, MISSING = leg(root("child")), leg(NO_ROOT)


def seat(number: int, *scores: int, weight: int = 1) -> SeatEntry:
    return SeatEntry(address(number), Wei(weight), bytes(32), tuple(map(Ppm, scores)) if scores else None)


@pytest.mark.parametrize("loss", [None, math.nan, math.inf, -math.inf, -1e-9])
def test_what_is_no_loss_gives_no_score(loss: float | None) -> None:
    assert score_ppm(1.0, loss) == UNAVAILABLE
    assert score_ppm(loss, 1.0) == UNAVAILABLE


@pytest.mark.parametrize(
    ("parent", "child", "score"),
    [
        (2.0, 1.0, 693_147),
        (1.0, 2.0, -693_147),
        (1.5, 1.5, 0),
        (1.0, 0.0, MAX_SCORE_PPM),
        (0.0, 1.0, -MAX_SCORE_PPM),
        (0.0, 0.0, 0),
        (1e300, 1e-300, MAX_SCORE_PPM),
        (5e-324, 1e308, -MAX_SCORE_PPM),
        (math.exp(20), 1.0, MAX_SCORE_PPM),
    ],
)
def test_a_score_is_the_logarithm_of_the_losses_ratio_in_millionths(parent: float, child: float, score: int) -> None:
    assert score_ppm(parent, child) == score


@given(*[st.floats(0, allow_infinity=False)] * 2)
def test_every_pair_of_losses_has_a_score_within_bounds(parent: float, child: float) -> None:
    assert abs(score_ppm(parent, child)) <= MAX_SCORE_PPM
    assert score_ppm(parent, child) == -score_ppm(child, parent)


def test_a_commitment_needs_a_salt_of_32_bytes() -> None:
    with pytest.raises(LocalFault, match="31 bytes"):
        commitment(MODEL, 1, address(1), bytes(31), ())


def test_a_commitment_hashes_words_as_the_contract_does() -> None:
    words = [MODEL, (3).to_bytes(32), bytes(12) + bytes.fromhex(OWNER[2:]), SALT, (5).to_bytes(32), b"\xff" * 32]
    sealed = commitment(MODEL, 3, OWNER, SALT, (Ppm(5), Ppm(-1)))
    assert sealed == hashlib.sha256(b"".join(words)).digest()


def test_a_commitment_is_bound_to_model_round_validator_salt_and_scores() -> None:
    seals = {
        commitment(MODEL, 1, address(1), SALT, (Ppm(1),)),
        commitment(ModelId(bytes(32)), 1, address(1), SALT, (Ppm(1),)),
        commitment(MODEL, 2, address(1), SALT, (Ppm(1),)),
        commitment(MODEL, 1, address(2), SALT, (Ppm(1),)),
        commitment(MODEL, 1, address(1), bytes(32), (Ppm(1),)),
        commitment(MODEL, 1, address(1), SALT, (UNAVAILABLE,)),
        commitment(MODEL, 1, address(1), SALT, ()),
    }
    assert len(seals) == 7


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param((), id="none"),
        pytest.param((1,), id="too few"),
        pytest.param((1, UNAVAILABLE, 1), id="too many"),
        pytest.param((1, 0), id="for a leg that was not submitted"),
        pytest.param((MAX_SCORE_PPM + 1, UNAVAILABLE), id="too high"),
        pytest.param((-MAX_SCORE_PPM - 1, UNAVAILABLE), id="too low"),
    ],
)
def test_bad_scores_are_refused(scores: tuple[int, ...]) -> None:
    with pytest.raises(RuleViolation) as refusal:
        check_scores(tuple(map(Ppm, scores)), [SUBMITTED, MISSING])
    assert refusal.value.reason == Reason.BAD_SCORES


@pytest.mark.parametrize("score", [MAX_SCORE_PPM, -MAX_SCORE_PPM, 0, UNAVAILABLE])
def test_a_submitted_leg_may_have_any_score_within_bounds_or_none(score: int) -> None:
    check_scores((Ppm(score), UNAVAILABLE), [SUBMITTED, MISSING])


def test_no_scores_have_no_median() -> None:
    with pytest.raises(ValueError, match="no scores"):
        weighted_median((), ())


@pytest.mark.parametrize(
    ("scores", "weights", "median"),
    [
        ((5,), (1,), 5),
        ((1, 9), (1, 1), 1),  # two equal halves: the lower one
        ((1, 9), (1, 2), 9),
        ((1, 2, 3), (1, 1, 1), 2),
        ((1, 2, 3), (5, 1, 1), 1),
        ((UNAVAILABLE, 4), (1, 1), UNAVAILABLE),
        ((UNAVAILABLE, 4), (1, 2), 4),
        ((3, 3, 1), (1, 1, 2), 1),
    ],
)
def test_the_median_is_the_lower_one_by_weight(scores: tuple[int, ...], weights: tuple[int, ...], median: int) -> None:
    assert weighted_median(tuple(map(Ppm, scores)), tuple(map(Wei, weights))) == median


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 9)), min_size=1))
def test_the_median_is_the_smallest_score_that_half_the_weight_does_not_exceed(pairs: list[tuple[int, int]]) -> None:
    scores, weights = [Ppm(score) for score, _ in pairs], [Wei(weight) for _, weight in pairs]

    def reaches_half(bound: int) -> bool:
        return 2 * sum(weight for score, weight in pairs if score <= bound) >= sum(weights)

    assert weighted_median(scores, weights) == min(score for score in scores if reaches_half(score))


def test_only_seats_that_revealed_count_and_legs_not_submitted_have_no_score() -> None:
    seats = [seat(1, 10, UNAVAILABLE), seat(2, weight=1_000), seat(3, 30, UNAVAILABLE, weight=3)]
    assert medians([SUBMITTED, MISSING], seats) == (30, UNAVAILABLE)


def test_the_seats_named_for_the_medians_have_revealed_them() -> None:
    seats = [seat(1), seat(2, 1, 8), seat(3, 2, 9), seat(4, 3, 9)]
    assert median_seats((1, 0), seats) == (2, 2)


def test_a_seat_agrees_near_the_median_and_on_what_is_unavailable() -> None:
    legs = [SUBMITTED, SUBMITTED, SUBMITTED, SUBMITTED, MISSING]
    common = tuple(map(Ppm, (100, 100, UNAVAILABLE, 5, UNAVAILABLE)))
    judged = seat(1, 110, 111, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
    assert agreements(judged, legs, common, Ppm(10)) == 2
    assert agreements(seat(1), legs, common, Ppm(10)) == 0
