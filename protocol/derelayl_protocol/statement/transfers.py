"""Which event moves what from where to where, and on whose statement that is a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from ..ledger import events as ev
from ..ledger.rules import Rules
from ..ledger.selection import LegEnding
from ..types import Address, ModelId, Root, Wei
from . import places
from .places import Place
from .story import Story


class LogContradiction(ValueError):
    """An event cannot follow the ones before it: the log is not a ledger's, or has a gap."""


class Kind(StrEnum):
    """What a line of a statement is about."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    BUDGET = "budget"
    EMISSION = "emission"
    STAKE = "stake"
    UNBONDING = "unbonding"
    STAKE_RELEASED = "stake released"
    BID = "bid"
    BID_RETURNED = "bid returned"
    BID_FORFEITED = "bid forfeited"
    OFFER_DEPOSIT = "offer deposit"
    OFFER_RETURNED = "offer deposit returned"
    OFFER_FORFEITED = "offer deposit forfeited"
    LEASE = "lease"
    NOT_SELECTED = "not selected"
    TRAINER_REWARD = "trainer reward"
    SEAT = "seat"
    VALIDATOR_REWARD = "validator reward"
    NOT_PAID = "not paid"
    CHARGED = "charged"
    SLASHED = "slashed"
    ROYALTY = "royalty"
    ROYALTY_WAITING = "royalty waiting"
    ACCESS = "access"
    EQUIVOCATION = "equivocation"
    REPORTER_REWARD = "reporter reward"
    ROUND = "round"


@dataclass(frozen=True, slots=True)
class Transfer:
    """`amount` leaves `source` for `target`; `account` is the one whose line this is, None for a model's own money."""

    source: Place
    target: Place
    amount: Wei
    kind: Kind
    account: Address | None


class Desk(Protocol):
    """What must be known of the events before, to read one: the state behind the books."""

    def rules(self, model: ModelId) -> Rules:
        """The rules of a model."""

    def owner(self, model: ModelId, root: Root) -> Address:
        """Who owns an accepted checkpoint."""

    def amount(self, place: Place) -> Wei:
        """What a place holds: free balances and stakes."""

    def story(self, model: ModelId, round: int) -> Story:
        """What the events up to now tell of a round."""

    def move(self, transfer: Transfer) -> None:
        """Book a transfer."""


def transfers(event: ev.Event, desk: Desk) -> tuple[Transfer, ...]:
    """Read an event; transfers of nothing are left out. Raises LogContradiction."""
    read = _READERS.get(type(event))
    return () if read is None else tuple(transfer for transfer in read(event, desk) if transfer.amount)


# --- Accounts ---------------------------------------------------------------------------------------------------------


def _deposited(event: ev.Deposited, desk: Desk) -> Iterator[Transfer]:
    source, target = places.wallet(event.account), places.free(event.account)
    yield Transfer(source, target, event.amount, Kind.DEPOSIT, event.account)


def _withdrawn(event: ev.Withdrawn, desk: Desk) -> Iterator[Transfer]:
    source, target = places.free(event.account), places.wallet(event.account)
    yield Transfer(source, target, event.amount, Kind.WITHDRAWAL, event.account)


def _funded(event: ev.Funded, desk: Desk) -> Iterator[Transfer]:
    source, target = places.free(event.account), places.budget(event.model)
    yield Transfer(source, target, event.amount, Kind.BUDGET, event.account)


def _staked(event: ev.Staked, desk: Desk) -> Iterator[Transfer]:
    source, target = places.free(event.account), places.stake(event.model, event.account)
    yield Transfer(source, target, event.amount, Kind.STAKE, event.account)


def _unstaked(event: ev.Unstaked, desk: Desk) -> Iterator[Transfer]:
    source, target = places.stake(event.model, event.account), places.unbonding(event.model, event.account)
    yield Transfer(source, target, event.amount, Kind.UNBONDING, event.account)


def _released(event: ev.StakeReleased, desk: Desk) -> Iterator[Transfer]:
    source, target = places.unbonding(event.model, event.account), places.free(event.account)
    yield Transfer(source, target, event.amount, Kind.STAKE_RELEASED, event.account)


# --- Rounds -----------------------------------------------------------------------------------------------------------


def _bid_placed(event: ev.BidPlaced, desk: Desk) -> Iterator[Transfer]:
    source, target = places.free(event.trainer), places.bid(event.model, event.trainer)
    yield Transfer(source, target, event.amount, Kind.BID, event.trainer)


def _bid_returned(event: ev.BidReturned | ev.BidDisplaced, desk: Desk) -> Iterator[Transfer]:
    source, target = places.bid(event.model, event.trainer), places.free(event.trainer)
    yield Transfer(source, target, event.amount, Kind.BID_RETURNED, event.trainer)


def _tip_offered(event: ev.TipOffered, desk: Desk) -> Iterator[Transfer]:
    source, target = places.free(event.owner), places.offer(event.model, event.tip)
    yield Transfer(source, target, event.deposit, Kind.OFFER_DEPOSIT, event.owner)


def _deposit_returned(event: ev.DepositReturned, desk: Desk) -> Iterator[Transfer]:
    source, target = places.offer(event.model, event.tip), places.free(event.owner)
    yield Transfer(source, target, event.amount, Kind.OFFER_RETURNED, event.owner)


