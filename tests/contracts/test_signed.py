"""Bids, children, commits and reveals that others send: what counts is who signed, and nothing is executed twice."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from derelayl_node.evm.typed_data import sign_message
from derelayl_protocol import limits
from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger import commands, events
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.signed import BidMessage, CommitMessage
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Address, ModelId, Ppm, Root, Timestamp, Wei

from .evm import account
from .game import GENESIS, Game
from .orders import commitment
from .relay import CREATOR, KEYS, RULES, TRAINERS, VALIDATORS

FIRST, SECOND, THIRD = TRAINERS[:3]
RELAYER = account(5)
"""Neither bids nor judges; it does not even have an account in the ledger."""

SCORES = (Ppm(5000), Ppm(4000), Ppm(3000))


@lru_cache
def reached(phase: Phase) -> Game:
    """A game in that phase, nobody having acted in it yet."""
    game = Game(replace(RULES, committee_size=4))
    if phase is Phase.TRAIN:
        game.to_train()
    elif phase is not Phase.BID:
        game.to_commit()
    if phase is Phase.REVEAL:
        game.to_reveal(*[SCORES] * 4)
    return game


@pytest.fixture
def bidding() -> Game:
    return reached(Phase.BID).fork()


@pytest.fixture
def training() -> Game:
    return reached(Phase.TRAIN).fork()


@pytest.fixture
def committing() -> Game:
    return reached(Phase.COMMIT).fork()


@pytest.fixture
def revealing() -> Game:
    return reached(Phase.REVEAL).fork()


def bid(
    game: Game, trainer: Address, amount: int = 40, expiry: int | None = None, segment: int = 1
) -> commands.SignedBid:
    expires = Timestamp(game.relay.evm.now + 100 if expiry is None else expiry)
    return game.sign.bid(game.model, game.number, trainer, segment, Wei(amount), expires)


def child(game: Game, leg: int) -> commands.SignedChild:
    lease = game.view.legs[leg]
    return game.sign.child(game.model, game.number, leg, lease.trainer, lease.parent, game.child(leg))


def commit(game: Game, seat: int) -> commands.SignedCommit:
    validator = game.view.seats[seat].validator
    seal = commitment(game.model, game.number, validator, game.salt(seat), SCORES)
    return game.sign.commit(game.model, game.number, validator, seal)


def reveal(game: Game, seat: int) -> commands.SignedReveal:
    validator = game.view.seats[seat].validator
    return game.sign.reveal(game.model, game.number, validator, SCORES, game.salt(seat))


# --- what refuses a whole list ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segment": 3}, Reason.BAD_SEGMENT),
        ({"amount": Wei(0)}, Reason.ZERO_AMOUNT),
        ({"amount": Wei(limits.MAX_AMOUNT_WEI + 1)}, Reason.AMOUNT_TOO_LARGE),
        ({"amount": Wei(9)}, Reason.BID_TOO_SMALL),
        ({"amount": Wei(41)}, Reason.BAD_SIGNATURE),
        ({"segment": 0}, Reason.BAD_SIGNATURE),
        ({"expiry": Timestamp(2**64 - 1)}, Reason.BAD_SIGNATURE),
        ({"trainer": SECOND}, Reason.BAD_SIGNATURE),
        ({"signature": bytes(64)}, Reason.BAD_SIGNATURE),
        ({"signature": b"\xff" * 64}, Reason.BAD_SIGNATURE),
    ],
)
def test_one_wrong_bid_refuses_all(bidding: Game, change: dict[str, Any], reason: Reason) -> None:
    wrong = replace(bid(bidding, FIRST), **change)
    bidding.refuses(reason, RELAYER, commands.BidBySig, (bid(bidding, THIRD), wrong))
    assert bidding.view.bids == ()


@pytest.mark.parametrize("place", ["another round", "another model", "another ledger", "another chain"])
def test_a_bid_signed_for_another_place(bidding: Game, place: str) -> None:
    right = bid(bidding, FIRST)
    message = BidMessage(bidding.model, 1, right.segment, right.amount, right.expiry)
    ledger = bidding.relay.ledger_id
    if place == "another round":
        message = replace(message, round=2)
    elif place == "another model":
        message = replace(message, model=ModelId(bytes(32)))
    elif place == "another ledger":
        ledger = replace(ledger, address=CREATOR)
    else:
        ledger = replace(ledger, chain_id=ledger.chain_id + 1)
    wrong = replace(right, signature=sign_message(KEYS[FIRST], message, ledger))
    bidding.refuses(Reason.BAD_SIGNATURE, RELAYER, commands.BidBySig, (wrong,))


def test_the_other_parity_and_a_high_s_are_no_signatures(bidding: Game) -> None:
    right = bid(bidding, FIRST)
    for mask in (0x80, 0x40):
        changed = right.signature[:32] + bytes([right.signature[32] ^ mask]) + right.signature[33:]
        bidding.refuses(Reason.BAD_SIGNATURE, RELAYER, commands.BidBySig, (replace(right, signature=changed),))


def test_bids_at_the_deadline(bidding: Game) -> None:
    bidding.bid(40)
    bidding.pass_deadline()
    bidding.refuses(Reason.TOO_LATE, RELAYER, commands.BidBySig, (bid(bidding, SECOND),))


def test_commits_and_reveals_at_the_deadline(committing: Game, revealing: Game) -> None:
    entry = commit(committing, 0)
    committing.pass_deadline()
    committing.refuses(Reason.TOO_LATE, RELAYER, commands.CommitBySig, (entry,))
    opened = reveal(revealing, 0)
    revealing.pass_deadline()
    revealing.refuses(Reason.TOO_LATE, RELAYER, commands.RevealBySig, (opened,))


def test_children_at_the_deadline(training: Game) -> None:
    entry = child(training, 0)
    training.pass_deadline()
    training.refuses(Reason.TOO_LATE, RELAYER, commands.SubmitBySig, (entry,))


def test_one_wrong_child_refuses_all(training: Game) -> None:
    right, model, lease = child(training, 0), training.model, training.view.legs[0]
    zero = training.sign.child(model, 1, 0, lease.trainer, lease.parent, Root(bytes(32)))
    genesis = training.sign.child(model, 1, 0, lease.trainer, lease.parent, GENESIS)
    thief = training.sign.child(model, 1, 0, training.view.legs[1].trainer, lease.parent, right.child)
    elsewhere = training.sign.child(model, 1, 0, lease.trainer, right.child, right.child)
    earlier = training.sign.child(model, 0, 0, lease.trainer, lease.parent, right.child)
    for entry, reason in [
        (replace(right, leg=3), Reason.NO_SUCH_LEG),
        (replace(right, leg=255), Reason.NO_SUCH_LEG),
        (zero, Reason.ZERO_ROOT),
        (genesis, Reason.CHECKPOINT_EXISTS),
        (thief, Reason.BAD_SIGNATURE),
        (elsewhere, Reason.BAD_SIGNATURE),
        (earlier, Reason.BAD_SIGNATURE),
        (replace(right, leg=1), Reason.BAD_SIGNATURE),
        (replace(right, child=training.child(2)), Reason.BAD_SIGNATURE),
        (replace(right, signature=bytes(64)), Reason.BAD_SIGNATURE),
    ]:
        training.refuses(reason, RELAYER, commands.SubmitBySig, (child(training, 2), entry))
    assert not any(leg.submitted for leg in training.view.legs)


def test_one_wrong_commit_refuses_all(committing: Game) -> None:
    right = commit(committing, 0)
    zero = committing.sign.commit(committing.model, 1, right.validator, bytes(32))
    stranger = committing.sign.commit(committing.model, 1, FIRST, right.commitment)
    of_another = replace(right, validator=committing.view.seats[1].validator)
    for entry, reason in [
        (stranger, Reason.NOT_SEATED),
        (zero, Reason.ZERO_COMMITMENT),
        (of_another, Reason.BAD_SIGNATURE),
        (replace(right, commitment=b"\x01" * 32), Reason.BAD_SIGNATURE),
    ]:
        committing.refuses(reason, RELAYER, commands.CommitBySig, (commit(committing, 2), entry))
    assert all(seat.commitment is None for seat in committing.view.seats)


def test_a_commit_signed_for_the_round_before(committing: Game) -> None:
    right = commit(committing, 0)
    message = CommitMessage(committing.model, 0, right.commitment)
    late = replace(right, signature=committing.relay.signature(message, right.validator))
    committing.refuses(Reason.BAD_SIGNATURE, RELAYER, commands.CommitBySig, (late,))


def test_one_wrong_reveal_refuses_all(revealing: Game) -> None:
    model, right = revealing.model, reveal(revealing, 0)
    validator = right.validator
    for entry, reason in [
        (revealing.sign.reveal(model, 1, FIRST, SCORES, right.salt), Reason.NOT_SEATED),
        (replace(right, salt=bytes(32)), Reason.BAD_SIGNATURE),
        (revealing.sign.reveal(model, 1, validator, SCORES[:2], right.salt), Reason.BAD_SCORES),
        (
            revealing.sign.reveal(model, 1, validator, (*SCORES[:2], Ppm(UNAVAILABLE + 1)), right.salt),
            Reason.BAD_SCORES,
        ),
        (revealing.sign.reveal(model, 1, validator, SCORES, bytes(32)), Reason.COMMIT_MISMATCH),
        (revealing.sign.reveal(model, 1, validator, SCORES[::-1], right.salt), Reason.COMMIT_MISMATCH),
    ]:
        revealing.refuses(reason, RELAYER, commands.RevealBySig, (reveal(revealing, 2), entry))
    assert all(seat.scores is None for seat in revealing.view.seats)


def test_a_reveal_of_a_seat_that_did_not_commit(committing: Game) -> None:
    committing.commit(SCORES, SCORES)
    committing.advance()
    committing.refuses(
        Reason.NOT_COMMITTED, RELAYER, commands.RevealBySig, (reveal(committing, 0), reveal(committing, 3))
    )


# --- what is passed over ----------------------------------------------------------------------------------------------


def test_bids_that_came_too_late_or_are_not_covered_are_passed_over(bidding: Game) -> None:
    bidding.bid(40)
    now = bidding.relay.evm.now
    entries = (
        bid(bidding, FIRST),  # has bid
        bid(bidding, SECOND, expiry=now),
        bid(bidding, THIRD, amount=10**9 + 1),
        bid(bidding, SECOND, expiry=now + 1),
        bid(bidding, SECOND, amount=50),
    )
    recorded = bidding.send(RELAYER, commands.BidBySig, entries)
    assert recorded == (events.BidPlaced(bidding.model, 1, SECOND, 1, Wei(40)),)


def test_bids_that_are_no_higher_than_those_of_a_full_round_are_passed_over() -> None:
    game = Game(trainers=33)
    game.bid(*[40] * (limits.MAX_BIDS - 1))
    last, late = TRAINERS[31], TRAINERS[32]
    recorded = game.send(RELAYER, commands.BidBySig, (bid(game, last), bid(game, late), bid(game, late, 41)))
    assert recorded == (
        events.BidPlaced(game.model, 1, last, 1, Wei(40)),
        events.BidPlaced(game.model, 1, late, 1, Wei(41)),
        events.BidDisplaced(game.model, 1, last, late, Wei(40)),
    )


def test_what_has_been_executed_is_passed_over(committing: Game) -> None:
    entries = tuple(commit(committing, seat) for seat in range(3))
    assert len(committing.send(RELAYER, commands.CommitBySig, entries)) == 3
    assert committing.send(RELAYER, commands.CommitBySig, entries) == ()
    committing.advance()
    opened = tuple(reveal(committing, seat) for seat in range(2))
    assert len(committing.send(RELAYER, commands.RevealBySig, opened)) == 2
    assert committing.send(RELAYER, commands.RevealBySig, opened) == ()


def test_a_leg_that_is_submitted_is_passed_over(training: Game) -> None:
    training.send(training.view.legs[1].trainer, commands.SubmitLeg, 1, training.child(1))
    again = tuple(child(training, leg) for leg in (1, 0, 0))
    other = replace(child(training, 1), child=Root(bytes(32)), signature=bytes(64))
    recorded = training.send(RELAYER, commands.SubmitBySig, (other, *again))
    assert [event.leg for event in recorded if isinstance(event, events.LegSubmitted)] == [0]
    assert len(recorded) == 1


@pytest.mark.parametrize(
    ("phase", "make"),
    [
        (Phase.BID, commands.BidBySig),
        (Phase.TRAIN, commands.SubmitBySig),
        (Phase.COMMIT, commands.CommitBySig),
        (Phase.REVEAL, commands.RevealBySig),
    ],
)
def test_an_empty_list_does_nothing(phase: Phase, make: type) -> None:
    assert reached(phase).fork().send(RELAYER, make, ()) == ()


# --- what is executed -------------------------------------------------------------------------------------------------


def test_signed_bids_are_paid_by_their_trainers_and_start_the_clock(bidding: Game) -> None:
    before = {owner: bidding.relay.free(owner) for owner in (FIRST, SECOND, RELAYER)}
    recorded = bidding.send(
        RELAYER, commands.BidBySig, (bid(bidding, FIRST), bid(bidding, SECOND, 30, segment=WHOLE_MODEL))
    )
    deadline = bidding.relay.evm.now + RULES.bid_seconds
    assert recorded == (
        events.BidPlaced(bidding.model, 1, FIRST, 1, Wei(40)),
        events.PhaseChanged(bidding.model, 1, Phase.BID, Timestamp(deadline)),
        events.BidPlaced(bidding.model, 1, SECOND, WHOLE_MODEL, Wei(30)),
    )
    assert [before[owner] - bidding.relay.free(owner) for owner in (FIRST, SECOND, RELAYER)] == [40, 30, 0]
    bidding.check_money()


def test_a_list_may_go_on_after_its_last_commit_or_reveal_has_ended_the_phase(committing: Game) -> None:
    entries = tuple(commit(committing, seat) for seat in range(4))
    recorded = committing.send(RELAYER, commands.CommitBySig, (*entries, entries[0]))
    assert [type(event).__name__ for event in recorded] == ["ScoresCommitted"] * 4 + ["PhaseChanged"]
    opened = tuple(reveal(committing, seat) for seat in range(4))
    recorded = committing.send(RELAYER, commands.RevealBySig, (*opened, opened[3]))
    assert [type(event).__name__ for event in recorded] == ["ScoresRevealed"] * 4 + ["PhaseChanged"]
    assert committing.view.phase is Phase.SETTLE


def test_children_in_a_list_are_those_of_their_trainers_and_the_last_ends_the_phase(training: Game) -> None:
    one_by_one = training.fork()
    one_by_one.submit()
    recorded = training.send(RELAYER, commands.SubmitBySig, tuple(child(training, leg) for leg in (0, 1, 2, 0)))
    assert [type(event).__name__ for event in recorded] == ["LegSubmitted"] * 3 + ["PhaseChanged"]
    assert training.view == one_by_one.view
    assert training.view.phase is Phase.COMMIT


def test_direct_and_signed_actions_mix(committing: Game) -> None:
    committing.commit(SCORES, None, None, SCORES)
    committing.send(RELAYER, commands.CommitBySig, tuple(commit(committing, seat) for seat in range(4)))
    committing.reveal(None, SCORES)
    committing.send(RELAYER, commands.RevealBySig, tuple(reveal(committing, seat) for seat in range(4)))
    assert [event.selected for event in committing.settle() if isinstance(event, events.LegSettled)] == [
        True,
        False,
        False,
    ]
    committing.check_money()


def test_the_seats_of_the_round_are_those_of_the_fixtures(committing: Game) -> None:
    assert {seat.validator for seat in committing.view.seats} == set(VALIDATORS[:4])
