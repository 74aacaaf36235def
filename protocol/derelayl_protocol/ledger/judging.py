"""Commands between matching and settlement: submissions, sealed scores, and the enforcement of deadlines."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from ..errors import Reason, RuleViolation
from ..spelling import to_hex
from ..types import NO_ROOT, Address, ModelId, Ppm, Root
from .commands import Advance, CommitBySig, CommitScores, RevealBySig, RevealScores, SubmitBySig, SubmitLeg
from .draft import Draft
from .duplicates import check_originals
from .endings import void_round
from .events import LegSubmitted, ScoresCommitted, ScoresRevealed
from .phases import Phase, VoidReason
from .scoring import check_scores, commitment
from .signed import CommitMessage, HandOverMessage, RevealMessage
from .state import LegEntry, RoundView, SeatEntry

NO_COMMITMENT = bytes(32)
"""What the contract's storage holds where nothing was committed."""


def submit_leg(draft: Draft, command: SubmitLeg) -> None:
    """Take the child of a lease; the last one ends the phase."""
    lease = _lease(draft.model(command.model).current, command.leg)
    if lease.trainer != draft.sender:
        raise RuleViolation(Reason.NOT_YOUR_LEASE, f"the lease is {lease.trainer}'s")
    if lease.submitted:
        raise RuleViolation(Reason.ALREADY_SUBMITTED, to_hex(lease.child))
    _check_child(draft, command.model, command.child)
    _submit(draft, command.model, command.leg, command.child)


def submit_by_sig(draft: Draft, command: SubmitBySig) -> None:
    """Take the children that trainers have signed; pass over legs that are submitted."""
    for entry in command.children:
        lease = _lease(draft.model(command.model).current, entry.leg)
        if lease.submitted:
            continue
        _check_child(draft, command.model, entry.child)
        message = HandOverMessage(command.model, command.round, lease.parent, entry.child)
        draft.check_signature(lease.trainer, message, entry.signature)
        _submit(draft, command.model, entry.leg, entry.child)


def commit_scores(draft: Draft, command: CommitScores) -> None:
    """Take a seat's sealed scores; the last one ends the phase."""
    number, seat = _seat_of(draft.model(command.model).current, draft.sender)
    if seat.commitment is not None:
        raise RuleViolation(Reason.ALREADY_COMMITTED)
    _check_commitment(command.commitment)
    _commit(draft, command.model, number, command.commitment)


def commit_by_sig(draft: Draft, command: CommitBySig) -> None:
    """Take the sealed scores that seats have signed; pass over seats that have committed."""
    for entry in command.commits:
        number, seat = _seat_of(draft.model(command.model).current, entry.validator)
        if seat.commitment is not None:
            continue
        _check_commitment(entry.commitment)
        message = CommitMessage(command.model, command.round, entry.commitment)
        draft.check_signature(entry.validator, message, entry.signature)
        _commit(draft, command.model, number, entry.commitment)


def reveal_scores(draft: Draft, command: RevealScores) -> None:
    """Open a seal; the last committed seat ends the phase."""
    number, seat = _committed_seat_of(draft.model(command.model).current, draft.sender)
    if seat.scores is not None:
        raise RuleViolation(Reason.ALREADY_REVEALED)
    _reveal(draft, command.model, number, command.scores, command.originals, command.salt)


def reveal_by_sig(draft: Draft, command: RevealBySig) -> None:
    """Open the seals whose opening seats have signed; pass over seats that have revealed."""
    for entry in command.reveals:
        number, seat = _committed_seat_of(draft.model(command.model).current, entry.validator)
        if seat.scores is not None:
            continue
        message = RevealMessage(command.model, command.round, entry.scores, entry.originals, entry.salt)
        draft.check_signature(entry.validator, message, entry.signature)
        _reveal(draft, command.model, number, entry.scores, entry.originals, entry.salt)


