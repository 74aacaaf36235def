"""Ranks of bids and tips, leases, and the draw of the committee."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.matching import (
    bid_order,
    check_bid_order,
    check_order,
    check_tip_order,
    lease_legs,
    seat_committee,
    tip_order,
    with_stalled,
)
from derelayl_protocol.ledger.state import BidEntry, LegEntry, SeatEntry, TipEntry
from derelayl_protocol.limits import MAX_COMMITTEE_DRAWS
from derelayl_protocol.types import NO_ROOT, Ppm, Wei

from .relay import OWNER, RULES, address, root, with_rules

SEED = bytes(range(32))


def bids(*amounts: int) -> list[BidEntry]:
    return [BidEntry(address(number + 1), segment=0, amount=Wei(amount)) for number, amount in enumerate(amounts)]


def tips(*scores: int, offered: tuple[int, ...] = ()) -> list[TipEntry]:
    return [
        TipEntry(root(f"tip {number}"), OWNER, Ppm(score), offered=number in offered)
        for number, score in enumerate(scores)
    ]


@pytest.mark.parametrize(
    "order",
    [
        pytest.param((), id="empty"),
        pytest.param((1, 0), id="too short"),
        pytest.param((1, 0, 2, 2), id="too long"),
        pytest.param((1, 1, 2), id="repeated"),
        pytest.param((1, 2, 0), id="not ascending"),
        pytest.param((1, 0, 3), id="beyond the end"),
        pytest.param((1, 0, -1), id="negative"),
    ],
)
def test_an_order_that_is_not_the_ranking_is_refused(order: tuple[int, ...]) -> None:
    keys = [(-5, b"a"), (-9, b"b"), (-1, b"c")]
    with pytest.raises(RuleViolation) as refusal:
        check_order(order, keys)
    assert refusal.value.reason == Reason.WRONG_ORDER


def test_equal_keys_have_no_strict_order() -> None:
    with pytest.raises(RuleViolation):
        check_order((0, 1), [(1, b""), (1, b"")])


def test_bids_rank_by_amount_then_by_the_seeds_hash() -> None:
    entries = bids(5, 9, 5, 1)
    tied = sorted((0, 2), key=lambda entry: hashlib.sha256(SEED + bytes.fromhex(entries[entry].trainer[2:])).digest())
    assert bid_order(SEED, entries) == (1, *tied, 3)


def test_another_seed_breaks_ties_another_way() -> None:
    entries = bids(*[7] * 10)
    assert bid_order(SEED, entries) != bid_order(bytes(32), entries)


def test_tips_rank_offered_first_then_by_score_then_by_hash() -> None:
    entries = tips(10, 99, 10, 10, offered=(0, 2))
    tied = sorted((0, 2), key=lambda entry: hashlib.sha256(SEED + entries[entry].root).digest())
    assert tip_order(SEED, entries) == (*tied, 1, 3)


@given(st.lists(st.integers(1, 4), max_size=8), st.permutations(range(8)))
def test_only_the_ranking_itself_passes_the_check(amounts: list[int], shuffled: list[int]) -> None:
    entries = bids(*amounts)
    ranking = bid_order(SEED, entries)
    check_bid_order(SEED, entries, ranking)
    other = tuple(entry for entry in shuffled if entry < len(entries))
    if other != ranking:
        with pytest.raises(RuleViolation):
            check_bid_order(SEED, entries, other)


def test_the_tips_ranking_passes_the_check_and_no_other_does() -> None:
    entries = tips(1, 2, 3, offered=(1,))
    check_tip_order(SEED, entries, tip_order(SEED, entries))
    with pytest.raises(RuleViolation):
        check_tip_order(SEED, entries, (0, 1, 2))


def test_bids_share_the_tips_in_order_and_those_beyond_get_no_leg() -> None:
    entries, ends = bids(1, 2, 3, 4, 5), tips(10, 20, offered=(0,))
    legs = lease_legs(RULES, entries, ends, bid_order(SEED, entries), tip_order(SEED, ends))
    assert [(leg.bid, leg.parent, leg.deposit) for leg in legs] == [
        (2, ends[0].root, RULES.offer_deposit),
        (2, ends[0].root, RULES.offer_deposit),
        (2, ends[1].root, 0),
        (2, ends[1].root, 0),
    ]
    assert [leg.trainer for leg in legs] == [entries[place].trainer for place in (4, 3, 2, 1)]


def test_with_as_many_legs_on_a_tip_as_there_are_bids_all_continue_the_first() -> None:
    entries, ends = bids(1, 2, 3), tips(10, 20)
    legs = lease_legs(with_rules(legs_per_tip=32), entries, ends, (2, 1, 0), tip_order(SEED, ends))
    assert [(leg.parent, leg.bid) for leg in legs] == [(ends[1].root, 1)] * 3


def lease(tip: TipEntry, *, submitted: bool) -> LegEntry:
    child = root("child") if submitted else NO_ROOT
    return LegEntry(OWNER, tip.root, OWNER, 0, Wei(10), Wei(0), child)


@pytest.mark.parametrize(
    ("submitted", "legs", "stalled"), [(0, 1, True), (1, 1, False), (1, 2, False), (1, 3, True), (2, 3, False)]
)
def test_a_tip_is_stalled_where_fewer_than_half_of_its_legs_were_submitted(
    submitted: int, legs: int, stalled: bool
) -> None:
    continued, other = tips(10, 20)
    leases = [lease(continued, submitted=number < submitted) for number in range(legs)]
    assert [tip.stalled for tip in with_stalled([continued, other], leases)] == [stalled, False]
    before = [replace(continued, stalled=True), other]
    assert [tip.stalled for tip in with_stalled(before, leases)] == [stalled, False]


def test_a_tip_that_no_leg_continued_keeps_its_mark() -> None:
    first, second, third = tips(1, 2, 3)
    first = replace(first, stalled=True)
    marked = with_stalled([first, second, third], [lease(second, submitted=False)])
    assert [tip.stalled for tip in marked] == [True, True, False]
    assert with_stalled([first, second, third], []) == (first, second, third)


def test_where_every_tip_would_be_stalled_none_is() -> None:
    first, second = tips(1, 2)
    marked = with_stalled([replace(first, stalled=True), second], [lease(second, submitted=False)])
    assert [tip.stalled for tip in marked] == [False, False]


def test_a_stalled_tip_goes_last_even_if_it_is_offered_and_the_best() -> None:
    first, second, third = tips(99, 1, 2, offered=(0,))
    assert tip_order(SEED, [replace(first, stalled=True), second, third]) == (2, 1, 0)


def draw(size: int, *, stake: int = 1_000, excluded: frozenset[int] = frozenset(), seats: int = 3) -> list[SeatEntry]:
    validators = [address(number + 1) for number in range(size)]
    return list(
        seat_committee(
            SEED,
            validators,
            dict.fromkeys(validators, Wei(stake)),
            {address(number + 1) for number in excluded},
            with_rules(committee_size=seats, quorum=1),
        )
    )


def test_nobody_is_seated_where_nobody_has_staked() -> None:
    assert draw(0) == []


def test_who_has_a_part_in_the_round_is_passed_over() -> None:
    seated = draw(4, excluded=frozenset({0, 2}), seats=4)
    assert {seat.validator for seat in seated} == {address(2), address(4)}


def test_who_has_lost_more_than_half_of_its_stake_is_passed_over() -> None:
    assert draw(4, stake=499) == []
    assert len(draw(4, stake=500)) == 3


def test_half_of_an_odd_stake_is_not_rounded() -> None:
    rules, account = with_rules(validator_stake=1_001), address(1)
    assert seat_committee(SEED, [account], {account: Wei(500)}, (), rules) == ()
    assert seat_committee(SEED, [account], {account: Wei(501)}, (), rules) == (SeatEntry(account, Wei(501)),)


def test_at_most_the_committees_size_is_seated_and_nobody_twice() -> None:
    seated = [seat.validator for seat in draw(20, seats=15)]
    assert len(seated) == len(set(seated)) == 15


def test_at_most_the_limit_is_looked_at_however_many_have_staked() -> None:
    everyone = draw(200, seats=15)
    assert len(everyone) == 15
    nobody = draw(200, excluded=frozenset(range(200)), seats=15)
    assert nobody == []
    assert draw(MAX_COMMITTEE_DRAWS + 1, excluded=frozenset(range(MAX_COMMITTEE_DRAWS)), seats=1) in (
        [],
        [SeatEntry(address(MAX_COMMITTEE_DRAWS + 1), Wei(1_000))],
    )


def test_seats_carry_the_stake_as_weight() -> None:
    validators = [address(1), address(2)]
    seats = seat_committee(SEED, validators, {address(1): Wei(1_000), address(2): Wei(7_777)}, (), RULES)
    assert {seat.validator: seat.weight for seat in seats} == {address(1): 1_000, address(2): 7_777}


def test_the_draw_is_the_fisher_yates_shuffle_of_the_protocol() -> None:
    validators = [address(number) for number in range(1, 6)]
    for i in range(3):
        drawn = int.from_bytes(hashlib.sha256(SEED + i.to_bytes(32, "big")).digest(), "big")
        j = i + drawn % (5 - i)
        validators[i], validators[j] = validators[j], validators[i]
    assert [seat.validator for seat in draw(5)] == validators[:3]
