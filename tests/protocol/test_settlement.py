"""Who is selected and who gets what, as arithmetic on one round."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.phases import VoidReason
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.settlement import Settlement, check_ranking, leg_order, seat_order, settle, void
from derelayl_protocol.ledger.state import LegEntry, SeatEntry
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, WHOLE_MODEL, Ppm, Root, Wei

from .relay import GENESIS, JUDGES, NO_SCORE, OWNER, RULES, TRAINERS, root, with_rules

SEALED = bytes(31) + b"\x01"


def leg(number: int, *, child: Root | None = None, bid: int = 100, deposit: int = 5) -> LegEntry:
    name = root(f"child {number}") if child is None else child
    return LegEntry(TRAINERS[number], GENESIS, OWNER, WHOLE_MODEL, Wei(bid), Wei(deposit), name)


def seats(*scores: Sequence[int] | None, weight: int = 1_000) -> list[SeatEntry]:
    return [
        SeatEntry(JUDGES[number], Wei(weight), SEALED, None if own is None else tuple(map(Ppm, own)))
        for number, own in enumerate(scores)
    ]


def settled(
    legs: Sequence[LegEntry],
    committee: Sequence[SeatEntry],
    rules: Rules = RULES,
    *,
    stake: int = 1_000,
    known: frozenset[Root] = frozenset({GENESIS}),
    carry: int = 0,
    budget: int = 0,
    settled_rounds: int = 0,
) -> Settlement:
    return settle(
        rules,
        legs,
        committee,
        stakes=dict.fromkeys(JUDGES, Wei(stake)),
        checkpoints=known,
        carry=Wei(carry),
        budget=Wei(budget),
        settled_rounds=settled_rounds,
    )


# --- claims -----------------------------------------------------------------------------------------------------------


RANKED = (0, 1, 1, 0, 0, 1)
"""The two seats of the test below that revealed, for legs 1, 0 and 2 in this order."""


@pytest.mark.parametrize(
    ("order", "ranking", "reason"),
    [
        pytest.param((1, 0), RANKED, Reason.WRONG_ORDER, id="a leg is missing"),
        pytest.param((1, 0, 2), RANKED[:5], Reason.WRONG_SEAT_ORDER, id="a seat is missing"),
        pytest.param((1, 0, 2), (*RANKED, 0), Reason.WRONG_SEAT_ORDER, id="a seat too many"),
        pytest.param((1, 0, 3), RANKED, Reason.WRONG_ORDER, id="a leg that was not submitted"),
        pytest.param((1, 0, 9), RANKED, Reason.WRONG_ORDER, id="no such leg"),
        pytest.param((1, 0, -2), RANKED, Reason.WRONG_ORDER, id="a negative leg"),
        pytest.param((1, 0, 0), (0, 1, 1, 0, 1, 0), Reason.WRONG_ORDER, id="a leg twice"),
        pytest.param((0, 1, 2), (1, 0, 0, 1, 0, 1), Reason.WRONG_ORDER, id="the worse one first"),
        pytest.param((1, 2, 0), (0, 1, 0, 1, 1, 0), Reason.WRONG_ORDER, id="the later of equals first"),
        pytest.param((1, 0, 2), (0, 1, 0, 1, 0, 1), Reason.WRONG_SEAT_ORDER, id="the higher score first"),
        pytest.param((1, 0, 2), (0, 1, 1, 0, 1, 0), Reason.WRONG_SEAT_ORDER, id="the later of equal seats first"),
        pytest.param((1, 0, 2), (0, 1, 1, 1, 0, 1), Reason.WRONG_SEAT_ORDER, id="a seat twice"),
        pytest.param((1, 0, 2), (0, 1, 1, 2, 0, 1), Reason.WRONG_SEAT_ORDER, id="a seat that did not reveal"),
        pytest.param((1, 0, 2), (0, 1, 1, 3, 0, 1), Reason.WRONG_SEAT_ORDER, id="no such seat"),
        pytest.param((1, 0, 2), (0, 1, 1, -3, 0, 1), Reason.WRONG_SEAT_ORDER, id="a negative seat"),
        pytest.param((0, 1, 2), (1, 0, 1, 0, 0, 1), Reason.WRONG_SEAT_ORDER, id="seats before the leg's rank"),
        pytest.param((3, 1, 2), (1, 1, 1, 1, 1, 1), Reason.WRONG_ORDER, id="the leg's number before its seats"),
    ],
)
def test_a_false_claim_is_refused(order: tuple[int, ...], ranking: tuple[int, ...], reason: Reason) -> None:
    legs = [leg(0), leg(1), leg(2), leg(3, child=NO_ROOT)]
    committee = seats((10, 50, 5, UNAVAILABLE), (5, 60, 5, UNAVAILABLE), None)
    check_ranking((1, 0, 2), RANKED, legs, committee)
    with pytest.raises(RuleViolation) as refusal:
        check_ranking(order, ranking, legs, committee)
    assert refusal.value.reason == reason


def test_what_the_helpers_compute_passes_the_check() -> None:
    legs = [leg(0), leg(1), leg(2, child=NO_ROOT), leg(3)]
    committee = seats((10, 50, UNAVAILABLE, UNAVAILABLE), (30, 60, UNAVAILABLE, 7), (20, 70, UNAVAILABLE, UNAVAILABLE))
    order = leg_order(legs, committee)
    assert order == (1, 0, 3)
    assert seat_order(order, committee) == (0, 1, 2, 0, 2, 1, 0, 2, 1)
    check_ranking(order, seat_order(order, committee), legs, committee)


# --- selection --------------------------------------------------------------------------------------------------------


def test_a_leg_below_the_margin_is_never_selected() -> None:
    assert settled([leg(0)], seats((999,))).selected == ()


def test_a_leg_that_nobody_could_fetch_is_never_selected() -> None:
    assert settled([leg(0)], seats((UNAVAILABLE,))).selected == ()


def test_the_best_share_of_the_submitted_legs_is_selected() -> None:
    legs = [leg(0), leg(1), leg(2), leg(3), leg(4, child=NO_ROOT)]
    assert settled(legs, seats((2_000, 4_000, 3_000, 5_000, UNAVAILABLE))).selected == (3, 1)


def test_one_leg_is_selected_however_small_the_share() -> None:
    assert settled([leg(0), leg(1)], seats((2_000, 2_000)), with_rules(selection_bps=1)).selected == (0,)


def test_a_child_that_is_a_checkpoint_already_is_skipped_and_the_walk_goes_on() -> None:
    twin = root("twin")
    legs = [leg(0, child=twin), leg(1, child=twin), leg(2), leg(3)]
    outcome = settled(legs, seats((9_000, 8_000, 7_000, 6_000)))
    assert outcome.selected == (0, 2)
    assert outcome.legs[1].forfeited == 105
    assert settled(legs, seats((9_000, 8_000, 7_000, 6_000)), known=frozenset({twin})).selected == (2, 3)


# --- money ------------------------------------------------------------------------------------------------------------


def test_each_leg_gets_back_or_loses_what_its_fate_says() -> None:
    legs = [leg(0), leg(1), leg(2, child=NO_ROOT)]
    outcome = settled(legs, seats((3_000, 2_000, UNAVAILABLE)))
    assert [(one.bid_returned, one.deposit_returned, one.forfeited) for one in outcome.legs] == [
        (100, 5, 0),
        (0, 0, 105),
        (0, 5, 100),
    ]
    assert outcome.pot == 205


def test_the_pot_is_shared_by_score_and_the_rest_is_carried() -> None:
    legs = [leg(0), leg(1), leg(2), leg(3, bid=1_000)]
    outcome = settled(legs, seats(*[(6_000, 3_000, 0, 0)] * 3), carry=7)
    assert outcome.selected == (0, 1)
    assert outcome.pot == 7 + 105 + 1_005
    trainers, royalties, judges = 1_117 * 6 // 10, 1_117 * 25 // 100, 1_117 * 15 // 100
    assert [one.reward for one in outcome.legs] == [trainers * 2 // 3, trainers // 3, 0, 0]
    assert [one.royalty for one in outcome.legs] == [royalties * 2 // 3, royalties // 3, 0, 0]
    # Legs 2 and 3 have the same score, so all are right on 4 legs and on 2 of the 12 pairs of different legs.
    assert {(one.agreement, one.paid) for one in outcome.seats} == {(833_333, judges // 3 * 10 // 12)}
    assert outcome.carry == 1_117 - (446 + 223) - (186 + 93) - 3 * 45


def test_without_a_selected_leg_only_validators_are_paid_and_nothing_is_emitted() -> None:
    outcome = settled([leg(0), leg(1)], seats((0, 900), (0, 900)), budget=10**6, carry=790)
    assert (outcome.pot, outcome.emission) == (1_000, 0)
    assert {(one.reward, one.royalty) for one in outcome.legs} == {(0, 0)}
    assert [(one.agreement, one.paid) for one in outcome.seats] == [(10**6, 75), (10**6, 75)]
    assert outcome.carry == 850


def test_a_disqualified_leg_is_passed_over_its_deposit_returns_and_its_bid_is_lost_already() -> None:
    legs = [leg(0, bid=0), leg(1), leg(2), leg(3)]
    outcome = settled(legs, seats((9_000, 8_000, 7_000, 6_000)))
    assert outcome.selected == (1, 2)
    lost = outcome.legs[0]
    assert (lost.score, lost.reward, lost.bid_returned, lost.deposit_returned, lost.forfeited) == (9_000, 0, 0, 5, 0)


def test_only_a_disqualified_leg_above_the_margin_selects_nothing() -> None:
    outcome = settled([leg(0, bid=0), leg(1)], seats((9_000, 999)), budget=10**6)
    assert (outcome.selected, outcome.emission) == ((), 0)


# --- validators -------------------------------------------------------------------------------------------------------


def test_one_leg_or_one_seat_shows_no_agreement_and_the_share_is_carried() -> None:
    for outcome in (
        settled([leg(0)], seats((0,), (0,)), carry=895),
        settled([leg(0), leg(1)], seats((0, 900)), carry=790),
    ):
        assert {(one.agreement, one.paid, one.charged) for one in outcome.seats} == {(0, 0, 0)}
        assert outcome.carry == 1_000


def test_a_seat_that_fits_the_wrong_legs_is_charged_into_the_carry() -> None:
    committee = seats((0, 900), (0, 900), (0, 900), (900, 0))
    outcome = settled([leg(0), leg(1)], committee, carry=790)
    share = 150 // 4
    assert [(one.agreement, one.paid, one.charged) for one in outcome.seats] == [
        *[(10**6, share, 0)] * 3,
        (-(10**6), 0, share),
    ]
    assert outcome.carry == 1_000 - 3 * share + share


def test_a_charge_takes_no_more_than_the_stake() -> None:
    committee = seats((0, 900), (0, 900), (0, 900), (900, 0))
    outcome = settled([leg(0), leg(1)], committee, stake=3, carry=790)
    assert (outcome.seats[3].agreement, outcome.seats[3].charged) == (-(10**6), 3)


def test_what_a_seat_is_paid_or_charged_is_rounded_towards_nothing() -> None:
    committee = seats((0, 250), (0, 250), (0, 250), (125, 124))
    outcome = settled([leg(0), leg(1)], committee, carry=790)
    # Right: 250 and 251 short of 500 each; the last one's pairs: 2 * (375 + 374) - (375 + 375 + 376 + 374) = -2.
    assert [(one.agreement, one.paid, one.charged) for one in outcome.seats] == [
        *[(500_000, 18, 0)] * 3,
        (-2_000, 0, 0),
    ]


def test_a_silent_seats_part_of_the_validators_share_is_carried() -> None:
    outcome = settled([leg(0), leg(1)], seats((0, 900), (0, 900), None), with_rules(slash_bps=0), carry=790)
    assert [one.paid for one in outcome.seats] == [50, 50, 0]
    assert outcome.carry == 900


def test_a_seat_that_did_not_reveal_is_slashed_of_its_current_stake_and_not_paid() -> None:
    outcome = settled([leg(0)], seats((3_000,), None), stake=5_555)
    assert (outcome.seats[1].agreement, outcome.seats[1].paid, outcome.seats[1].slashed) == (0, 0, 555)
    assert outcome.pot == 555


ANSWERS = st.lists(st.sampled_from([int(UNAVAILABLE), 0, 1_000, 1_400, 9_999]), min_size=3, max_size=3)


@given(st.lists(ANSWERS, min_size=2, max_size=4), st.sampled_from([0, 1_000, 1_400, int(UNAVAILABLE)]))
def test_a_constant_answer_is_never_paid_nor_charged(others: list[list[int]], constant: int) -> None:
    outcome = settled([leg(0), leg(1), leg(2)], seats([constant] * 3, *others[:3]), carry=10**6)
    assert (outcome.seats[0].agreement, outcome.seats[0].paid, outcome.seats[0].charged) == (0, 0, 0)


@given(st.lists(ANSWERS, min_size=2, max_size=3), ANSWERS)
def test_a_seats_share_is_the_same_whatever_it_says(others: list[list[int]], own: list[int]) -> None:
    """What a seat can earn is an equal part of the pot's share: no answer makes its part larger than another's."""
    outcome = settled([leg(0), leg(1), leg(2)], seats(own, *others), carry=10**6)
    share = outcome.pot * RULES.validator_bps // 10_000 // (1 + len(others))
    for one in outcome.seats:
        assert 0 <= one.paid <= share
        assert 0 <= one.charged <= share
        assert not (one.paid and one.charged)


# --- emission and conservation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settled_rounds", "budget", "emission"),
    [(0, 10**6, 10_000), (1, 10**6, 10_000), (2, 10**6, 5_000), (4, 10**6, 2_500), (0, 77, 77), (10**9, 10**6, 0)],
)
def test_the_emission_halves_and_never_exceeds_the_budget(settled_rounds: int, budget: int, emission: int) -> None:
    outcome = settled([leg(0)], seats((3_000,)), budget=budget, settled_rounds=settled_rounds)
    assert outcome.emission == emission


@given(
    st.lists(st.tuples(ANSWERS, st.integers(0, 10**6)), min_size=1, max_size=6),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.sampled_from([0, 7, 10**9]),
)
def test_what_comes_in_goes_out(entries: list[tuple[list[int], int]], carry: int, budget: int, stake: int) -> None:
    legs = [leg(number, bid=bid) for number, (_, bid) in enumerate(entries)]
    answers = zip(*[own for own, _ in entries], strict=True)
    outcome = settled(legs, seats(*answers, None), carry=carry, budget=budget, stake=stake)
    locked = sum(one.bid + one.deposit for one in legs)
    returned = sum(one.bid_returned + one.deposit_returned for one in outcome.legs)
    paid = sum(one.reward + one.royalty for one in outcome.legs) + sum(one.paid for one in outcome.seats)
    lost = sum(one.slashed + one.charged for one in outcome.seats)
    assert locked + carry + outcome.emission + lost == returned + paid + outcome.carry
    assert outcome.carry >= 0


# --- void -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "slashed"),
    [
        (VoidReason.NOTHING_SUBMITTED, (0, 0, 0)),
        (VoidReason.TOO_FEW_COMMITS, (0, 0, 100)),
        (VoidReason.TOO_FEW_REVEALS, (0, 100, 100)),
    ],
)
def test_a_void_judges_nobody_and_slashes_who_failed(reason: VoidReason, slashed: tuple[int, ...]) -> None:
    legs = [leg(0), leg(1, child=NO_ROOT)]
    committee = [*seats((3_000, UNAVAILABLE), None), SeatEntry(JUDGES[2], Wei(1_000))]
    outcome = void(RULES, reason, legs, committee, stakes=dict.fromkeys(JUDGES, Wei(1_000)), carry=Wei(7))
    assert [(one.bid_returned, one.deposit_returned, one.forfeited) for one in outcome.legs] == [
        (100, 5, 0),
        (0, 5, 100),
    ]
    assert {one.score for one in outcome.legs} == {NO_SCORE}
    assert tuple(one.slashed for one in outcome.seats) == slashed
    assert outcome.carry == 7 + 100 + sum(slashed)
