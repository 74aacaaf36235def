"""Commands of the BID phase: bids, offers, and the matching that ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import Reason, RuleViolation
from ..limits import MAX_BIDS
from ..spelling import to_hex
from ..types import WHOLE_MODEL, ModelId, Wei
from .commands import BidBySig, MatchRound, OfferTip, PlaceBid
from .draft import Draft, check_amount
from .endings import begin_round
from .events import (
    BidDisplaced,
    BidPlaced,
    BidReturned,
    CommitteeSeated,
    DepositReturned,
    LegLeased,
    RoundVoided,
    TipOffered,
)
from .matching import check_bid_order, check_tip_order, lease_legs, seat_committee
from .phases import Phase, VoidReason
from .rules import Rules
from .signed import BidMessage
from .state import BidEntry, LegEntry, SeatEntry, TipEntry


def place_bid(draft: Draft, command: PlaceBid) -> None:
    """Lock a bid; the first of a round starts its clock, and where all places are taken it displaces a lower one."""
    bid = BidEntry(draft.sender, command.segment, command.amount)
    _check_bid(draft.model(command.model).rules, bid)
    obstacle = _obstacle(draft, command.model, bid)
    if obstacle is not None:
        raise obstacle
    _lock_bid(draft, command.model, bid)


def bid_by_sig(draft: Draft, command: BidBySig) -> None:
    """Lock the bids that others have signed; pass over those that are late, or that something stands in the way of."""
    rules = draft.model(command.model).rules
    for entry in command.bids:
        bid = BidEntry(entry.trainer, entry.segment, entry.amount)
        _check_bid(rules, bid)
        message = BidMessage(command.model, command.round, entry.segment, entry.amount, entry.expiry)
        draft.check_signature(entry.trainer, message, entry.signature)
        if draft.now < entry.expiry and _obstacle(draft, command.model, bid) is None:
            _lock_bid(draft, command.model, bid)


def offer_tip(draft: Draft, command: OfferTip) -> None:
    """Lock the owner's deposit for each leg that may continue the tip."""
    model = draft.model(command.model)
    round, rules = model.current, model.rules
    offered = next((tip for tip in round.tips if tip.root == command.tip), None)
    if offered is None:
        raise RuleViolation(Reason.NOT_A_TIP, to_hex(command.tip))
    if offered.owner != draft.sender:
        raise RuleViolation(Reason.NOT_THE_OWNER, f"the owner is {offered.owner}")
    if offered.offered:
        raise RuleViolation(Reason.ALREADY_OFFERED)
    deposit = Wei(rules.offer_deposit * rules.legs_per_tip)
    draft.spend(draft.sender, deposit)
    tips = tuple(replace(tip, offered=True) if tip is offered else tip for tip in round.tips)
    draft.put_round(command.model, replace(round, tips=tips))
    draft.emit(TipOffered(command.model, command.round, command.tip, draft.sender, deposit))


def match_round(draft: Draft, command: MatchRound) -> None:
    """Lease legs and seat the committee that will judge them; void the round where no committee can be seated."""
    model = draft.model(command.model)
    round, rules = model.current, model.rules
    check_bid_order(round.seed, round.bids, command.bid_order)
    check_tip_order(round.seed, round.tips, command.tip_order)
    parties = {bid.trainer for bid in round.bids} | {tip.owner for tip in round.tips}
    seats = seat_committee(round.seed, model.validators, model.stakes, parties, rules)
    if len(seats) < rules.quorum:
        _void_matching(draft, command)
        return
    legs = lease_legs(rules, round.bids, round.tips, command.bid_order, command.tip_order)
    _return_bids(draft, command, _beyond(legs, [round.bids[entry] for entry in command.bid_order]))
    _return_deposits(draft, command, [round.tips[entry] for entry in command.tip_order], legs)
    _start(draft, command, legs, seats)


def has_place(bids: Sequence[BidEntry], amount: Wei) -> bool:
    """Whether a round with these bids has a place for one of `amount`: a free one, or that of a lower bid."""
    return len(bids) < MAX_BIDS or amount > bids[_lowest(bids)].amount


# --- Inside -----------------------------------------------------------------------------------------------------------


