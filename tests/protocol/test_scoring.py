"""One seat's scores, their seal, and the committee's median."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.errors import LocalFault, Reason, RuleViolation
from derelayl_protocol.ledger.scoring import (
    agreement,
    check_scores,
    closeness,
    commitment,
    medians,
    most_agreement,
    score_ppm,
    seat_order,
    weighted_median,
)
from derelayl_protocol.ledger.state import LegEntry, SeatEntry
from derelayl_protocol.limits import MAX_SCORE_PPM
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
    assert score_ppm(1.0, loss, 0.0) == UNAVAILABLE
    assert score_ppm(loss, 1.0, 0.0) == UNAVAILABLE
    assert score_ppm(1.0, 1.0, loss) == UNAVAILABLE


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
    assert score_ppm(parent, child, 0.0) == score


@pytest.mark.parametrize(("error", "score"), [(0.1, 643_147), (1.4, -6_853), (1e308, -MAX_SCORE_PPM)])
def test_a_score_stays_below_the_gain_by_half_its_standard_error(error: float, score: int) -> None:
    assert score_ppm(2.0, 1.0, error) == score


@given(*[st.floats(0, allow_infinity=False)] * 2)
def test_every_pair_of_losses_has_a_score_within_bounds(parent: float, child: float) -> None:
    assert abs(score_ppm(parent, child, 0.0)) <= MAX_SCORE_PPM
    assert score_ppm(parent, child, 0.0) == -score_ppm(child, parent, 0.0)


def test_a_commitment_needs_a_salt_of_32_bytes() -> None:
    with pytest.raises(LocalFault, match="31 bytes"):
        commitment(MODEL, 1, address(1), bytes(31), (), ())


def test_a_commitment_hashes_words_as_the_contract_does() -> None:
    words = [MODEL, (3).to_bytes(32), bytes(12) + bytes.fromhex(OWNER[2:]), SALT, (5).to_bytes(32), b"\xff" * 32]
    words.append(bytes([0, 1]) + bytes(30))
    sealed = commitment(MODEL, 3, OWNER, SALT, (Ppm(5), Ppm(-1)), (0, 1))
    assert sealed == hashlib.sha256(b"".join(words)).digest()


def test_a_commitment_is_bound_to_model_round_validator_salt_scores_and_originals() -> None:
    seals = {
        commitment(MODEL, 1, address(1), SALT, (Ppm(1),), (0,)),
        commitment(ModelId(bytes(32)), 1, address(1), SALT, (Ppm(1),), (0,)),
        commitment(MODEL, 2, address(1), SALT, (Ppm(1),), (0,)),
        commitment(MODEL, 1, address(2), SALT, (Ppm(1),), (0,)),
        commitment(MODEL, 1, address(1), bytes(32), (Ppm(1),), (0,)),
        commitment(MODEL, 1, address(1), SALT, (UNAVAILABLE,), (0,)),
        commitment(MODEL, 1, address(1), SALT, (), ()),
        commitment(MODEL, 1, address(1), SALT, (Ppm(1),), (1,)),
    }
    assert len(seals) == 8


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


def test_the_seats_that_revealed_are_listed_leg_after_leg_by_score_and_number() -> None:
    seats = [seat(1), seat(2, 1, 9), seat(3, 2, 8), seat(4, UNAVAILABLE, 8)]
    assert seat_order((1, 0), seats) == (2, 3, 1, 3, 1, 2)
    assert seat_order((), seats) == ()


# --- agreement --------------------------------------------------------------------------------------------------------

scores = st.one_of(st.integers(-30, 30), st.just(int(UNAVAILABLE)))
"""Scores so near to one another that the tolerance of 10 used below decides."""

TOLERANCE = Ppm(10)


def committees(legs: int, others: int) -> st.SearchStrategy[list[SeatEntry]]:
    """Seats that have all revealed, with weights of their own."""
    answers = st.lists(scores, min_size=legs, max_size=legs)
    return st.lists(st.tuples(answers, st.integers(1, 9)), min_size=1, max_size=others).map(
        lambda pairs: [seat(number + 2, *own, weight=weight) for number, (own, weight) in enumerate(pairs)]
    )


@pytest.mark.parametrize(
    ("own", "common", "close"),
    [
        (5, 5, 10),
        (5, 8, 7),
        (8, 5, 7),
        (5, 15, 0),
        (5, 99, 0),
        (-5, 5, 0),
        (UNAVAILABLE, UNAVAILABLE, 10),
        (UNAVAILABLE, 5, 0),
        (5, UNAVAILABLE, 0),
    ],
)
def test_closeness_falls_with_the_distance_and_ends_at_the_tolerance(own: int, common: int, close: int) -> None:
    assert closeness(Ppm(own), Ppm(common), TOLERANCE) == close


def test_a_seat_that_is_silent_or_alone_agrees_with_nobody() -> None:
    legs = [SUBMITTED, SUBMITTED]
    assert agreement(0, legs, [seat(1), seat(2, 1, 99)], TOLERANCE) == 0
    assert agreement(1, legs, [seat(1), seat(2, 1, 99)], TOLERANCE) == 0


def test_one_leg_alone_shows_no_agreement() -> None:
    assert agreement(0, [MISSING, SUBMITTED], [seat(1, UNAVAILABLE, 5), seat(2, UNAVAILABLE, 5)], TOLERANCE) == 0
    assert most_agreement([MISSING, SUBMITTED], TOLERANCE) == 0


def test_who_has_every_score_right_where_scores_lie_apart_agrees_most() -> None:
    legs = [SUBMITTED, MISSING, SUBMITTED, SUBMITTED]
    committee = [seat(1, 0, UNAVAILABLE, 20, UNAVAILABLE)] * 3
    assert most_agreement(legs, TOLERANCE) == 3 * 2 * 10
    assert agreement(0, legs, committee, TOLERANCE) == 60


def test_who_swaps_the_scores_of_two_legs_is_on_the_wrong_side() -> None:
    legs = [SUBMITTED, SUBMITTED]
    assert agreement(0, legs, [seat(1, 20, 0), seat(2, 0, 20), seat(3, 0, 20)], TOLERANCE) == -20


def test_agreement_is_written_out_once_by_hand() -> None:
    legs = [SUBMITTED, SUBMITTED]
    committee = [seat(1, 3, 25), seat(2, 0, 20, weight=2), seat(3, 100, 100)]
    # The others' medians are 0 and 20: 2 * (closeness(3, 0) + closeness(25, 20)) - (7 + 0 + 0 + 5) = 2 * 12 - 12.
    assert agreement(0, legs, committee, TOLERANCE) == 12


@given(st.integers(1, 5).flatmap(lambda legs: st.tuples(st.just(legs), scores, committees(legs, 5))))
def test_who_gives_every_leg_the_same_score_has_no_agreement_at_all(
    case: tuple[int, int, list[SeatEntry]],
) -> None:
    legs, constant, others = case
    assert agreement(0, [SUBMITTED] * legs, [seat(1, *[constant] * legs), *others], TOLERANCE) == 0


@given(
    st.integers(2, 4).flatmap(
        lambda legs: st.tuples(st.lists(scores, min_size=legs, max_size=legs), committees(legs, 5))
    )
)
def test_a_guess_that_does_not_know_which_leg_is_which_has_none_on_the_average(
    case: tuple[list[int], list[SeatEntry]],
) -> None:
    guess, others = case
    legs = [SUBMITTED] * len(guess)
    assert sum(agreement(0, legs, [seat(1, *order), *others], TOLERANCE) for order in permutations(guess)) == 0


@given(st.integers(1, 5).flatmap(lambda legs: committees(legs, 6)))
def test_agreement_stays_within_its_bounds(committee: list[SeatEntry]) -> None:
    legs = [SUBMITTED] * len(committee[0].scores or ())
    for number in range(len(committee)):
        assert abs(agreement(number, legs, committee, TOLERANCE)) <= most_agreement(legs, TOLERANCE)


@given(st.integers(1, 4).flatmap(lambda legs: committees(legs, 6)), st.data())
def test_agreement_is_that_with_the_medians_of_the_others(committee: list[SeatEntry], data: st.DataObject) -> None:
    count = len(committee[0].scores or ())
    legs = [data.draw(st.sampled_from([SUBMITTED, SUBMITTED, MISSING])) for _ in range(count)]
    silent = data.draw(st.integers(0, len(committee)))
    committee = [replace(entry, scores=None) if at == silent else entry for at, entry in enumerate(committee)]
    for number, entry in enumerate(committee):
        others = [other for other in committee if other is not entry and other.scores is not None]
        expected = 0
        if entry.scores is not None and others:
            common = medians(legs, others)  # as if the seat had not revealed
            places = [at for at, one in enumerate(legs) if one.submitted]
            for i, j in product(places, places):
                expected += closeness(entry.scores[i], common[i], TOLERANCE)
                expected -= closeness(entry.scores[i], common[j], TOLERANCE)
        assert agreement(number, legs, committee, TOLERANCE) == expected


@given(committees(3, 5), st.lists(scores, min_size=6, max_size=6), st.integers(0, 2))
def test_what_a_seat_says_of_one_leg_never_moves_what_its_other_scores_are_worth(
    others: list[SeatEntry], said: list[int], place: int
) -> None:
    """Changing one score changes the agreement by the same, whatever the seat says of the other legs."""
    legs = [SUBMITTED] * 3

    def gain(rest: list[int]) -> int:
        first, second = list(rest), list(rest)
        first[place], second[place] = said[place], said[place + 3]
        return agreement(0, legs, [seat(1, *first), *others], TOLERANCE) - agreement(
            0, legs, [seat(1, *second), *others], TOLERANCE
        )

    assert gain(said[:3]) == gain(said[3:])
