"""Commands between matching and settlement: submissions, sealed scores, and the enforcement of deadlines."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from ..errors import Reason, RuleViolation
from ..scoring import check_scores, commitment
from ..types import NO_ROOT, Address
from .commands import Advance, CommitScores, RevealScores, SubmitLeg
from .draft import Draft
from .endings import void_round
from .events import LegSubmitted, ScoresCommitted, ScoresRevealed
from .phases import Phase, VoidReason
from .state import LegEntry, RoundView, SeatEntry

NO_COMMITMENT = bytes(32)
"""What the contract's storage holds where nothing was committed."""


def submit_leg(draft: Draft, command: SubmitLeg) -> None:
    """Take the child of a lease; the last one ends the phase."""
    model = draft.model(command.model)
    round = model.current
    if not 0 <= command.leg < len(round.legs):
        raise RuleViolation(Reason.NO_SUCH_LEG, f"{command.leg}, the round has {len(round.legs)}")
    lease = round.legs[command.leg]
    if lease.trainer != draft.sender:
        raise RuleViolation(Reason.NOT_YOUR_LEASE, f"the lease is {lease.trainer}'s")
    if lease.submitted:
        raise RuleViolation(Reason.ALREADY_SUBMITTED, f"0x{lease.child.hex()}")
    if command.child == NO_ROOT:
        raise RuleViolation(Reason.ZERO_ROOT)
    if command.child in model.checkpoints:
        raise RuleViolation(Reason.CHECKPOINT_EXISTS, f"0x{command.child.hex()}")
    legs = _with_leg(round, command.leg, replace(lease, child=command.child))
    draft.put_round(command.model, replace(round, legs=legs))
    draft.emit(LegSubmitted(command.model, command.round, command.leg, lease.trainer, lease.parent, command.child))
    if all(leg.submitted for leg in legs):
        draft.enter(command.model, Phase.COMMIT, model.rules.commit_seconds)


def commit_scores(draft: Draft, command: CommitScores) -> None:
    """Take a seat's sealed scores; the last one ends the phase."""
    model = draft.model(command.model)
    number, seat = _seat_of(model.current, draft.sender)
    if seat.commitment is not None:
        raise RuleViolation(Reason.ALREADY_COMMITTED)
    if command.commitment == NO_COMMITMENT:
        raise RuleViolation(Reason.ZERO_COMMITMENT)
    seats = _with_seat(model.current, number, replace(seat, commitment=command.commitment))
    draft.put_round(command.model, replace(model.current, seats=seats))
    draft.emit(ScoresCommitted(command.model, command.round, draft.sender, command.commitment))
    if all(entry.commitment is not None for entry in seats):
        draft.enter(command.model, Phase.REVEAL, model.rules.reveal_seconds)


def reveal_scores(draft: Draft, command: RevealScores) -> None:
    """Open a seal and stir its salt into the next seed; the last committed seat ends the phase."""
    model = draft.model(command.model)
    number, seat = _seat_of(model.current, draft.sender)
    if seat.commitment is None:
        raise RuleViolation(Reason.NOT_COMMITTED)
    if seat.scores is not None:
        raise RuleViolation(Reason.ALREADY_REVEALED)
    check_scores(command.scores, model.current.legs)
    if commitment(command.model, command.round, draft.sender, command.salt, command.scores) != seat.commitment:
        raise RuleViolation(Reason.COMMIT_MISMATCH)
    seats = _with_seat(model.current, number, replace(seat, scores=command.scores))
    next_seed = hashlib.sha256(model.next_seed + command.salt).digest()
    draft.models[command.model] = replace(model, next_seed=next_seed, current=replace(model.current, seats=seats))
    draft.emit(ScoresRevealed(command.model, command.round, draft.sender, command.scores, command.salt))
    if all(entry.commitment is None or entry.scores is not None for entry in seats):
        draft.enter(command.model, Phase.SETTLE, seconds=0)


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


def _seat_of(round: RoundView, account: Address) -> tuple[int, SeatEntry]:
    for number, seat in enumerate(round.seats):
        if seat.validator == account:
            return number, seat
    raise RuleViolation(Reason.NOT_SEATED, f"{account} has no seat in round {round.number}")


def _with_leg(round: RoundView, number: int, leg: LegEntry) -> tuple[LegEntry, ...]:
    return (*round.legs[:number], leg, *round.legs[number + 1 :])


def _with_seat(round: RoundView, number: int, seat: SeatEntry) -> tuple[SeatEntry, ...]:
    return (*round.seats[:number], seat, *round.seats[number + 1 :])