def advance(draft: Draft, command: Advance) -> None:
    """Enforce a deadline: go on with those who acted in time, or void the round if they are too few."""
    model = draft.model(command.model)
    round, rules = model.current, model.rules
    if round.phase == Phase.TRAIN:
        acted, needed, failure = sum(leg.submitted for leg in round.legs), 1, VoidReason.NOTHING_SUBMITTED
        follower, seconds = Phase.COMMIT, rules.commit_seconds
    elif round.phase == Phase.COMMIT:
        acted, needed = sum(seat.commitment is not None for seat in round.seats), rules.quorum
        failure, follower, seconds = VoidReason.TOO_FEW_COMMITS, Phase.REVEAL, rules.reveal_seconds
    else:
        acted, needed = sum(seat.scores is not None for seat in round.seats), rules.quorum
        failure, follower, seconds = VoidReason.TOO_FEW_REVEALS, Phase.SETTLE, 0
    if acted < needed:
        void_round(draft, command.model, failure)
    else:
        draft.enter(command.model, follower, seconds)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _lease(round: RoundView, leg: int) -> LegEntry:
    if not 0 <= leg < len(round.legs):
        raise RuleViolation(Reason.NO_SUCH_LEG, f"{leg}, the round has {len(round.legs)}")
    return round.legs[leg]


def _check_child(draft: Draft, model_id: ModelId, child: Root) -> None:
    if child == NO_ROOT:
        raise RuleViolation(Reason.ZERO_ROOT)
    if child in draft.model(model_id).checkpoints:
        raise RuleViolation(Reason.CHECKPOINT_EXISTS, to_hex(child))


def _submit(draft: Draft, model_id: ModelId, number: int, child: Root) -> None:
    model = draft.model(model_id)
    round, lease = model.current, model.current.legs[number]
    legs = _with_leg(round, number, replace(lease, child=child))
    draft.put_round(model_id, replace(round, legs=legs))
    draft.emit(LegSubmitted(model_id, round.number, number, lease.trainer, lease.parent, child))
    if all(leg.submitted for leg in legs):
        draft.enter(model_id, Phase.COMMIT, model.rules.commit_seconds)


def _seat_of(round: RoundView, account: Address) -> tuple[int, SeatEntry]:
    for number, seat in enumerate(round.seats):
        if seat.validator == account:
            return number, seat
    raise RuleViolation(Reason.NOT_SEATED, f"{account} has no seat in round {round.number}")


def _committed_seat_of(round: RoundView, account: Address) -> tuple[int, SeatEntry]:
    number, seat = _seat_of(round, account)
    if seat.commitment is None:
        raise RuleViolation(Reason.NOT_COMMITTED)
    return number, seat


def _check_commitment(sealed: bytes) -> None:
    if sealed == NO_COMMITMENT:
        raise RuleViolation(Reason.ZERO_COMMITMENT)


def _commit(draft: Draft, model_id: ModelId, number: int, sealed: bytes) -> None:
    model = draft.model(model_id)
    round, seat = model.current, model.current.seats[number]
    seats = _with_seat(round, number, replace(seat, commitment=sealed))
    draft.put_round(model_id, replace(round, seats=seats))
    draft.emit(ScoresCommitted(model_id, round.number, seat.validator, sealed))
    if all(entry.commitment is not None for entry in seats):
        draft.enter(model_id, Phase.REVEAL, model.rules.reveal_seconds)


def _reveal(
    draft: Draft, model_id: ModelId, number: int, scores: tuple[Ppm, ...], originals: tuple[int, ...], salt: bytes
) -> None:
    """Check and take what a seat opens, and stir its salt into the next seed."""
    model = draft.model(model_id)
    round, seat = model.current, model.current.seats[number]
    check_scores(scores, round.legs)
    check_originals(originals, round.legs)
    if commitment(model_id, round.number, seat.validator, salt, scores, originals) != seat.commitment:
        raise RuleViolation(Reason.COMMIT_MISMATCH)
    seats = _with_seat(round, number, replace(seat, scores=scores, originals=originals))
    next_seed = hashlib.sha256(model.next_seed + salt).digest()
    draft.models[model_id] = replace(model, next_seed=next_seed, current=replace(round, seats=seats))
    draft.emit(ScoresRevealed(model_id, round.number, seat.validator, scores, originals, salt))
    if all(entry.commitment is None or entry.scores is not None for entry in seats):
        draft.enter(model_id, Phase.SETTLE, seconds=0)


def _with_leg(round: RoundView, number: int, leg: LegEntry) -> tuple[LegEntry, ...]:
    return (*round.legs[:number], leg, *round.legs[number + 1 :])


def _with_seat(round: RoundView, number: int, seat: SeatEntry) -> tuple[SeatEntry, ...]:
    return (*round.seats[:number], seat, *round.seats[number + 1 :])
