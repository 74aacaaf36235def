"""What its own legs teach a trainer."""

from __future__ import annotations

from itertools import pairwise

import pytest

from derelayl_protocol.ledger.experience import (
    BID_SHARE,
    BID_STEP,
    EAGERNESS,
    LONGEST_PAUSE,
    RELIEF,
    TRIALS,
    WINDOW,
    Experience,
    Tried,
    learnt,
    pause,
)
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.types import Timestamp, Wei

LOSING, WINNING = -1.0, 5.0


def after(*brought: float) -> Experience:
    found = Experience()
    for each in brought:
        found = found.with_round(True, each)
    return found


def test_who_loses_every_leg_tries_ever_more_rarely_and_never_stops() -> None:
    found, newest, legs = Experience(), 0, []
    for number in range(1, 501):
        if found.wants(number - newest):
            found, newest = found.with_round(True, LOSING), number
            legs.append(number)
    gaps = [later - earlier for earlier, later in pairwise(legs)]
    assert gaps[: TRIALS - 1] == [1] * (TRIALS - 1)
    assert gaps[TRIALS - 1 :] == [10, 22, 46, *[LONGEST_PAUSE] * (len(gaps) - TRIALS - 2)]
    assert len(legs) == 12  # where bidding on would have lost 500


def test_the_first_legs_are_tried_whatever_they_bring() -> None:
    assert [after(*[LOSING] * legs).wants(0) for legs in range(TRIALS + 1)] == [True] * TRIALS + [False]


def test_a_leg_that_wins_ends_the_pauses() -> None:
    lost = after(*[LOSING] * 28)
    assert not lost.wants(LONGEST_PAUSE - 1)
    won = lost.with_round(True, WINNING)
    assert won.wants(1)
    assert won.with_round(True, LOSING).wants(pause(1))


def test_legs_that_pay_on_average_are_wanted_through_a_row_of_losses() -> None:
    assert after(*[WINNING] * 4, *[LOSING] * 6).wants(0)


def test_the_average_forgets_what_is_long_past() -> None:
    once_good = after(*[WINNING] * WINDOW, *[LOSING] * 3 * WINDOW)
    assert once_good.mean < 0
    assert after(*[LOSING] * WINDOW, *[WINNING] * WINDOW).mean > 0


def test_a_round_that_brings_nothing_is_neither_won_nor_lost() -> None:
    assert after(LOSING, LOSING, 0.0).lost == 2
    assert after(0.0, 0.0, 0.0, 0.0).wants(0)


def test_bids_rise_with_legs_missed_while_legs_pay_and_fall_with_legs() -> None:
    paying, losing = after(WINNING), after(LOSING)
    assert paying.with_round(False, 0.0).eagerness == pytest.approx((1 + BID_STEP) * paying.eagerness)
    assert paying.with_round(True, WINNING).eagerness == pytest.approx((1 - BID_STEP * RELIEF) * paying.eagerness)
    assert losing.with_round(False, 0.0) == losing
    assert losing.with_round(True, LOSING).eagerness == pytest.approx((1 - BID_STEP) * losing.eagerness)


@pytest.mark.parametrize(("leased", "bound"), [(False, EAGERNESS[1]), (True, EAGERNESS[0])])
def test_no_experience_moves_a_bid_without_bound(leased: bool, bound: float) -> None:
    found = after(WINNING)
    for _ in range(1_000):
        found = found.with_round(leased, WINNING)
    assert found.eagerness == bound


def test_a_bid_is_a_share_of_the_reward_and_never_above_the_most_or_the_reward() -> None:
    fresh = Experience()
    assert fresh.bid(reward=200.0, least=1.0, most=100.0) == pytest.approx(200 * BID_SHARE)
    assert fresh.bid(reward=5_000.0, least=1.0, most=100.0) == 100
    assert fresh.bid(reward=0.0, least=10.0, most=100.0) == 10
    assert fresh.bid(reward=0.0, least=10.0, most=7.0) == 7  # the ledger refuses it, which says what to do
    assert Experience(eagerness=EAGERNESS[1]).bid(reward=50.0, least=1.0, most=100.0) == 50


def test_what_a_leg_costs_beside_the_bid_counts_for_rounds_with_a_leg_only() -> None:
    rounds = [(1, 3, LegEnding.SELECTED), (2, 0, None), (3, -2, LegEnding.OUTRANKED)]
    tries = [Tried(number, Timestamp(number), Wei(brought), ending) for number, brought, ending in rounds]
    assert learnt(tries, Wei(4)).mean == pytest.approx(-3.5)
    assert learnt(tries, Wei(4)).lost == 2
    assert learnt(tries, Wei(0)).lost == 1


@pytest.mark.parametrize("lost", [0, 1, 28, 10_000_000])
def test_a_pause_is_a_round_at_least_and_bounded(lost: int) -> None:
    assert 1 <= pause(lost) <= LONGEST_PAUSE
