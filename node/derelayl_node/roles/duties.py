"""What a participant may or must do next, as pure functions of the running round and the time.

The roles ask these and act; nothing here waits, sends or remembers, so a restarted peer goes on where the
ledger stands.
"""

from __future__ import annotations

import hashlib

from derelayl_protocol.ledger.commands import Advance, Command, MatchRound, SettleRound
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.settlement import leg_order, seat_order
from derelayl_protocol.ledger.state import LegEntry, RoundView, SeatEntry
from derelayl_protocol.spelling import from_hex
from derelayl_protocol.types import WHOLE_MODEL, Address, ModelId, Root

KEEPER_SPREAD_SECONDS = 3.0
"""Peers enforce a deadline spread over this time, so that usually one of them pays for it."""


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


def patience(view: RoundView, account: Address) -> float:
    """Seconds this account waits before it does what anyone may do; spread over the accounts."""
    ticket = hashlib.sha256(view.seed + bytes([view.phase]) + from_hex(account)).digest()
    return KEEPER_SPREAD_SECONDS * int.from_bytes(ticket[:8], "big") / 2**64


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
    if view.phase != Phase.TRAIN or now >= view.deadline:
        return None
    for number, leg in enumerate(view.legs):
        if leg.trainer == account and not leg.submitted:
            return number, leg
    return None


def seat_of(view: RoundView, account: Address) -> SeatEntry | None:
    """The account's committee seat of this round."""
    return next((seat for seat in view.seats if seat.validator == account), None)


def segment_for_round(policy: str, round_number: int, segments: int) -> int:
    """The segment a trainer bids for: `whole`, a number, or `rotate` (the whole model, then each segment in turn)."""
    if policy == "whole" or (policy == "rotate" and segments == 1):
        return WHOLE_MODEL
    if policy == "rotate":
        turn = (round_number - 1) % (segments + 1)
        return WHOLE_MODEL if turn == 0 else turn - 1
    return int(policy)
