"""What a participant is told to do, for every phase and on both sides of a deadline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derelayl_node.roles.duties import (
    KEEPER_STEP_SECONDS,
    KEEPERS,
    has_bid,
    may_still_enter,
    open_lease,
    overdue,
    patience,
    seat_of,
    segment_for_round,
    tips_to_offer,
)
from derelayl_protocol.ledger.commands import Advance, MatchRound, SettleRound
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.presets import MINIMAL, STANDARD
from derelayl_protocol.ledger.state import BidEntry, LegEntry, RoundView, SeatEntry, TipEntry
from derelayl_protocol.types import NO_ROOT, WHOLE_MODEL, Address, ModelId, Ppm, Root, Timestamp, Wei

MODEL = ModelId(b"m" * 32)
ANN, BOB = Address("0x" + "a1" * 20), Address("0x" + "b0" * 20)
TIP, CHILD = Root(b"t" * 32), Root(b"c" * 32)
DEADLINE = 1_000

ROUND = RoundView(
    number=3,
    phase=Phase.BID,
    deadline=Timestamp(DEADLINE),
    seed=b"s" * 32,
    bids=(BidEntry(ANN, WHOLE_MODEL, Wei(5)), BidEntry(BOB, 0, Wei(9))),
    tips=(TipEntry(TIP, ANN, Ppm(0), False),),
    legs=(LegEntry(ANN, TIP, ANN, 0, Wei(5), Wei(0)), LegEntry(BOB, TIP, ANN, 1, Wei(9), Wei(0), CHILD)),
    seats=(SeatEntry(BOB, Wei(7), b"k" * 32, (Ppm(-(2**63)), Ppm(3))),),
)


@pytest.mark.parametrize("phase", [Phase.BID, Phase.TRAIN, Phase.COMMIT, Phase.REVEAL])
def test_nothing_is_overdue_before_the_deadline(phase: Phase) -> None:
    assert overdue(MODEL, replace(ROUND, phase=phase), DEADLINE - 0.001) is None


def test_a_bidding_without_a_bid_is_never_overdue() -> None:
    assert overdue(MODEL, replace(ROUND, deadline=Timestamp(0), bids=()), 10.0**12) is None


def test_a_closed_bidding_is_matched_with_the_higher_bid_first() -> None:
    assert overdue(MODEL, ROUND, DEADLINE) == MatchRound(MODEL, 3, (1, 0), (0,))


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.COMMIT, Phase.REVEAL])
def test_a_phase_past_its_deadline_is_advanced(phase: Phase) -> None:
    assert overdue(MODEL, replace(ROUND, phase=phase), DEADLINE) == Advance(MODEL, 3)


def test_settling_is_always_due_and_names_the_submitted_legs_only() -> None:
    view = replace(ROUND, phase=Phase.SETTLE, deadline=Timestamp(0))
    assert overdue(MODEL, view, 0) == SettleRound(MODEL, 3, (1,), (0,))


def stranger(number: int) -> Address:
    return Address(f"0x{number:040x}")


@pytest.mark.parametrize("phase", Phase)
def test_one_participant_acts_at_once_the_other_a_step_later_and_strangers_after_both(phase: Phase) -> None:
    view = replace(ROUND, phase=phase)
    assert sorted(patience(view, MINIMAL, account) for account in (ANN, BOB)) == [0, KEEPER_STEP_SECONDS]
    waits = {patience(view, MINIMAL, stranger(number)) for number in range(50)}
    assert len(waits) == 50
    assert all(2 <= wait / KEEPER_STEP_SECONDS < 2 + KEEPERS for wait in waits)


def test_of_many_participants_a_few_have_turns_and_the_seed_says_which() -> None:
    bids = tuple(BidEntry(stranger(number), WHOLE_MODEL, Wei(5)) for number in range(32))
    firsts = set()
    for seed in range(8):
        view = replace(ROUND, seed=bytes([seed]) * 32, bids=bids)
        waits = sorted((patience(view, MINIMAL, bid.trainer), bid.trainer) for bid in bids)
        steps = [wait / KEEPER_STEP_SECONDS for wait, _ in waits]
        assert steps[:KEEPERS] == list(range(KEEPERS))
        assert all(KEEPERS <= step < 2 * KEEPERS for step in steps[KEEPERS:])
        firsts.add(waits[0][1])
    assert len(firsts) > 4


def test_who_has_shown_to_be_there_comes_before_who_has_not() -> None:
    assert patience(replace(ROUND, phase=Phase.TRAIN), MINIMAL, BOB) == 0  # BOB has submitted, ANN has not
    assert patience(replace(ROUND, phase=Phase.SETTLE), MINIMAL, BOB) == 0  # BOB has revealed


def test_a_turn_lasts_longer_than_a_slow_chain_s_block_where_phases_are_long() -> None:
    assert max(patience(ROUND, STANDARD, account) for account in (ANN, BOB)) == 15.0


def test_a_round_takes_bids_until_its_deadline() -> None:
    assert may_still_enter(ROUND, DEADLINE - 1)
    assert may_still_enter(replace(ROUND, deadline=Timestamp(0)), 10.0**12)
    assert not may_still_enter(ROUND, DEADLINE)
    assert not may_still_enter(replace(ROUND, phase=Phase.TRAIN), DEADLINE - 1)


def test_one_s_own_bid_tips_and_seat_are_found() -> None:
    stranger = Address("0x" + "cc" * 20)
    assert has_bid(ROUND, ANN)
    assert not has_bid(ROUND, stranger)
    assert tips_to_offer(ROUND, ANN) == (TIP,)
    assert tips_to_offer(ROUND, BOB) == ()
    assert seat_of(ROUND, BOB) == ROUND.seats[0]
    assert seat_of(ROUND, ANN) is None


def test_an_offered_tip_is_not_offered_again() -> None:
    offered = replace(ROUND, tips=(TipEntry(TIP, ANN, Ppm(0), True),))
    assert tips_to_offer(offered, ANN) == ()


def test_a_lease_is_open_until_its_deadline_or_its_submission() -> None:
    view = replace(ROUND, phase=Phase.TRAIN)
    assert open_lease(view, ANN, DEADLINE - 1) == (0, ROUND.legs[0])
    assert open_lease(view, ANN, DEADLINE) is None
    assert open_lease(view, BOB, DEADLINE - 1) is None
    assert open_lease(ROUND, ANN, DEADLINE - 1) is None
    assert ROUND.legs[0].child == NO_ROOT


@pytest.mark.parametrize(
    ("policy", "segments", "expected"),
    [
        ("whole", 2, [WHOLE_MODEL] * 4),
        ("1", 2, [1, 1, 1, 1]),
        ("rotate", 2, [WHOLE_MODEL, 0, 1, WHOLE_MODEL]),
        ("rotate", 1, [WHOLE_MODEL] * 4),
    ],
)
def test_the_segment_follows_the_policy(policy: str, segments: int, expected: list[int]) -> None:
    assert [segment_for_round(policy, number, segments) for number in (1, 2, 3, 4)] == expected
