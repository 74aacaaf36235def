"""What a transfer is called on the statement of the account whose line it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..ledger import events as ev
from ..limits import BPS
from ..types import Wei
from .places import Pocket
from .reasons import leg_name, of_leg, segment, void_of
from .story import Story
from .transfers import Kind, Transfer
from .words import count, percent, ppm, short, tokens


def of(transfer: Transfer, event: ev.Event, story: Story | None, before: ev.Event | None) -> str:
    """Say what moved and why. `story` is the event's round, `before` the event held back before this one."""
    sum_ = tokens(transfer.amount)
    if transfer.kind in _PLAIN:
        return _PLAIN[transfer.kind](event, sum_)
    if isinstance(event, ev.RoyaltyCollected | ev.AccessBought):
        return _waiting(event, sum_)
    if isinstance(event, ev.TrainerEquivocated | ev.ValidatorEquivocated):
        return _equivocation(transfer, event, sum_)
    assert story is not None, f"{transfer.kind} belongs to a round"
    if isinstance(event, ev.DepositReturned):
        return _deposit_returned(event, story, before, sum_)
    return _OF_ROUND[transfer.kind](event, story, sum_)


# --- Told by the event alone ------------------------------------------------------------------------------------------


def _unbonding(event: ev.Unstaked, sum_: str) -> str:
    place = f"you stopped validating model {short(event.model)}"
    return f"{place}: your stake of {sum_} is unbonding and can be released from {event.release_time} (Unix time) on"


def _bid(event: ev.BidPlaced, sum_: str) -> str:
    return f"you bid {sum_} for {segment(event.segment)} in round {event.round} of model {short(event.model)}"


def _royalty(event: ev.RoyaltyCollected, sum_: str) -> str:
    rest = f", {tokens(event.passed)} went on to its parent {short(event.parent)}" if event.passed else ""
    return f"{sum_} of what was pending at your checkpoint {short(event.root)} was paid out{rest}"


def _access(event: ev.AccessBought, sum_: str) -> str:
    return f"you bought access to checkpoint {short(event.root)} for {sum_}, {tokens(event.to_pot)} of it for the pot"


_PLAIN: Mapping[Kind, Callable[[Any, str], str]] = {
    Kind.DEPOSIT: lambda event, sum_: f"you deposited {sum_} from your wallet",
    Kind.WITHDRAWAL: lambda event, sum_: f"you withdrew {sum_} to your wallet",
    Kind.BUDGET: lambda event, sum_: f"you put {sum_} behind the emission of model {short(event.model)}",
    Kind.STAKE: lambda event, sum_: f"you staked {sum_} as validator of model {short(event.model)}",
    Kind.UNBONDING: _unbonding,
    Kind.STAKE_RELEASED: lambda event, sum_: f"your unbonded stake of {sum_} was released",
    Kind.BID: _bid,
    Kind.ROYALTY: _royalty,
    Kind.ACCESS: _access,
}


def _waiting(event: ev.RoyaltyCollected | ev.AccessBought, sum_: str) -> str:
    if isinstance(event, ev.AccessBought):
        sale = f"{short(event.account)} bought access to your checkpoint {short(event.root)}"
        return f"{sale}: {sum_} of the fee of {tokens(event.fee)} is waiting there to be collected"
    return (
        f"{sum_} came from checkpoint {short(event.root)} and is waiting at its parent, your checkpoint "
        f"{short(event.parent)}"
    )


def _equivocation(transfer: Transfer, event: ev.TrainerEquivocated | ev.ValidatorEquivocated, sum_: str) -> str:
    if isinstance(event, ev.TrainerEquivocated):
        crime, culprit = f"two children under leg {event.leg} of round {event.round}", event.trainer
    else:
        crime, culprit = f"two different reveals for round {event.round}", event.validator
    if transfer.kind == Kind.REPORTER_REWARD:
        return f"you proved that {short(culprit)} had signed {crime}: {sum_} of the {tokens(event.amount)} it lost"
    lost = {Pocket.BID: "bid", Pocket.STAKE: "stake"}.get(transfer.source.pocket, "unbonding stake")
    return f"{short(event.reporter)} proved that you had signed {crime}: your {lost} of {sum_} is lost"


# --- Told with the story of the round ---------------------------------------------------------------------------------


