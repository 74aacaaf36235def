"""Why a leg, a seat or a round came to nothing, in words."""

from __future__ import annotations

from ..ledger.phases import VoidReason
from ..ledger.selection import LegEnding
from ..types import WHOLE_MODEL, Address
from .story import Story
from .words import ppm, short

VOIDED = {
    VoidReason.COMMITTEE_TOO_SMALL: "fewer validators could be seated than the quorum",
    VoidReason.NOTHING_SUBMITTED: "no leg was submitted in time",
    VoidReason.TOO_FEW_COMMITS: "fewer seats committed than the quorum",
    VoidReason.TOO_FEW_REVEALS: "fewer seats revealed than the quorum",
}
"""Why a round ended without a settlement."""


def void_of(story: Story) -> str:
    """What ended a voided round."""
    return f"round {story.number} was voided{_why_void(story)}"


def leg_name(story: Story, number: int) -> str:
    """A leg by its child, or by its number if there is none."""
    leg = story.legs[number]
    return f"leg {short(leg.child)}" if leg.submitted else f"leg {number} of round {story.number}"


def segment(number: int) -> str:
    """What a leg trains."""
    return "the whole model" if number == WHOLE_MODEL else f"segment {number}"


def of_leg(story: Story, number: int) -> str:
    """How a leg that was not selected ended, and why."""
    ending, name = story.endings()[number], leg_name(story, number)
    if ending is LegEnding.EXPIRED:
        return f"{name} {ending}: nothing was submitted in time"
    if ending is LegEnding.VOIDED:
        return f"{name} was {ending} with round {story.number}{_why_void(story)}"
    return f"{name} was not selected ({ending}): {_judgement(story, number, ending)}"


def of_seat(story: Story, validator: Address, *, has_stake: bool) -> str:
    """Why the seat of a settled round was neither paid nor charged nor slashed."""
    if validator not in story.revealed:
        silence = "did not reveal your scores" if validator in story.committed else "committed to no scores"
        return f"you {silence} in round {story.number}: nothing is paid, and there was nothing to slash"
    if story.submitted <= 1:
        return f"round {story.number} had a single submitted leg, so there is no other to compare with: nobody is paid"
    if len(story.revealed) == 1:
        return f"you alone revealed in round {story.number}: there is nobody to agree with, so nothing is paid"
    if story.seat_share == 0:
        return f"the pot of round {story.number} left nothing for validators"
    if not has_stake:
        return f"your scores in round {story.number} earned nothing, and your stake is empty: nothing to charge"
    return (
        f"your scores in round {story.number} fitted the right legs no better than all legs:"
        " an agreement of 0 ppm, or one worth less than a wei, earns nothing"
    )


# --- Inside -----------------------------------------------------------------------------------------------------------


def _why_void(story: Story) -> str:
    return "" if story.voided is None else f": {VOIDED[story.voided.reason]}"


def _judgement(story: Story, number: int, ending: LegEnding) -> str:
    score = ppm(story.legs[number].score)
    if ending is LegEnding.EQUIVOCATED:
        return "its trainer had signed two children under the lease"
    if ending is LegEnding.UNAVAILABLE:
        return "the committee could not fetch it, or it did not fit its lease or gave no finite loss"
    if ending is LegEnding.INSUFFICIENT:
        return f"score {score}, margin {ppm(story.rules.margin_ppm)}"
    if ending is LegEnding.OUTRANKED:
        cut_off = story.cut_off()
        tie = ", where of equal scores the lower leg number goes first" if story.legs[number].score == cut_off else ""
        return f"score {score}, cut-off {ppm(cut_off)}{tie}"
    twin, double = story.twin(number), story.double(number)
    if twin is not None:
        return f"score {score}, but leg {twin} brought the same child and ranks higher"
    if double is not None:
        return f"score {score}, but leg {double} ranks higher and changes the model in the same way"
    return f"score {score}, but its child was a checkpoint already"
