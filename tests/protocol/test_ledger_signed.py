"""Bids, children, commitments and reveals that somebody else sends: the same effect, and what is passed over."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import Command, PlaceBid, SignedBid, SubmitLeg, Withdraw
from derelayl_protocol.ledger.events import BidPlaced, LegSubmitted, PhaseChanged, ScoresCommitted, ScoresRevealed
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.signed import BidMessage, no_signatures
from derelayl_protocol.limits import MAX_AMOUNT_WEI, MAX_BIDS
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, WHOLE_MODEL, Address, Ppm, Timestamp, Wei

from .relay import GENESIS, JUDGES, RULES, SALT, START, STRANGER, TRAINERS, Relay, in_phase, of, root, salt, sign

FIRST, SECOND, THIRD = TRAINERS[:3]
SCORES = (3_000, 2_000)


def unseated(relay: Relay) -> Address:
    return next(judge for judge in JUDGES if judge not in relay.seated())


def changed(relay: Relay, *commands: tuple[Address, Command]) -> Relay:
    """Another relay in the state after these commands; `relay` stays where it is."""
    other = copy.copy(relay)
    for sender, command in commands:
        other.do(sender, command)
    return other


# --- bids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segment", "amount", "reason"),
    [
        (3, 0, Reason.BAD_SEGMENT),
        (0, 0, Reason.ZERO_AMOUNT),
        (0, MAX_AMOUNT_WEI + 1, Reason.AMOUNT_TOO_LARGE),
        (0, 9, Reason.BID_TOO_SMALL),
        (0, 10, Reason.BAD_SIGNATURE),
    ],
)
def test_one_wrong_bid_refuses_the_whole_list(segment: int, amount: int, reason: Reason) -> None:
    relay = Relay()
    wrong = SignedBid(SECOND, segment, Wei(amount), Timestamp(0), bytes(64))
    relay.refuse(reason, STRANGER, relay.bid_by_sig(relay.signed_bid(FIRST), wrong))


def test_a_bid_is_bound_to_its_signer_and_to_all_it_says() -> None:
    relay = Relay()
    bid = relay.signed_bid(FIRST, 100, segment=1)
    for other in (
        replace(bid, trainer=SECOND),
        replace(bid, segment=2),
        replace(bid, amount=Wei(101)),
        replace(bid, expiry=Timestamp(bid.expiry + 1)),
    ):
        relay.refuse(Reason.BAD_SIGNATURE, STRANGER, relay.bid_by_sig(other))


def test_a_bid_for_one_round_is_no_bid_in_another() -> None:
    relay = Relay(judges=1)
    bid = relay.signed_bid(SECOND)
    relay.bid(FIRST)
    relay.match()
    assert relay.number == 2
    relay.refuse(Reason.BAD_SIGNATURE, STRANGER, relay.bid_by_sig(bid))


def test_a_ledger_without_signatures_takes_no_signed_call() -> None:
    relay = Relay()
    bid = relay.signed_bid(FIRST)
    assert no_signatures(BidMessage(relay.model, 1, bid.segment, bid.amount, bid.expiry), bid.signature) is None
    with pytest.raises(RuleViolation, match="BadSignature"):
        apply(relay.state, relay.bid_by_sig(bid), STRANGER, START)


def test_signed_bids_after_the_deadline_are_late() -> None:
    relay = in_phase(Phase.BID)
    relay.pass_deadline()
    relay.refuse(Reason.TOO_LATE, STRANGER, relay.bid_by_sig(relay.signed_bid(SECOND)))


def test_signed_bids_are_paid_by_their_signers_and_the_first_starts_the_clock() -> None:
    relay = Relay()
    free = {account: relay.free(account) for account in (FIRST, SECOND, STRANGER)}
    command = relay.bid_by_sig(relay.signed_bid(FIRST, 70, segment=2), relay.signed_bid(SECOND, 50))
    assert relay.do(STRANGER, command) == (
        BidPlaced(relay.model, 1, FIRST, 2, Wei(70)),
        PhaseChanged(relay.model, 1, Phase.BID, Timestamp(START + RULES.bid_seconds)),
        BidPlaced(relay.model, 1, SECOND, WHOLE_MODEL, Wei(50)),
    )
    spent = {account: free[account] - relay.free(account) for account in free}
    assert spent == {FIRST: 70, SECOND: 50, STRANGER: 0}


def test_a_signed_bid_does_what_a_direct_one_does() -> None:
    relay = Relay()
    signed = changed(relay, (STRANGER, relay.bid_by_sig(relay.signed_bid(FIRST, 70, segment=2))))
    direct = changed(relay, (FIRST, PlaceBid(relay.model, 1, 2, Wei(70))))
    assert signed.state == direct.state


def test_a_bid_that_was_placed_already_is_passed_over() -> None:
    relay = Relay()
    command = relay.bid_by_sig(relay.signed_bid(FIRST))
    relay.do(STRANGER, command)
    assert relay.do(STRANGER, command) == ()
    assert len(relay.round.bids) == 1


def test_a_bid_expires() -> None:
    relay = Relay()
    command = relay.bid_by_sig(relay.signed_bid(FIRST, expiry=START + 5))
    assert of(BidPlaced, changed(relay).do(STRANGER, command))
    relay.now = START + 5
    assert relay.do(STRANGER, command) == ()


def test_a_bid_that_is_not_covered_is_passed_over_and_the_others_are_placed() -> None:
    relay = Relay()
    command = relay.bid_by_sig(relay.signed_bid(FIRST, 70), relay.signed_bid(SECOND, 50))
    relay.do(FIRST, Withdraw(Wei(relay.free(FIRST) - 69)))
    assert [event.trainer for event in of(BidPlaced, relay.do(STRANGER, command))] == [SECOND]
    assert relay.free(FIRST) == 69


def test_bids_beyond_the_limit_are_passed_over() -> None:
    relay = Relay()
    relay.bid(FIRST)
    round = replace(relay.round, bids=relay.round.bids * (MAX_BIDS - 1))
    relay.state = replace(relay.state, models={relay.model: replace(relay.held, current=round)})
    state, events = apply(
        relay.state,
        relay.bid_by_sig(relay.signed_bid(SECOND), relay.signed_bid(THIRD)),
        STRANGER,
        START,
        lambda message, signature: SECOND if sign(SECOND, message) == signature else THIRD,
    )
    assert [event.trainer for event in of(BidPlaced, events)] == [SECOND]
    assert len(state.models[relay.model].current.bids) == MAX_BIDS


def test_an_empty_list_does_nothing() -> None:
    relay = Relay()
    before = relay.state
    assert relay.do(STRANGER, relay.bid_by_sig()) == ()
    assert relay.state == before


# --- children ---------------------------------------------------------------------------------------------------------


def test_one_wrong_child_refuses_the_whole_list() -> None:
    relay = in_phase(Phase.TRAIN)
    sound, second = relay.signed_child(0, root("a")), relay.signed_child(1, root("b"))
    for reason, wrong in (
        (Reason.NO_SUCH_LEG, replace(second, leg=2)),
        (Reason.NO_SUCH_LEG, replace(second, leg=-1)),
        (Reason.ZERO_ROOT, relay.signed_child(1, NO_ROOT)),
        (Reason.CHECKPOINT_EXISTS, relay.signed_child(1, GENESIS)),
        (Reason.BAD_SIGNATURE, replace(second, child=root("c"))),
        (Reason.BAD_SIGNATURE, replace(second, signature=sound.signature)),
        (Reason.BAD_SIGNATURE, replace(sound, leg=1)),
    ):
        relay.refuse(reason, STRANGER, relay.submit_by_sig(sound, wrong))


def test_a_signed_child_does_what_a_direct_one_does() -> None:
    relay = in_phase(Phase.TRAIN)
    trainer = relay.round.legs[1].trainer
    signed = changed(relay, (STRANGER, relay.submit_by_sig(relay.signed_child(1, root("b")))))
    direct = changed(relay, (trainer, SubmitLeg(relay.model, 1, 1, root("b"))))
    assert signed.state == direct.state


def test_signed_children_end_the_phase_and_those_already_there_are_passed_over() -> None:
    relay = in_phase(Phase.TRAIN)
    lease = relay.round.legs[0]
    relay.do(relay.round.legs[1].trainer, SubmitLeg(relay.model, 1, 1, root("b")))
    # What is passed over is not looked at: neither its signature nor its child.
    spoilt = replace(relay.signed_child(1, NO_ROOT), signature=bytes(64))
    first = relay.signed_child(0, root("a"))
    assert relay.do(STRANGER, relay.submit_by_sig(spoilt, first, first)) == (
        LegSubmitted(relay.model, 1, 0, lease.trainer, lease.parent, root("a")),
        PhaseChanged(relay.model, 1, Phase.COMMIT, Timestamp(relay.now + RULES.commit_seconds)),
    )


def test_signed_children_after_the_deadline_are_late() -> None:
    relay = in_phase(Phase.TRAIN)
    relay.pass_deadline()
    relay.refuse(Reason.TOO_LATE, STRANGER, relay.submit_by_sig(relay.signed_child(0, root("a"))))


# --- commitments ------------------------------------------------------------------------------------------------------


def test_one_wrong_commitment_refuses_the_whole_list() -> None:
    relay = in_phase(Phase.COMMIT)
    first, second, _ = relay.seated()
    sound = relay.signed_commit(first, relay.seal(first, SCORES))
    for reason, wrong in (
        (Reason.NOT_SEATED, relay.signed_commit(unseated(relay), SALT)),
        (Reason.ZERO_COMMITMENT, relay.signed_commit(second, bytes(32))),
        (Reason.ZERO_COMMITMENT, replace(relay.signed_commit(second, bytes(32)), signature=bytes(64))),
        (Reason.BAD_SIGNATURE, replace(sound, validator=second)),
        (Reason.BAD_SIGNATURE, replace(sound, validator=second, commitment=SALT)),
    ):
        relay.refuse(reason, STRANGER, relay.commit_by_sig(sound, wrong))


def test_signed_commitments_end_the_phase_and_those_already_there_are_passed_over() -> None:
    relay = in_phase(Phase.COMMIT)
    first, second, third = relay.seated()
    relay.commit(second, SCORES)
    sealed = {judge: relay.seal(judge, SCORES) for judge in relay.seated()}
    commits = [relay.signed_commit(judge, sealed[judge]) for judge in (first, second, third, first)]
    # What is passed over is not looked at: neither its signature nor what it seals.
    spoilt = replace(commits[3], commitment=bytes(32), signature=bytes(64))
    assert relay.do(STRANGER, relay.commit_by_sig(*commits[:3], spoilt)) == (
        ScoresCommitted(relay.model, 1, first, sealed[first]),
        ScoresCommitted(relay.model, 1, third, sealed[third]),
        PhaseChanged(relay.model, 1, Phase.REVEAL, Timestamp(relay.now + RULES.reveal_seconds)),
    )


def test_the_list_goes_on_after_its_last_commitment_and_is_still_checked() -> None:
    relay = in_phase(Phase.COMMIT)
    commits = [relay.signed_commit(judge, relay.seal(judge, SCORES)) for judge in relay.seated()]
    stranger = relay.signed_commit(unseated(relay), SALT)
    relay.refuse(Reason.NOT_SEATED, STRANGER, relay.commit_by_sig(*commits, stranger))
    relay.do(STRANGER, relay.commit_by_sig(*commits))
    relay.refuse(Reason.WRONG_PHASE, STRANGER, relay.commit_by_sig(*commits))


def test_signed_commitments_after_the_deadline_are_late() -> None:
    relay = in_phase(Phase.COMMIT)
    relay.pass_deadline()
    relay.refuse(Reason.TOO_LATE, STRANGER, relay.commit_by_sig())


# --- reveals ----------------------------------------------------------------------------------------------------------


def test_one_wrong_reveal_refuses_the_whole_list() -> None:
    relay = in_phase(Phase.COMMIT)
    first, second, silent = relay.seated()
    for judge in (first, second):
        relay.commit(judge, SCORES)
    relay.advance()
    sound = relay.signed_reveal(first, SCORES)
    for reason, wrong in (
        (Reason.NOT_SEATED, relay.signed_reveal(unseated(relay), SCORES)),
        (Reason.NOT_COMMITTED, relay.signed_reveal(silent, SCORES)),
        (Reason.BAD_SIGNATURE, replace(sound, validator=second)),
        (Reason.BAD_SIGNATURE, replace(relay.signed_reveal(second, SCORES), scores=())),
        (Reason.BAD_SCORES, relay.signed_reveal(second, (1, 2, 3))),
        (Reason.COMMIT_MISMATCH, relay.signed_reveal(second, (1, UNAVAILABLE))),
        (Reason.COMMIT_MISMATCH, relay.signed_reveal(second, SCORES, salt("other"))),
    ):
        relay.refuse(reason, STRANGER, relay.reveal_by_sig(sound, wrong))


def test_signed_reveals_end_the_phase_and_those_already_there_are_passed_over() -> None:
    relay = in_phase(Phase.REVEAL)
    first, second, third = relay.seated()
    relay.reveal(second, SCORES)
    reveals = [relay.signed_reveal(judge, SCORES) for judge in (first, second, third, first)]
    scores = tuple(map(Ppm, SCORES))
    assert relay.do(STRANGER, relay.reveal_by_sig(*reveals[:3], replace(reveals[3], signature=bytes(64)))) == (
        ScoresRevealed(relay.model, 1, first, scores, (0, 1), SALT),
        ScoresRevealed(relay.model, 1, third, scores, (0, 1), SALT),
        PhaseChanged(relay.model, 1, Phase.SETTLE, Timestamp(0)),
    )


def test_signed_and_direct_calls_lead_to_the_same_settlement() -> None:
    signed, direct = in_phase(Phase.COMMIT), in_phase(Phase.SETTLE)
    seats = signed.seated()
    commits = [signed.signed_commit(judge, signed.seal(judge, SCORES)) for judge in seats]
    assert of(ScoresCommitted, signed.do(STRANGER, signed.commit_by_sig(*commits)))
    reveals = [signed.signed_reveal(judge, SCORES) for judge in seats]
    assert of(ScoresRevealed, signed.do(STRANGER, signed.reveal_by_sig(*reveals)))
    assert signed.state == direct.state


def test_signed_reveals_after_the_deadline_are_late() -> None:
    relay = in_phase(Phase.REVEAL)
    relay.pass_deadline()
    relay.refuse(Reason.TOO_LATE, STRANGER, relay.reveal_by_sig())
