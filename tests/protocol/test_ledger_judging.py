"""Submissions, sealed scores, and deadlines."""

from __future__ import annotations

import hashlib

import pytest

from derelayl_protocol.encoding import word
from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger.commands import Advance, CommitScores, RevealScores, Stake, SubmitLeg
from derelayl_protocol.ledger.events import (
    DepositReturned,
    LegSettled,
    LegSubmitted,
    PhaseChanged,
    RoundVoided,
    ScoresCommitted,
    ScoresRevealed,
    ValidatorSlashed,
)
from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, Address, Ppm, Root, Timestamp, Wei

from .relay import GENESIS, JUDGES, OWNER, RULES, SALT, STRANGER, TRAINERS, Relay, in_phase, of, root, salt, with_rules

CHILD = root("child")
SCORES = (Ppm(3_000), Ppm(2_000))
EACH_ITS_OWN = (0, 1)


def unseated(relay: Relay) -> Address:
    return next(judge for judge in JUDGES if judge not in relay.seated())


# --- submissions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leg", [2, 255, -1])
def test_a_leg_that_does_not_exist_cannot_be_submitted(leg: int) -> None:
    relay = in_phase(Phase.TRAIN)
    relay.refuse(Reason.NO_SUCH_LEG, TRAINERS[0], SubmitLeg(relay.model, 1, leg, CHILD))


def test_someone_elses_lease_cannot_be_used() -> None:
    relay = in_phase(Phase.TRAIN)
    for thief in (TRAINERS[1], OWNER, STRANGER):
        relay.refuse(Reason.NOT_YOUR_LEASE, thief, SubmitLeg(relay.model, 1, 0, CHILD))


def test_a_second_submission_under_one_lease_is_refused() -> None:
    relay = in_phase(Phase.TRAIN)
    relay.submit(0, "first")
    for child in (root("second"), root("first")):
        relay.refuse(Reason.ALREADY_SUBMITTED, TRAINERS[0], SubmitLeg(relay.model, 1, 0, child))


@pytest.mark.parametrize(("child", "reason"), [(NO_ROOT, Reason.ZERO_ROOT), (GENESIS, Reason.CHECKPOINT_EXISTS)])
def test_a_child_is_new(child: Root, reason: Reason) -> None:
    relay = in_phase(Phase.TRAIN)
    relay.refuse(reason, TRAINERS[0], SubmitLeg(relay.model, 1, 0, child))


def test_a_submission_at_the_deadline_is_late() -> None:
    relay = in_phase(Phase.TRAIN)
    relay.pass_deadline()
    relay.refuse(Reason.TOO_LATE, TRAINERS[0], SubmitLeg(relay.model, 1, 0, CHILD))


def test_the_last_submission_ends_the_phase() -> None:
    relay = in_phase(Phase.TRAIN)
    assert relay.submit(1, "child") == (LegSubmitted(relay.model, 1, 1, TRAINERS[1], GENESIS, CHILD),)
    relay.now += 7
    assert relay.submit(0, "child") == (
        LegSubmitted(relay.model, 1, 0, TRAINERS[0], GENESIS, CHILD),
        PhaseChanged(relay.model, 1, Phase.COMMIT, Timestamp(relay.now + RULES.commit_seconds)),
    )


# --- commitments ------------------------------------------------------------------------------------------------------


def test_only_a_seat_commits_once_and_not_nothing() -> None:
    relay = in_phase(Phase.COMMIT)
    judge = relay.seated()[0]
    relay.refuse(Reason.NOT_SEATED, unseated(relay), CommitScores(relay.model, 1, CHILD))
    relay.refuse(Reason.ZERO_COMMITMENT, judge, CommitScores(relay.model, 1, bytes(32)))
    relay.commit(judge, SCORES)
    relay.refuse(Reason.ALREADY_COMMITTED, judge, CommitScores(relay.model, 1, CHILD))


def test_a_commitment_at_the_deadline_is_late() -> None:
    relay = in_phase(Phase.COMMIT)
    relay.pass_deadline()
    relay.refuse(Reason.TOO_LATE, relay.seated()[0], CommitScores(relay.model, 1, CHILD))


def test_the_last_commitment_ends_the_phase() -> None:
    relay = in_phase(Phase.COMMIT)
    *others, last = relay.seated()
    for judge in others:
        (committed,) = relay.commit(judge, SCORES)
        assert committed == ScoresCommitted(
            relay.model, 1, judge, commitment(relay.model, 1, judge, SALT, SCORES, EACH_ITS_OWN)
        )
    changed = relay.commit(last, SCORES)[1]
    assert changed == PhaseChanged(relay.model, 1, Phase.REVEAL, Timestamp(relay.now + RULES.reveal_seconds))


