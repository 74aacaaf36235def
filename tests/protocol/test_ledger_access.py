"""Access to the weights: who has it, what it costs, where the fee goes."""

from __future__ import annotations

from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger.access import has_access
from derelayl_protocol.ledger.commands import BuyAccess, CollectRoyalty, Withdraw
from derelayl_protocol.ledger.events import AccessBought, RoundSettled, RoyaltyCollected
from derelayl_protocol.types import Wei

from .relay import GENESIS, OWNER, RULES, STRANGER, TRAINERS, WALLET, Relay, of, root, with_rules


def test_there_is_no_access_to_what_is_no_checkpoint() -> None:
    for relay in (Relay(), Relay(with_rules(access_fee=0))):
        relay.refuse(Reason.UNKNOWN_CHECKPOINT, STRANGER, BuyAccess(relay.model, root("x")))
    assert not has_access(Relay().held, root("x"), STRANGER)


def test_an_open_model_sells_nothing_and_everybody_has_access() -> None:
    relay = Relay(with_rules(access_fee=0))
    relay.refuse(Reason.NOT_FOR_SALE, STRANGER, BuyAccess(relay.model, GENESIS))
    assert has_access(relay.held, GENESIS, STRANGER)


def test_access_is_bought_once() -> None:
    relay = Relay()
    relay.do(STRANGER, BuyAccess(relay.model, GENESIS))
    relay.do(STRANGER, Withdraw(Wei(WALLET // 2 - 103)))
    relay.refuse(Reason.ALREADY_BOUGHT, STRANGER, BuyAccess(relay.model, GENESIS))


def test_access_must_be_paid_for() -> None:
    relay = Relay()
    relay.do(STRANGER, Withdraw(Wei(WALLET // 2 - 102)))
    relay.refuse(Reason.INSUFFICIENT_BALANCE, STRANGER, BuyAccess(relay.model, GENESIS))
    assert not has_access(relay.held, GENESIS, STRANGER)


def test_the_fee_is_shared_by_the_carry_and_the_checkpoint() -> None:
    relay = Relay()
    free = relay.free(STRANGER)
    assert relay.do(STRANGER, BuyAccess(relay.model, GENESIS)) == (
        AccessBought(relay.model, GENESIS, STRANGER, Wei(103), Wei(30)),
    )
    assert free - relay.free(STRANGER) == RULES.access_fee == 103
    assert (relay.held.carry, relay.held.checkpoints[GENESIS].pending) == (30, 73)


def test_a_buyer_has_access_to_what_it_bought_and_an_owner_to_its_own() -> None:
    relay = Relay(with_rules(selection_bps=10_000))
    relay.whole_round((100, 90), (3_000, 2_000))
    better, worse = (tip.root for tip in relay.round.tips)
    relay.do(STRANGER, BuyAccess(relay.model, better))
    relay.do(OWNER, BuyAccess(relay.model, better))
    assert relay.held.buyers == {better: {STRANGER, OWNER}}
    assert [has_access(relay.held, at, STRANGER) for at in (GENESIS, better, worse)] == [False, True, False]
    assert [has_access(relay.held, at, TRAINERS[0]) for at in (GENESIS, better, worse)] == [False, True, False]


def test_the_fee_climbs_the_lineage_and_feeds_the_next_pot() -> None:
    relay = Relay()
    relay.whole_round((100,), (2_000,))
    (tip,) = relay.round.tips
    relay.do(STRANGER, CollectRoyalty(relay.model, tip.root, 2))
    carry = relay.held.carry
    relay.do(STRANGER, BuyAccess(relay.model, tip.root))
    collected = of(RoyaltyCollected, relay.do(STRANGER, CollectRoyalty(relay.model, tip.root, 2)))
    assert [(event.owner, event.kept, event.passed) for event in collected] == [(tip.owner, 37, 36), (OWNER, 36, 0)]
    assert of(RoundSettled, relay.whole_round((100,), (2_000,)))[0].pot == carry + 30 + RULES.emission
