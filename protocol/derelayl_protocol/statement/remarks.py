"""Lines without money: what an account was given to do, and why something that it could have earned did not come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..ledger import events as ev
from ..types import Address, Wei
from . import places, reasons
from .story import Story
from .transfers import Desk, Kind
from .words import short, tokens


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence for an account, or about the round as a whole (None)."""

    account: Address | None
    kind: Kind
    text: str


def remarks(event: ev.Event, story: Story | None, desk: Desk) -> Iterator[Remark]:
    """Say what the event means beside the transfers. `story` is the event's round."""
    if isinstance(event, ev.RoyaltyCollected) and event.kept == 0:
        passed = f"all {tokens(event.passed)} that waited at your checkpoint {short(event.root)}"
        yield Remark(event.owner, Kind.ROYALTY, f"{passed} went on to its parent {short(event.parent)}")
    if story is not None and type(event) in _OF_ROUND:
        yield from _OF_ROUND[type(event)](event, story, desk)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _leased(event: ev.LegLeased, story: Story, desk: Desk) -> Iterator[Remark]:
    task = f"continue checkpoint {short(event.parent)} and train {reasons.segment(event.segment)}"
    won = f"your bid won leg {event.leg} of round {story.number}, with a bond of {tokens(story.legs[event.leg].bid)}"
    yield Remark(event.trainer, Kind.LEASE, f"{won}: {task}")


def _seated(event: ev.CommitteeSeated, story: Story, desk: Desk) -> Iterator[Remark]:
    for validator in event.validators:
        yield Remark(validator, Kind.SEAT, f"you were drawn into the committee of round {story.number}")


def _leg_settled(event: ev.LegSettled, story: Story, desk: Desk) -> Iterator[Remark]:
    leg = story.legs[event.leg]
    if leg.disqualified:
        text = f"{reasons.of_leg(story, event.leg)}; your bid had already been lost for signing two children"
        yield Remark(leg.trainer, Kind.NOT_SELECTED, text)
    if event.selected and event.reward == 0:
        text = f"{reasons.leg_name(story, event.leg)} earned nothing: its share of the pot is less than a wei"
        yield Remark(leg.trainer, Kind.NOT_PAID, text)


def _settled(event: ev.RoundSettled, story: Story, desk: Desk) -> Iterator[Remark]:
    for validator in story.seats:
        if validator not in story.treated:
            has_stake = desk.amount(places.stake(event.model, validator)) > 0
            yield Remark(validator, Kind.NOT_PAID, reasons.of_seat(story, validator, has_stake=has_stake))
    yield Remark(None, Kind.ROUND, _pot(event, story))


def _pot(event: ev.RoundSettled, story: Story) -> str:
    carried = Wei(event.pot - story.forfeited - story.slashed - event.emission)
    sources = {
        "carried over": carried,
        "forfeited": story.forfeited,
        "slashed": story.slashed,
        "emitted from the budget": event.emission,
    }
    parts = ", ".join(f"{tokens(amount)} {name}" for name, amount in sources.items() if amount) or "nothing"
    charged = f", {tokens(story.charged)} of it charged to validators" if story.charged else ""
    return (
        f"round {event.round} was settled: {event.selected} of {story.submitted} submitted legs selected; "
        f"the pot of {tokens(event.pot)} was {parts}; {tokens(event.carry)} are carried over to the next round{charged}"
    )


def _voided(event: ev.RoundVoided, story: Story, desk: Desk) -> Iterator[Remark]:
    for validator in story.seats:
        if validator not in story.treated:
            yield Remark(validator, Kind.NOT_PAID, f"{reasons.void_of(story)}; nobody is paid")
    lost = f"{tokens(story.forfeited)} forfeited and {tokens(story.slashed)} slashed go into the next pot"
    yield Remark(None, Kind.ROUND, f"{reasons.void_of(story)}; {lost}")


_OF_ROUND: Mapping[type[ev.Event], Callable[[Any, Story, Desk], Iterator[Remark]]] = {
    ev.LegLeased: _leased,
    ev.CommitteeSeated: _seated,
    ev.LegSettled: _leg_settled,
    ev.RoundSettled: _settled,
    ev.RoundVoided: _voided,
}