def _bid_returned(event: ev.BidDisplaced | ev.BidReturned | ev.LegSettled, story: Story, sum_: str) -> str:
    if isinstance(event, ev.BidDisplaced):
        return (
            f"all places of round {story.number} were taken and {short(event.by)} bid more; your bid of "
            f"{sum_} was returned"
        )
    if isinstance(event, ev.BidReturned):
        bond = story.bids[event.trainer]
        if bond:
            one = f"each leg of round {story.number} is held by one bond, the lowest bid that won a leg: {tokens(bond)}"
            return f"{one}; what your bid was above it, {sum_}, was returned"
        found = void_of(story) if story.voided is not None else f"no tip was left for you in round {story.number}"
        return f"{found}; your bid of {sum_} was returned"
    if event.selected:
        return f"{leg_name(story, event.leg)} was selected: score {ppm(event.score)}; your bid of {sum_} was returned"
    return f"{of_leg(story, event.leg)}; your bid of {sum_} was returned"


def _bid_forfeited(event: ev.LegSettled, story: Story, sum_: str) -> str:
    return f"{of_leg(story, event.leg)}; your bid of {sum_} was forfeited"


def _offered(event: ev.TipOffered, story: Story, sum_: str) -> str:
    each = f"{tokens(story.rules.offer_deposit)} for each of {count(story.rules.legs_per_tip, 'leg')}"
    return f"you offered your checkpoint {short(event.tip)} in round {story.number}: a deposit of {sum_}, {each}"


def _deposit_returned(event: ev.DepositReturned, story: Story, before: ev.Event | None, sum_: str) -> str:
    tip = f"your checkpoint {short(event.tip)}"
    if not isinstance(before, ev.LegSettled):
        free = void_of(story) if story.voided is not None else f"not all legs that may continue {tip} were leased"
        return f"{free}; {sum_} of your deposit was returned"
    if before.selected:
        return (
            f"{leg_name(story, before.leg)}, which continues {tip}, was selected; your deposit of {sum_} was returned"
        )
    return f"{of_leg(story, before.leg)}, through no fault of yours; your deposit of {sum_} for it was returned"


def _deposit_forfeited(event: ev.LegSettled, story: Story, sum_: str) -> str:
    tip = short(story.legs[event.leg].parent)
    return f"{of_leg(story, event.leg)}; it continues your checkpoint {tip}, so your deposit of {sum_} was forfeited"


def _trainer_reward(event: ev.LegSettled, story: Story, sum_: str) -> str:
    gain = f"your gain of {ppm(event.score)} out of {story.gained:,} ppm selected in the round"
    return f"{leg_name(story, event.leg)}: {gain} earned {sum_} of {_share(story, story.rules.trainer_bps, 'trainers')}"


def _royalty_of_leg(event: ev.LegSettled, story: Story, sum_: str) -> str:
    built = f"{leg_name(story, event.leg)} was built on your checkpoint {short(story.legs[event.leg].parent)}"
    return f"{built}: {sum_} of {_share(story, story.rules.royalty_bps, 'royalties')} is waiting there to be collected"


def _validator_reward(event: ev.ValidatorPaid, story: Story, sum_: str) -> str:
    agreement = f"your agreement of {ppm(event.agreement)} with the committee across the legs of round {story.number}"
    share = f"a seat's share of {tokens(story.seat_share)}"
    whole = f"{percent(story.rules.validator_bps)} of {_pot(story)}, divided by {count(len(story.seats), 'seat')}"
    return f"{agreement} earned {sum_} of {share} ({whole})"


def _charged(event: ev.ValidatorCharged, story: Story, sum_: str) -> str:
    misfit = f"your scores in round {story.number} fitted the wrong legs better than the right ones"
    return f"{misfit} (disagreement {ppm(event.disagreement)}): {sum_} of your stake was charged"


def _slashed(event: ev.ValidatorSlashed, story: Story, sum_: str) -> str:
    silence = "did not reveal your scores" if event.validator in story.committed else "committed to no scores"
    return f"you {silence} in round {story.number}: {sum_} of your stake ({percent(story.rules.slash_bps)}) was slashed"


_OF_ROUND: Mapping[Kind, Callable[[Any, Story, str], str]] = {
    Kind.BID_RETURNED: _bid_returned,
    Kind.BID_FORFEITED: _bid_forfeited,
    Kind.OFFER_DEPOSIT: _offered,
    Kind.OFFER_FORFEITED: _deposit_forfeited,
    Kind.TRAINER_REWARD: _trainer_reward,
    Kind.ROYALTY_WAITING: _royalty_of_leg,
    Kind.VALIDATOR_REWARD: _validator_reward,
    Kind.CHARGED: _charged,
    Kind.SLASHED: _slashed,
}


def _pot(story: Story) -> str:
    return f"the pot of {tokens(Wei(0) if story.settled is None else story.settled.pot)}"


def _share(story: Story, bps: int, whose: str) -> str:
    pot = 0 if story.settled is None else story.settled.pot
    return f"the {whose}' {tokens(Wei(pot * bps // BPS))} ({percent(bps)} of {_pot(story)})"
