"""What the events tell of one round: who was in it, what was asked of them, and why it ended as it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..ledger import events as ev
from ..ledger.duplicates import classes
from ..ledger.rules import Rules
from ..ledger.selection import LegEnding, judged, unjudged
from ..limits import BPS
from ..types import NO_ROOT, UNAVAILABLE, Address, ModelId, Ppm, Root, Wei

NOTHING = Wei(0)


@dataclass(slots=True)
class LegStory:
    """A lease and what became of it; `bid` is its bond, 0 once its trainer was caught signing two children."""

    trainer: Address
    parent: Root
    segment: int
    bid: Wei
    child: Root = NO_ROOT
    settled: ev.LegSettled | None = None

    @property
    def submitted(self) -> bool:
        return self.child != NO_ROOT

    @property
    def disqualified(self) -> bool:
        return self.bid == 0

    @property
    def score(self) -> Ppm:
        return UNAVAILABLE if self.settled is None else self.settled.score

    @property
    def selected(self) -> bool:
        return self.settled is not None and self.settled.selected


@dataclass(slots=True)
class Story:
    """One round of a model, as far as its events have been told by `note`, in their order."""

    model: ModelId
    number: int
    rules: Rules
    bids: dict[Address, Wei] = field(default_factory=dict)
    legs: dict[int, LegStory] = field(default_factory=dict)
    seats: tuple[Address, ...] = ()
    committed: set[Address] = field(default_factory=set)
    weights: dict[Address, Wei] = field(default_factory=dict)  # of the seats: stakes when they were drawn
    revealed: dict[Address, tuple[int, ...]] = field(default_factory=dict)  # the originals that each seat named
    treated: set[Address] = field(default_factory=set)  # seats that were paid, charged or slashed
    forfeited: Wei = NOTHING
    slashed: Wei = NOTHING
    charged: Wei = NOTHING
    settled: ev.RoundSettled | None = None
    voided: ev.RoundVoided | None = None

    def note(self, event: ev.Event) -> None:
        """Take in an event of this round; those of no consequence are passed over."""
        if type(event) in _NOTES:
            _NOTES[type(event)](self, event)

    @property
    def submitted(self) -> int:
        """Number of legs with a child."""
        return sum(leg.submitted for leg in self.legs.values())

    @property
    def gained(self) -> int:
        """Sum of the selected scores, which shares are measured by."""
        return sum(leg.score for leg in self.legs.values() if leg.selected)

    @property
    def seat_share(self) -> Wei:
        """The most that one seat can be paid."""
        pot = 0 if self.settled is None else self.settled.pot
        return Wei(pot * self.rules.validator_bps // BPS // len(self.seats)) if self.seats else Wei(0)

    def endings(self) -> dict[int, LegEnding]:
        """How each leg ended, by number, once the round has."""
        endings = {number: unjudged(leg) for number, leg in self.legs.items()}
        if self.voided is None:
            scores = {number: leg.score for number, leg in self.legs.items()}
            endings |= judged(self.rules, self.legs, scores, self.classes(), self._known_before())
        return endings

    def classes(self) -> dict[int, int]:
        """The class of each leg, by number: legs that the committee says are one in function have the same."""
        count = len(self.legs)
        named = [(own, self.weights.get(seat, NOTHING)) for seat, own in self.revealed.items() if len(own) == count]
        return dict(enumerate(classes(self.rules, named, count)))

    def cut_off(self) -> Ppm:
        """The score of the last leg that was selected."""
        return min((leg.score for leg in self.legs.values() if leg.selected), default=UNAVAILABLE)

    def twin(self, number: int) -> int | None:
        """The selected leg of this round that has the same child, if there is one."""
        same = (other for other, leg in self.legs.items() if leg.selected and leg.child == self.legs[number].child)
        return next(same, None)

    def double(self, number: int) -> int | None:
        """The selected leg of this round that is the same one in function, if there is one."""
        classes = self.classes()
        same = (other for other, leg in self.legs.items() if leg.selected and classes[other] == classes[number])
        return next(same, None)

    def _known_before(self) -> set[Root]:
        """Children that were checkpoints before this round, as far as the endings depend on it.

        No event of the round says so. But a leg that nothing else rules out and that was not selected can only have
        brought such a child, and where something else does rule it out, this is never asked.
        """
        refused = {leg.child for leg in self.legs.values() if not leg.selected}
        return refused - {leg.child for leg in self.legs.values() if leg.selected}


def round_of(event: ev.Event) -> tuple[ModelId, int] | None:
    """The round that an event belongs to. A proof against a validator may come long after the round it is about."""
    if isinstance(event, ev.ValidatorEquivocated) or not hasattr(event, "round"):
        return None
    model: ModelId = getattr(event, "model", ModelId(b""))
    return model, event.round


# --- Inside -----------------------------------------------------------------------------------------------------------


def _bid_placed(story: Story, event: ev.BidPlaced) -> None:
    story.bids[event.trainer] = event.amount


def _bid_displaced(story: Story, event: ev.BidDisplaced) -> None:
    story.bids.pop(event.trainer, None)


def _bid_returned(story: Story, event: ev.BidReturned) -> None:
    """The whole bid, or what it has above the bond of the leg that it wins."""
    story.bids[event.trainer] = Wei(story.bids.get(event.trainer, 0) - event.amount)


def _leg_leased(story: Story, event: ev.LegLeased) -> None:
    bid = story.bids.get(event.trainer, Wei(0))
    story.legs[event.leg] = LegStory(event.trainer, event.parent, event.segment, bid)


def _committee_seated(story: Story, event: ev.CommitteeSeated) -> None:
    story.seats = event.validators


def _leg_submitted(story: Story, event: ev.LegSubmitted) -> None:
    story.legs[event.leg].child = event.child


def _committed(story: Story, event: ev.ScoresCommitted) -> None:
    story.committed.add(event.validator)


def _revealed(story: Story, event: ev.ScoresRevealed) -> None:
    story.revealed[event.validator] = event.originals


def _leg_settled(story: Story, event: ev.LegSettled) -> None:
    if event.leg in story.legs:
        story.legs[event.leg].settled = event
    story.forfeited = Wei(story.forfeited + event.forfeited)


def _paid(story: Story, event: ev.ValidatorPaid) -> None:
    story.treated.add(event.validator)


def _charged(story: Story, event: ev.ValidatorCharged) -> None:
    story.treated.add(event.validator)
    story.charged = Wei(story.charged + event.amount)


def _slashed(story: Story, event: ev.ValidatorSlashed) -> None:
    story.treated.add(event.validator)
    story.slashed = Wei(story.slashed + event.amount)


def _round_settled(story: Story, event: ev.RoundSettled) -> None:
    story.settled = event


def _round_voided(story: Story, event: ev.RoundVoided) -> None:
    story.voided = event


def _trainer_equivocated(story: Story, event: ev.TrainerEquivocated) -> None:
    story.legs[event.leg].bid = Wei(0)


_NOTES: Mapping[type[ev.Event], Callable[[Story, Any], None]] = {
    ev.BidPlaced: _bid_placed,
    ev.BidDisplaced: _bid_displaced,
    ev.BidReturned: _bid_returned,
    ev.LegLeased: _leg_leased,
    ev.CommitteeSeated: _committee_seated,
    ev.LegSubmitted: _leg_submitted,
    ev.ScoresCommitted: _committed,
    ev.ScoresRevealed: _revealed,
    ev.LegSettled: _leg_settled,
    ev.ValidatorPaid: _paid,
    ev.ValidatorCharged: _charged,
    ev.ValidatorSlashed: _slashed,
    ev.RoundSettled: _round_settled,
    ev.RoundVoided: _round_voided,
    ev.TrainerEquivocated: _trainer_equivocated,
}