def _check_bid(rules: Rules, bid: BidEntry) -> None:
    """Raise RuleViolation for what is wrong with a bid whenever it comes."""
    if not 0 <= bid.segment < rules.segments and bid.segment != WHOLE_MODEL:
        raise RuleViolation(Reason.BAD_SEGMENT, f"{bid.segment}, the model has {rules.segments}")
    check_amount(bid.amount)
    if bid.amount < rules.min_bid:
        raise RuleViolation(Reason.BID_TOO_SMALL, f"{bid.amount} wei, least is {rules.min_bid}")


def _obstacle(draft: Draft, model_id: ModelId, bid: BidEntry) -> RuleViolation | None:
    """Return what others, or the trainer in the meantime, have put in the way of a sound bid."""
    bids, free = draft.model(model_id).current.bids, draft.free.get(bid.trainer, 0)
    if not has_place(bids, bid.amount):
        return RuleViolation(Reason.TOO_MANY_BIDS, f"the round has {MAX_BIDS}, none of them lower")
    if any(other.trainer == bid.trainer for other in bids):
        return RuleViolation(Reason.ALREADY_BID)
    if free < bid.amount:
        return RuleViolation(Reason.INSUFFICIENT_BALANCE, f"{bid.trainer} has {free} wei, needed are {bid.amount}")
    return None


def _lock_bid(draft: Draft, model_id: ModelId, bid: BidEntry) -> None:
    model = draft.model(model_id)
    round = model.current
    draft.spend(bid.trainer, bid.amount)
    place = len(round.bids) if len(round.bids) < MAX_BIDS else _lowest(round.bids)
    draft.put_round(model_id, replace(round, bids=(*round.bids[:place], bid, *round.bids[place + 1 :])))
    draft.emit(BidPlaced(model_id, round.number, bid.trainer, bid.segment, bid.amount))
    for displaced in round.bids[place:][:1]:
        draft.pay(displaced.trainer, displaced.amount)
        draft.emit(BidDisplaced(model_id, round.number, displaced.trainer, bid.trainer, displaced.amount))
    if not round.bids:
        draft.enter(model_id, Phase.BID, model.rules.bid_seconds)


def _beyond(legs: Sequence[LegEntry], ranked: Sequence[BidEntry]) -> list[BidEntry]:
    """What the bids in order hold beyond the bonds of the legs, each only if it is something."""
    bonds = [leg.bid for leg in legs] + [Wei(0)] * (len(ranked) - len(legs))
    rests = [replace(bid, amount=Wei(bid.amount - bond)) for bid, bond in zip(ranked, bonds, strict=True)]
    return [rest for rest in rests if rest.amount]


def _start(draft: Draft, command: MatchRound, legs: tuple[LegEntry, ...], seats: tuple[SeatEntry, ...]) -> None:
    model, number = draft.model(command.model), command.round
    draft.put_round(command.model, replace(model.current, legs=legs, seats=seats))
    for leg, lease in enumerate(legs):
        draft.emit(LegLeased(command.model, number, leg, lease.trainer, lease.parent, lease.segment))
    draft.emit(CommitteeSeated(command.model, number, tuple(seat.validator for seat in seats)))
    draft.enter(command.model, Phase.TRAIN, model.rules.train_seconds)


def _void_matching(draft: Draft, command: MatchRound) -> None:
    round = draft.model(command.model).current
    _return_bids(draft, command, round.bids)
    _return_deposits(draft, command, round.tips, legs=())
    draft.emit(RoundVoided(command.model, command.round, VoidReason.COMMITTEE_TOO_SMALL))
    begin_round(draft, command.model)


def _lowest(bids: Sequence[BidEntry]) -> int:
    """Find the bid that a higher one displaces: the smallest, of equals the one with the highest place."""
    return min(range(len(bids)), key=lambda place: (bids[place].amount, -place))


def _return_bids(draft: Draft, command: MatchRound, bids: Sequence[BidEntry]) -> None:
    for bid in bids:
        draft.pay(bid.trainer, bid.amount)
        draft.emit(BidReturned(command.model, command.round, bid.trainer, bid.amount))


def _return_deposits(draft: Draft, command: MatchRound, tips: Sequence[TipEntry], legs: Sequence[LegEntry]) -> None:
    """Return the part of each offer that no leg uses, in the order of `tips`."""
    rules = draft.model(command.model).rules
    for tip in tips:
        used = sum(leg.parent == tip.root for leg in legs)
        unused = Wei((rules.legs_per_tip - used) * rules.offer_deposit if tip.offered else 0)
        if unused:
            draft.pay(tip.owner, unused)
            draft.emit(DepositReturned(command.model, command.round, tip.root, tip.owner, unused))