# --- reveals ----------------------------------------------------------------------------------------------------------


def test_a_reveal_must_match_its_commitment() -> None:
    relay = in_phase(Phase.REVEAL)
    judge = relay.seated()[0]
    other_scores = RevealScores(relay.model, 1, (Ppm(3_001), Ppm(2_000)), EACH_ITS_OWN, SALT)
    other_originals = RevealScores(relay.model, 1, SCORES, (0, 0), SALT)
    other_salt = RevealScores(relay.model, 1, SCORES, EACH_ITS_OWN, salt("other"))
    for command in (other_scores, other_originals, other_salt):
        relay.refuse(Reason.COMMIT_MISMATCH, judge, command)


def test_a_copied_commitment_cannot_be_revealed_by_another_validator() -> None:
    relay = in_phase(Phase.COMMIT)
    honest, copycat, third = relay.seated()
    relay.commit(honest, SCORES)
    copied = relay.round.seats[0].commitment
    assert copied is not None
    relay.do(copycat, CommitScores(relay.model, 1, copied))
    relay.commit(third, SCORES)
    relay.reveal(honest, SCORES)
    relay.refuse(Reason.COMMIT_MISMATCH, copycat, RevealScores(relay.model, 1, SCORES, EACH_ITS_OWN, SALT))


def test_only_a_committed_seat_reveals_once() -> None:
    relay = in_phase(Phase.COMMIT)
    first, second, silent = relay.seated()
    for judge in (first, second):
        relay.commit(judge, SCORES)
    relay.advance()
    reveal = RevealScores(relay.model, 1, SCORES, EACH_ITS_OWN, SALT)
    relay.refuse(Reason.NOT_SEATED, unseated(relay), reveal)
    relay.refuse(Reason.NOT_COMMITTED, silent, reveal)
    relay.reveal(first, SCORES)
    relay.refuse(Reason.ALREADY_REVEALED, first, reveal)


def test_bad_scores_are_refused_whatever_was_sealed() -> None:
    relay = in_phase(Phase.TRAIN)
    relay.train(1)
    for judge in relay.seated():
        relay.commit(judge, SCORES)
    relay.refuse(Reason.BAD_SCORES, relay.seated()[0], RevealScores(relay.model, 1, SCORES, EACH_ITS_OWN, SALT))


def test_a_reveal_at_the_deadline_is_late() -> None:
    relay = in_phase(Phase.REVEAL)
    relay.pass_deadline()
    relay.refuse(Reason.TOO_LATE, relay.seated()[0], RevealScores(relay.model, 1, SCORES, EACH_ITS_OWN, SALT))


def test_each_reveal_stirs_the_next_seed_and_the_last_ends_the_phase() -> None:
    relay = in_phase(Phase.REVEAL)
    *others, last = relay.seated()
    seed = relay.held.next_seed
    for judge in others:
        assert relay.reveal(judge, SCORES) == (ScoresRevealed(relay.model, 1, judge, SCORES, EACH_ITS_OWN, SALT),)
        seed = hashlib.sha256(seed + SALT).digest()
        assert relay.held.next_seed == seed
    assert relay.reveal(last, SCORES)[1] == PhaseChanged(relay.model, 1, Phase.SETTLE, Timestamp(0))


# --- deadlines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.COMMIT, Phase.REVEAL])
def test_a_deadline_cannot_be_enforced_early(phase: Phase) -> None:
    relay = in_phase(phase)
    relay.now = relay.round.deadline - 1
    relay.refuse(Reason.TOO_EARLY, STRANGER, Advance(relay.model, 1))


def test_bidding_and_settling_have_nothing_to_enforce() -> None:
    bidding = in_phase(Phase.BID)
    bidding.pass_deadline()
    for relay in (bidding, in_phase(Phase.SETTLE)):
        relay.refuse(Reason.NOTHING_TO_ADVANCE, STRANGER, Advance(relay.model, 1))
        relay.refuse(Reason.WRONG_ROUND, STRANGER, Advance(relay.model, 2))


def test_one_submission_is_enough_to_go_on() -> None:
    relay = in_phase(Phase.TRAIN)
    relay.submit(1)
    deadline = relay.round.deadline
    assert relay.advance() == (PhaseChanged(relay.model, 1, Phase.COMMIT, Timestamp(deadline + RULES.commit_seconds)),)


