"""What a participant may or must do next, as pure functions of the running round and the time.

The roles ask these and act; nothing here waits, sends or remembers, so a restarted peer goes on where the
ledger stands.
"""

from __future__ import annotations

import hashlib

from derelayl_protocol.ledger.commands import Advance, Command, MatchRound, SettleRound
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.settlement import leg_order, seat_order
from derelayl_protocol.ledger.state import LegEntry, RoundView, SeatEntry, TipEntry
from derelayl_protocol.spelling import from_hex
from derelayl_protocol.types import WHOLE_MODEL, Address, ModelId, Root
from derelayl_training.bar import MAX_BAR_TIPS

KEEPERS = 3
"""Participants whose turn comes before everybody else's: the first acts at once, so two more must fail for a wait."""

KEEPER_STEP_SECONDS = 3.0
"""The least time between two turns: a look at the round a second, a block a second, and one more to hear of it."""

KEEPER_STEP_SHARE = 0.25
"""A turn's share of the shortest phase where that is more: who makes long phases reckons with slow blocks."""


def overdue(model: ModelId, view: RoundView, now: float) -> Command | None:
    """The command by which anyone may move the round on, or None while it may still move by itself."""
    timed_out = view.deadline != 0 and now >= view.deadline
    match view.phase:
        case Phase.BID if timed_out:
            return MatchRound(model, view.number, bid_order(view.seed, view.bids), tip_order(view.seed, view.tips))
        case Phase.TRAIN | Phase.COMMIT | Phase.REVEAL if timed_out:
            return Advance(model, view.number)
        case Phase.SETTLE:
            order = leg_order(view.legs, view.seats)
            return SettleRound(model, view.number, order, seat_order(order, view.seats))
        case _:
            return None


def patience(view: RoundView, rules: Rules, account: Address) -> float:
    """Seconds this account waits before it does what anyone may do.

    A few participants take turns in an order drawn by the round's seed, those first who have shown in this phase that
    they are there. All others follow, spread over as long again, for the case that none of these acts.
    """
    phases = (rules.bid_seconds, rules.train_seconds, rules.commit_seconds, rules.reveal_seconds)
    step = max(KEEPER_STEP_SECONDS, KEEPER_STEP_SHARE * min(phases))
    active = _active(view)
    others = {bid.trainer for bid in view.bids} | {seat.validator for seat in view.seats}
    others |= {leg.trainer for leg in view.legs} | {tip.owner for tip in view.tips}
    first = sorted(others, key=lambda each: (each not in active, _ticket(view, each)))[:KEEPERS]
    if account in first:
        return step * first.index(account)
    return step * (len(first) + KEEPERS * _ticket(view, account))


def _active(view: RoundView) -> set[Address]:
    """Whose node has done what was due in the running phase, or the one before."""
    match view.phase:
        case Phase.BID:
            return {bid.trainer for bid in view.bids}
        case Phase.TRAIN | Phase.COMMIT:
            sealed = {seat.validator for seat in view.seats if seat.commitment is not None}
            return sealed | {leg.trainer for leg in view.legs if leg.submitted}
        case _:
            return {seat.validator for seat in view.seats if seat.scores is not None}


def _ticket(view: RoundView, account: Address) -> float:
    """A number in [0, 1) by which an account is ranked in this phase of this round."""
    digest = hashlib.sha256(view.seed + bytes([view.phase]) + from_hex(account)).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def may_still_enter(view: RoundView, now: float) -> bool:
    """Whether the round still takes bids and offers."""
    return view.phase == Phase.BID and (view.deadline == 0 or now < view.deadline)


def has_bid(view: RoundView, account: Address) -> bool:
    """Whether the account has placed its bid of this round."""
    return any(bid.trainer == account for bid in view.bids)


def tips_to_offer(view: RoundView, account: Address) -> tuple[Root, ...]:
    """The account's own tips that it has not offered in this round."""
    return tuple(tip.root for tip in view.tips if tip.owner == account and not tip.offered)


def open_lease(view: RoundView, account: Address, now: float) -> tuple[int, LegEntry] | None:
    """The account's leg that still waits for its child, with its number."""
    lease = lease_of(view, account)
    if lease is None or view.phase != Phase.TRAIN or now >= view.deadline or lease[1].submitted:
        return None
    return lease


def lease_of(view: RoundView, account: Address) -> tuple[int, LegEntry] | None:
    """The account's leg of this round, with its number: it bids once, so it has one at most."""
    return next(((number, leg) for number, leg in enumerate(view.legs) if leg.trainer == account), None)


def seat_of(view: RoundView, account: Address) -> SeatEntry | None:
    """The account's committee seat of this round."""
    return next((seat for seat in view.seats if seat.validator == account), None)


def tips_in_order(view: RoundView) -> tuple[TipEntry, ...]:
    """The round's tips in the order in which the bar is made of them: the highest cumulative score first."""
    return tuple(sorted(view.tips, key=lambda tip: (-tip.score, tip.root)))


def tips_beside(view: RoundView, leased: Root) -> tuple[TipEntry, ...]:
    """The round's first other tips in that order: what a leg on the leased one may start from, too."""
    return tuple(tip for tip in tips_in_order(view) if tip.root != leased)[: MAX_BAR_TIPS - 1]


def segment_for_round(policy: str, round_number: int, segments: int) -> int:
    """The segment a trainer bids for: `whole`, a number, or `rotate` (the whole model, then each segment in turn)."""
    if policy == "whole" or (policy == "rotate" and segments == 1):
        return WHOLE_MODEL
    if policy == "rotate":
        turn = (round_number - 1) % (segments + 1)
        return WHOLE_MODEL if turn == 0 else turn - 1
    return int(policy)
