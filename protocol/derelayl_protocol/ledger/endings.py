"""How a round ends: by its settlement, or voided by a deadline. Either begins the next one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from ..encoding import word
from ..types import Address, ModelId, Ppm, Root, Wei
from .commands import SettleRound
from .draft import Draft
from .events import (
    DepositReturned,
    LegSettled,
    RoundSettled,
    RoundVoided,
    ValidatorCharged,
    ValidatorPaid,
    ValidatorSlashed,
)
from .matching import with_stalled
from .phases import Phase, VoidReason
from .settlement import LegOutcome, SeatOutcome, Settlement, check_ranking, settle, void
from .state import CheckpointRecord, LegEntry, ModelState, SeatEntry, TipEntry


def settle_round(draft: Draft, command: SettleRound) -> None:
    """Check the sender's orders, pay, and make the selected children the new tips."""
    model = draft.model(command.model)
    round = model.current
    check_ranking(command.leg_order, command.seat_order, round.legs, round.seats)
    outcome = settle(
        model.rules,
        round.legs,
        round.seats,
        stakes=model.stakes,
        checkpoints=model.checkpoints,
        carry=model.carry,
        budget=model.budget,
        settled_rounds=model.settled_rounds,
    )
    checkpoints = _with_royalties(_with_children(model, outcome), round.legs, outcome.legs)
    draft.models[command.model] = replace(
        model,
        budget=Wei(model.budget - outcome.emission),
        carry=outcome.carry,
        settled_rounds=model.settled_rounds + 1,
        checkpoints=checkpoints,
        stakes=_diminished(model, outcome.seats),
        current=replace(round, tips=_tips(model, outcome, checkpoints)),
    )
    _pay_legs(draft, command.model, round.legs, outcome.legs)
    _pay_seats(draft, command.model, round.seats, outcome.seats)
    count = len(outcome.selected)
    draft.emit(RoundSettled(command.model, round.number, count, outcome.pot, outcome.emission, outcome.carry))
    begin_round(draft, command.model)


def void_round(draft: Draft, model_id: ModelId, reason: VoidReason) -> None:
    """End a leased round without a settlement; the tips stay."""
    model = draft.model(model_id)
    round = model.current
    outcome = void(model.rules, reason, round.legs, round.seats, stakes=model.stakes, carry=model.carry)
    draft.models[model_id] = replace(model, carry=outcome.carry, stakes=_diminished(model, outcome.seats))
    _pay_legs(draft, model_id, round.legs, outcome.legs)
    _pay_seats(draft, model_id, round.seats, outcome.seats)
    draft.emit(RoundVoided(model_id, round.number, reason))
    begin_round(draft, model_id)


def begin_round(draft: Draft, model_id: ModelId) -> None:
    """Forget the running round except for its tips, none of them offered, and begin the next with a seed of its own.

    Its legs leave marks on tips that stay; one that is new was no leg's parent.
    """
    model = draft.model(model_id)
    number = model.current.number + 1
    seed = hashlib.sha256(model.next_seed + word(number)).digest()
    tips = with_stalled([replace(tip, offered=False) for tip in model.current.tips], model.current.legs)
    fresh = replace(model.current, number=number, seed=seed, bids=(), tips=tips, legs=(), seats=())
    draft.models[model_id] = replace(model, next_seed=seed, current=fresh)
    draft.enter(model_id, Phase.BID, seconds=0)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _with_children(model: ModelState, outcome: Settlement) -> dict[Root, CheckpointRecord]:
    checkpoints = dict(model.checkpoints)
    for number in outcome.selected:
        leg = model.current.legs[number]
        score = Ppm(model.checkpoints[leg.parent].score + outcome.legs[number].score)
        checkpoints[leg.child] = CheckpointRecord(leg.trainer, leg.parent, score, model.current.number, Wei(0))
    return checkpoints


def _with_royalties(
    checkpoints: dict[Root, CheckpointRecord], legs: Sequence[LegEntry], outcomes: Sequence[LegOutcome]
) -> dict[Root, CheckpointRecord]:
    result = dict(checkpoints)
    for leg, outcome in zip(legs, outcomes, strict=True):
        parent = result[leg.parent]
        result[leg.parent] = replace(parent, pending=Wei(parent.pending + outcome.royalty))
    return result


def _tips(model: ModelState, outcome: Settlement, checkpoints: dict[Root, CheckpointRecord]) -> tuple[TipEntry, ...]:
    """The selected children in settlement order, or the old tips if there are none."""
    if not outcome.selected:
        return model.current.tips
    children = [model.current.legs[number].child for number in outcome.selected]
    return tuple(TipEntry(root, checkpoints[root].owner, checkpoints[root].score, offered=False) for root in children)


def _diminished(model: ModelState, outcomes: Sequence[SeatOutcome]) -> dict[Address, Wei]:
    stakes = dict(model.stakes)
    for seat, outcome in zip(model.current.seats, outcomes, strict=True):
        stakes[seat.validator] = Wei(stakes[seat.validator] - outcome.slashed - outcome.charged)
    return stakes


def _pay_legs(draft: Draft, model_id: ModelId, legs: Sequence[LegEntry], outcomes: Sequence[LegOutcome]) -> None:
    round = draft.model(model_id).current.number
    for number, (leg, outcome) in enumerate(zip(legs, outcomes, strict=True)):
        draft.pay(leg.trainer, Wei(outcome.bid_returned + outcome.reward))
        draft.emit(
            LegSettled(
                model_id,
                round,
                number,
                leg.child,
                outcome.score,
                outcome.selected,
                outcome.reward,
                outcome.royalty,
                outcome.bid_returned,
                outcome.forfeited,
            )
        )
        if outcome.deposit_returned:
            draft.pay(leg.owner, outcome.deposit_returned)
            draft.emit(DepositReturned(model_id, round, leg.parent, leg.owner, outcome.deposit_returned))


def _pay_seats(draft: Draft, model_id: ModelId, seats: Sequence[SeatEntry], outcomes: Sequence[SeatOutcome]) -> None:
    round = draft.model(model_id).current.number
    for seat, outcome in zip(seats, outcomes, strict=True):
        if outcome.slashed:
            draft.emit(ValidatorSlashed(model_id, round, seat.validator, outcome.slashed))
        if outcome.paid:
            draft.pay(seat.validator, outcome.paid)
            draft.emit(ValidatorPaid(model_id, round, seat.validator, outcome.agreement, outcome.paid))
        if outcome.charged:
            draft.emit(ValidatorCharged(model_id, round, seat.validator, Ppm(-outcome.agreement), outcome.charged))
