"""What the events tell of one round: who was in it, what was asked of them, and why it ended as it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..ledger import events as ev
from ..ledger.rules import Rules
from ..limits import BPS
from ..types import NO_ROOT, UNAVAILABLE, Address, ModelId, Ppm, Root, Wei

NOTHING = Wei(0)


class Verdict(StrEnum):
    """Why a leg was selected or was not."""

    SELECTED = "selected"
    NOT_SUBMITTED = "nothing was submitted"
    EQUIVOCATED = "its trainer signed two children"
    UNAVAILABLE = "the committee could not fetch or check the child"
    UNDER_MARGIN = "under the margin"
    BELOW_CUT_OFF = "below the cut-off"
    KNOWN_CHILD = "the child was a checkpoint already"
    VOIDED = "the round was voided"


@dataclass(slots=True)
class LegStory:
    """A lease and what became of it; `bid` is 0 once its trainer was caught signing two children."""

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
    def equivocated(self) -> bool:
        return self.bid == 0

    @property
    def score(self) -> Ppm:
        return UNAVAILABLE if self.settled is None else self.settled.score


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
    revealed: set[Address] = field(default_factory=set)
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
        return sum(leg.score for leg in self.legs.values() if leg.settled is not None and leg.settled.selected)

    @property
    def seat_share(self) -> Wei:
        """The most that one seat can be paid."""
        pot = 0 if self.settled is None else self.settled.pot
        return Wei(pot * self.rules.validator_bps // BPS // len(self.seats)) if self.seats else Wei(0)

    def verdict(self, number: int) -> Verdict:
        """Why the leg was selected or was not, once the round has ended."""
        leg = self.legs[number]
        if not leg.submitted:
            return Verdict.NOT_SUBMITTED
        if self.voided is not None:
            return Verdict.EQUIVOCATED if leg.equivocated else Verdict.VOIDED
        return self._walk()[number]

    def cut_off(self) -> Ppm:
        """The score of the last leg that was selected."""
        selected = [leg.score for leg in self.legs.values() if leg.settled is not None and leg.settled.selected]
        return min(selected, default=UNAVAILABLE)

    def twin(self, number: int) -> int | None:
        """The selected leg of this round that has the same child, if there is one."""
        for other, leg in self.legs.items():
            if leg.settled is not None and leg.settled.selected and leg.child == self.legs[number].child:
                return other
        return None

    def _walk(self) -> dict[int, Verdict]:
        """Go down the ranking as the settlement does: docs/PROTOCOL.md section 4, Settlement."""
        ranking = sorted((-leg.score, number) for number, leg in self.legs.items() if leg.submitted)
        most, chosen = max(1, len(ranking) * self.rules.selection_bps // BPS), 0
        verdicts: dict[int, Verdict] = {}
        for _, number in ranking:
            leg = self.legs[number]
            if leg.settled is not None and leg.settled.selected:
                verdicts[number], chosen = Verdict.SELECTED, chosen + 1
            elif leg.equivocated:
                verdicts[number] = Verdict.EQUIVOCATED
            elif leg.score == UNAVAILABLE:
                verdicts[number] = Verdict.UNAVAILABLE
            elif leg.score < self.rules.margin_ppm:
                verdicts[number] = Verdict.UNDER_MARGIN
            else:
                verdicts[number] = Verdict.BELOW_CUT_OFF if chosen == most else Verdict.KNOWN_CHILD
        return verdicts


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
    story.revealed.add(event.validator)


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