def test_a_quorum_is_enough_to_go_on() -> None:
    relay = in_phase(Phase.COMMIT)
    first, second, _ = relay.seated()
    relay.commit(first, SCORES)
    relay.commit(second, SCORES)
    assert relay.advance() == (PhaseChanged(relay.model, 1, Phase.REVEAL, Timestamp(relay.now + RULES.reveal_seconds)),)
    relay.reveal(first, SCORES)
    assert relay.reveal(second, SCORES)[1] == PhaseChanged(relay.model, 1, Phase.SETTLE, Timestamp(0))


def test_a_quorum_of_reveals_is_enough_to_settle() -> None:
    relay = in_phase(Phase.REVEAL)
    for judge in relay.seated()[:2]:
        relay.reveal(judge, SCORES)
    assert relay.advance() == (PhaseChanged(relay.model, 1, Phase.SETTLE, Timestamp(0)),)


def test_without_a_submission_the_bids_are_carried() -> None:
    relay = in_phase(Phase.TRAIN)
    tips = relay.round.tips
    owner = relay.free(OWNER)
    outcome = [
        event
        for leg, bid in ((0, 100), (1, 100))
        for event in (
            LegSettled(relay.model, 1, leg, NO_ROOT, UNAVAILABLE, False, Wei(0), Wei(0), Wei(0), Wei(bid)),
            DepositReturned(relay.model, 1, GENESIS, OWNER, Wei(5)),
        )
    ]
    assert relay.advance() == (
        *outcome,
        RoundVoided(relay.model, 1, VoidReason.NOTHING_SUBMITTED),
        PhaseChanged(relay.model, 2, Phase.BID, Timestamp(0)),
    )
    assert (relay.held.carry, relay.held.settled_rounds) == (200, 0)
    assert relay.free(OWNER) == owner + 10
    assert [tip.root for tip in relay.round.tips] == [tip.root for tip in tips]


def test_without_a_quorum_of_commitments_the_submitted_bids_return_and_the_silent_are_slashed() -> None:
    relay = in_phase(Phase.TRAIN)
    relay.train(1)
    diligent, *silent = relay.seated()
    relay.commit(diligent, SCORES)
    trainer, stakes = relay.free(TRAINERS[0]), dict(relay.held.stakes)
    events = relay.advance()
    slashed = {judge: stakes[judge] // 10 for judge in silent}
    assert [(one.bid_returned, one.forfeited) for one in of(LegSettled, events)] == [(100, 0), (0, 100)]
    assert of(ValidatorSlashed, events) == [
        ValidatorSlashed(relay.model, 1, judge, Wei(amount)) for judge, amount in slashed.items()
    ]
    assert of(RoundVoided, events) == [RoundVoided(relay.model, 1, VoidReason.TOO_FEW_COMMITS)]
    assert relay.free(TRAINERS[0]) == trainer + 100
    assert relay.held.carry == 100 + sum(slashed.values())
    assert relay.held.stakes[diligent] == stakes[diligent]


def test_without_a_quorum_of_reveals_everyone_who_stayed_silent_is_slashed() -> None:
    relay = in_phase(Phase.COMMIT)
    honest, mute, absent = relay.seated()
    relay.commit(honest, SCORES)
    relay.commit(mute, SCORES)
    relay.advance()
    relay.reveal(honest, SCORES)
    stirred = relay.held.next_seed
    events = relay.advance()
    assert {event.validator for event in of(ValidatorSlashed, events)} == {mute, absent}
    assert of(RoundVoided, events) == [RoundVoided(relay.model, 1, VoidReason.TOO_FEW_REVEALS)]
    assert relay.round.seed == hashlib.sha256(stirred + word(2)).digest()


def test_a_slash_takes_its_share_of_the_stake_at_that_time() -> None:
    relay = in_phase(Phase.COMMIT)
    silent = relay.seated()[0]
    relay.do(silent, Stake(relay.model, Wei(50_000)))
    stake = relay.held.stakes[silent]
    slashed = {event.validator: event.amount for event in of(ValidatorSlashed, relay.advance())}
    assert slashed[silent] == stake // 10 > 5_000


def test_a_model_may_slash_nobody() -> None:
    relay = Relay(with_rules(slash_bps=0))
    relay.lease(100)
    relay.train()
    assert of(ValidatorSlashed, relay.advance()) == []