def _leg_settled(event: ev.LegSettled, desk: Desk) -> Iterator[Transfer]:
    leg = desk.story(event.model, event.round).legs.get(event.leg)
    if leg is None:
        raise LogContradiction(f"leg {event.leg} of round {event.round} is settled that was never leased")
    owner, pot = desk.owner(event.model, leg.parent), places.carry(event.model)
    locked, deposit = places.bid(event.model, leg.trainer), places.offer(event.model, leg.parent)
    lost_bid = Wei(leg.bid - event.bid_returned)
    lost_deposit = Wei(event.forfeited - lost_bid)
    if lost_bid < 0 or lost_deposit < 0:
        raise LogContradiction(f"leg {event.leg} of round {event.round} is settled with more than was bid")
    yield Transfer(locked, places.free(leg.trainer), event.bid_returned, Kind.BID_RETURNED, leg.trainer)
    yield Transfer(locked, pot, lost_bid, Kind.BID_FORFEITED, leg.trainer)
    yield Transfer(deposit, pot, lost_deposit, Kind.OFFER_FORFEITED, owner)
    yield Transfer(pot, places.free(leg.trainer), event.reward, Kind.TRAINER_REWARD, leg.trainer)
    yield Transfer(pot, places.pending(event.model, leg.parent), event.royalty, Kind.ROYALTY_WAITING, owner)


def _paid(event: ev.ValidatorPaid, desk: Desk) -> Iterator[Transfer]:
    source, target = places.carry(event.model), places.free(event.validator)
    yield Transfer(source, target, event.amount, Kind.VALIDATOR_REWARD, event.validator)


def _charged(event: ev.ValidatorCharged, desk: Desk) -> Iterator[Transfer]:
    source, target = places.stake(event.model, event.validator), places.carry(event.model)
    yield Transfer(source, target, event.amount, Kind.CHARGED, event.validator)


def _slashed(event: ev.ValidatorSlashed, desk: Desk) -> Iterator[Transfer]:
    source, target = places.stake(event.model, event.validator), places.carry(event.model)
    yield Transfer(source, target, event.amount, Kind.SLASHED, event.validator)


def _round_settled(event: ev.RoundSettled, desk: Desk) -> Iterator[Transfer]:
    story = desk.story(event.model, event.round)
    for number, ending in story.endings().items():
        if story.legs[number].selected and ending is not LegEnding.SELECTED:
            raise LogContradiction(f"leg {number} of round {event.round} is settled as selected, but it is {ending}")
    yield Transfer(places.budget(event.model), places.carry(event.model), event.emission, Kind.EMISSION, None)


# --- Royalties, access, equivocation ----------------------------------------------------------------------------------


def _collected(event: ev.RoyaltyCollected, desk: Desk) -> Iterator[Transfer]:
    source = places.pending(event.model, event.root)
    yield Transfer(source, places.free(event.owner), event.kept, Kind.ROYALTY, event.owner)
    if event.passed:
        above = desk.owner(event.model, event.parent)
        target = places.pending(event.model, event.parent)
        yield Transfer(source, target, event.passed, Kind.ROYALTY_WAITING, above)


def _access_bought(event: ev.AccessBought, desk: Desk) -> Iterator[Transfer]:
    pot, waiting = places.carry(event.model), places.pending(event.model, event.root)
    rest, owner = Wei(event.fee - event.to_pot), desk.owner(event.model, event.root)
    yield Transfer(places.free(event.account), pot, event.fee, Kind.ACCESS, event.account)
    yield Transfer(pot, waiting, rest, Kind.ROYALTY_WAITING, owner)


def _trainer_equivocated(event: ev.TrainerEquivocated, desk: Desk) -> Iterator[Transfer]:
    pot = places.carry(event.model)
    yield Transfer(places.bid(event.model, event.trainer), pot, event.amount, Kind.EQUIVOCATION, event.trainer)
    yield Transfer(pot, places.free(event.reporter), event.reward, Kind.REPORTER_REWARD, event.reporter)


def _validator_equivocated(event: ev.ValidatorEquivocated, desk: Desk) -> Iterator[Transfer]:
    pot, account = places.carry(event.model), event.validator
    for source in (places.stake(event.model, account), places.unbonding(event.model, account)):
        yield Transfer(source, pot, desk.amount(source), Kind.EQUIVOCATION, account)
    yield Transfer(pot, places.free(event.reporter), event.reward, Kind.REPORTER_REWARD, event.reporter)


_READERS: Mapping[type[ev.Event], Callable[[Any, Desk], Iterator[Transfer]]] = {
    ev.Deposited: _deposited,
    ev.Withdrawn: _withdrawn,
    ev.Funded: _funded,
    ev.Staked: _staked,
    ev.Unstaked: _unstaked,
    ev.StakeReleased: _released,
    ev.BidPlaced: _bid_placed,
    ev.BidReturned: _bid_returned,
    ev.BidDisplaced: _bid_returned,
    ev.TipOffered: _tip_offered,
    ev.DepositReturned: _deposit_returned,
    ev.LegSettled: _leg_settled,
    ev.ValidatorPaid: _paid,
    ev.ValidatorCharged: _charged,
    ev.ValidatorSlashed: _slashed,
    ev.RoundSettled: _round_settled,
    ev.RoyaltyCollected: _collected,
    ev.AccessBought: _access_bought,
    ev.TrainerEquivocated: _trainer_equivocated,
    ev.ValidatorEquivocated: _validator_equivocated,
}
