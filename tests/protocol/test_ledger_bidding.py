"""Bids, offers, and the matching that ends the BID phase."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from derelayl_protocol.encoding import word
from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import MatchRound, OfferTip, PlaceBid
from derelayl_protocol.ledger.events import (
    BidDisplaced,
    BidPlaced,
    BidReturned,
    CommitteeSeated,
    DepositReturned,
    LegLeased,
    PhaseChanged,
    RoundVoided,
    TipOffered,
)
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.ledger.state import BidEntry
from derelayl_protocol.limits import MAX_AMOUNT_WEI, MAX_BIDS
from derelayl_protocol.types import WHOLE_MODEL, Timestamp, Wei

from .relay import GENESIS, JUDGES, OWNER, RULES, START, STRANGER, TRAINERS, Relay, address, of, root, with_rules

FIRST, SECOND = TRAINERS[:2]


# --- bids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segment", "amount", "reason"),
    [
        (3, 0, Reason.BAD_SEGMENT),
        (-1, 0, Reason.BAD_SEGMENT),
        (254, 0, Reason.BAD_SEGMENT),
        (0, 0, Reason.ZERO_AMOUNT),
        (0, MAX_AMOUNT_WEI + 1, Reason.AMOUNT_TOO_LARGE),
        (0, 9, Reason.BID_TOO_SMALL),
        (0, 10**9, Reason.INSUFFICIENT_BALANCE),
    ],
)
def test_a_bid_is_refused_by_the_first_rule_it_breaks(segment: int, amount: int, reason: Reason) -> None:
    relay = Relay()
    relay.refuse(reason, FIRST, PlaceBid(relay.model, 1, segment, Wei(amount)))


def test_an_account_bids_once_a_round() -> None:
    relay = Relay()
    relay.bid(FIRST)
    relay.refuse(Reason.ALREADY_BID, FIRST, PlaceBid(relay.model, 1, 0, Wei(500)))


def crowded(*amounts: int) -> Relay:
    """A relay with these bids of strangers, and bids of 100 in all other places."""
    relay = Relay()
    for number in range(MAX_BIDS):
        amount = amounts[number] if number < len(amounts) else 100
        relay.state = replace(relay.state, free={**relay.state.free, address(1_000 + number): Wei(amount)})
        bid = PlaceBid(relay.model, 1, 0, Wei(amount))
        relay.state, _ = apply(relay.state, bid, address(1_000 + number), Timestamp(relay.now))
    return relay


@pytest.mark.parametrize("amount", [10, 100])
def test_a_full_round_refuses_a_bid_that_is_not_higher_than_the_lowest(amount: int) -> None:
    relay = crowded()
    relay.refuse(Reason.TOO_MANY_BIDS, FIRST, PlaceBid(relay.model, 1, 0, Wei(amount)))


@pytest.mark.parametrize(("amounts", "place"), [((), MAX_BIDS - 1), ((50, 60), 0), ((60, 50, 50, 60), 2)])
def test_in_a_full_round_a_bid_takes_the_place_of_the_lowest(amounts: tuple[int, ...], place: int) -> None:
    relay = crowded(*amounts)
    before, loser = relay.round.bids, address(1_000 + place)
    state, events = apply(relay.state, PlaceBid(relay.model, 1, 2, Wei(101)), FIRST, Timestamp(relay.now))
    assert events == (
        BidPlaced(relay.model, 1, FIRST, 2, Wei(101)),
        BidDisplaced(relay.model, 1, loser, FIRST, before[place].amount),
    )
    entry = BidEntry(FIRST, 2, Wei(101))
    assert state.models[relay.model].current.bids == (*before[:place], entry, *before[place + 1 :])
    assert (state.free[loser], state.free[FIRST]) == (before[place].amount, relay.free(FIRST) - 101)


def test_who_was_displaced_may_bid_again() -> None:
    relay = crowded(99)
    loser = address(1_000)
    state, _ = apply(relay.state, PlaceBid(relay.model, 1, 0, Wei(500)), FIRST, Timestamp(relay.now))
    state = replace(state, free={**state.free, loser: Wei(200)})
    state, events = apply(state, PlaceBid(relay.model, 1, 0, Wei(200)), loser, Timestamp(relay.now))
    assert [event.trainer for event in of(BidDisplaced, events)] == [address(1_000 + MAX_BIDS - 1)]


def test_a_bid_at_the_deadline_is_late() -> None:
    relay = Relay()
    relay.bid(FIRST)
    relay.pass_deadline()
    relay.refuse(Reason.TOO_LATE, SECOND, PlaceBid(relay.model, 1, 0, Wei(500)))


def test_the_first_bid_starts_the_clock_and_later_ones_do_not_move_it() -> None:
    relay = Relay()
    deadline = START + RULES.bid_seconds
    assert relay.bid(FIRST, 100, segment=2) == (
        BidPlaced(relay.model, 1, FIRST, 2, Wei(100)),
        PhaseChanged(relay.model, 1, Phase.BID, Timestamp(deadline)),
    )
    relay.now = deadline - 1
    assert relay.bid(SECOND) == (BidPlaced(relay.model, 1, SECOND, WHOLE_MODEL, Wei(100)),)
    assert relay.round.deadline == deadline


# --- offers -----------------------------------------------------------------------------------------------------------


def test_only_tips_can_be_offered_by_their_owner_once() -> None:
    relay = Relay()
    relay.refuse(Reason.NOT_A_TIP, OWNER, OfferTip(relay.model, 1, root("unknown")))
    relay.refuse(Reason.NOT_THE_OWNER, STRANGER, OfferTip(relay.model, 1, GENESIS))
    relay.offer(OWNER, GENESIS)
    relay.refuse(Reason.ALREADY_OFFERED, OWNER, OfferTip(relay.model, 1, GENESIS))


def test_an_offer_needs_its_deposit() -> None:
    relay = Relay(with_rules(offer_deposit=10**9))
    relay.refuse(Reason.INSUFFICIENT_BALANCE, OWNER, OfferTip(relay.model, 1, GENESIS))


def test_an_offer_after_the_bid_deadline_is_late() -> None:
    relay = Relay()
    relay.bid(FIRST)
    relay.pass_deadline()
    relay.refuse(Reason.TOO_LATE, OWNER, OfferTip(relay.model, 1, GENESIS))


def test_an_offer_locks_a_deposit_for_each_leg() -> None:
    relay = Relay()
    before = relay.free(OWNER)
    assert relay.offer(OWNER, GENESIS) == (TipOffered(relay.model, 1, GENESIS, OWNER, Wei(10)),)
    assert before - relay.free(OWNER) == 10
    assert relay.round.tips[0].offered


def test_an_offer_may_cost_nothing() -> None:
    relay = Relay(with_rules(offer_deposit=0))
    assert relay.offer(OWNER, GENESIS) == (TipOffered(relay.model, 1, GENESIS, OWNER, Wei(0)),)
    assert of(DepositReturned, relay.lease(100, offered=False)) == []


# --- matching ---------------------------------------------------------------------------------------------------------


def test_a_round_without_bids_cannot_be_matched() -> None:
    relay = Relay()
    relay.refuse(Reason.TOO_EARLY, STRANGER, MatchRound(relay.model, 1, (), (0,)))


def test_matching_waits_for_the_deadline() -> None:
    relay = Relay()
    relay.bid(FIRST)
    relay.now = relay.round.deadline - 1
    relay.refuse(Reason.TOO_EARLY, STRANGER, relay.matching())


def test_matching_in_a_wrong_order_is_refused() -> None:
    relay = Relay()
    relay.bid(FIRST, 100)
    relay.bid(SECOND, 200)
    relay.pass_deadline()
    relay.refuse(Reason.WRONG_ORDER, STRANGER, replace(relay.matching(), bid_order=(0, 1)))
    relay.refuse(Reason.WRONG_ORDER, STRANGER, replace(relay.matching(), tip_order=()))
    assert relay.matching().bid_order == (1, 0)


def test_matching_returns_what_found_no_place_then_leases_and_seats() -> None:
    relay = Relay()
    relay.offer(OWNER, GENESIS)
    for trainer, amount in zip(TRAINERS, (50, 70, 60, 40), strict=False):
        relay.bid(trainer, amount)
    balances = {trainer: relay.free(trainer) for trainer in TRAINERS}
    events = relay.match()
    assert events == (
        BidReturned(relay.model, 1, TRAINERS[1], Wei(10)),
        BidReturned(relay.model, 1, TRAINERS[0], Wei(50)),
        BidReturned(relay.model, 1, TRAINERS[3], Wei(40)),
        LegLeased(relay.model, 1, 0, TRAINERS[1], GENESIS, WHOLE_MODEL),
        LegLeased(relay.model, 1, 1, TRAINERS[2], GENESIS, WHOLE_MODEL),
        CommitteeSeated(relay.model, 1, relay.seated()),
        PhaseChanged(relay.model, 1, Phase.TRAIN, Timestamp(relay.now + RULES.train_seconds)),
    )
    assert [relay.free(trainer) - balances[trainer] for trainer in TRAINERS[:4]] == [50, 10, 0, 40]
    assert [leg.bid for leg in relay.round.legs] == [60, 60]
    assert [leg.deposit for leg in relay.round.legs] == [5, 5]
    assert len(relay.seated()) == RULES.committee_size


def test_the_part_of_an_offer_that_no_leg_uses_returns() -> None:
    relay = Relay()
    events = relay.lease(100)
    assert of(DepositReturned, events) == [DepositReturned(relay.model, 1, GENESIS, OWNER, Wei(5))]


def test_bids_beyond_the_best_tip_continue_the_next_one() -> None:
    relay = Relay(with_rules(selection_bps=10_000))
    relay.whole_round((100, 90), (3_000, 2_000))
    better, worse = relay.round.tips
    relay.lease(100, 90, 80)
    assert [leg.parent for leg in relay.round.legs] == [better.root, better.root, worse.root]
    assert {leg.deposit for leg in relay.round.legs} == {0}


def test_an_offered_tip_goes_before_a_better_one() -> None:
    relay = Relay(with_rules(selection_bps=10_000))
    relay.whole_round((100, 90), (3_000, 2_000))
    better, worse = relay.round.tips
    relay.offer(worse.owner, worse.root)
    relay.lease(100, 90, 80)
    assert [leg.parent for leg in relay.round.legs] == [worse.root, worse.root, better.root]
    assert [leg.deposit for leg in relay.round.legs] == [5, 5, 0]


def test_who_bids_or_owns_a_tip_does_not_judge_the_round() -> None:
    relay = Relay()
    relay.bid(JUDGES[0])
    relay.match()
    assert set(relay.seated()) == set(JUDGES[1:])


def test_without_a_committee_everything_returns_and_the_next_round_begins() -> None:
    relay = Relay(judges=1)
    relay.offer(OWNER, GENESIS)
    free = {account: relay.free(account) for account in (FIRST, SECOND)}
    relay.bid(FIRST, 50)
    relay.bid(SECOND, 70)
    seed = hashlib.sha256(relay.held.next_seed + word(2)).digest()
    assert relay.match() == (
        BidReturned(relay.model, 1, FIRST, Wei(50)),
        BidReturned(relay.model, 1, SECOND, Wei(70)),
        DepositReturned(relay.model, 1, GENESIS, OWNER, Wei(10)),
        RoundVoided(relay.model, 1, VoidReason.COMMITTEE_TOO_SMALL),
        PhaseChanged(relay.model, 2, Phase.BID, Timestamp(0)),
    )
    assert {account: relay.free(account) for account in (FIRST, SECOND)} == free
    assert (relay.round.seed, relay.held.next_seed) == (seed, seed)
    assert relay.round.bids == ()
    assert not relay.round.tips[0].offered
    assert relay.held.settled_rounds == 0


def test_the_orders_of_any_round_are_those_of_its_seed() -> None:
    relay = Relay()
    for trainer in TRAINERS:
        relay.bid(trainer, 100)
    relay.pass_deadline()
    command = relay.matching()
    assert command.bid_order == bid_order(relay.model, relay.round.bids)
    assert command.tip_order == tip_order(relay.model, relay.round.tips)
