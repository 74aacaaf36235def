"""Selection: how each leg of a round ended. Source: docs/PROTOCOL.md section 4, Settlement and Void.

The one place that decides it: the settlement pays by it, the statement explains by it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from enum import StrEnum
from typing import Protocol

from ..limits import BPS
from ..types import UNAVAILABLE, Ppm, Root
from .rules import Rules


class LegEnding(StrEnum):
    """How a leg ended. The values are the words of sentences, API, reports and pages."""

    SELECTED = "selected"  # its child is a checkpoint
    EXPIRED = "expired"  # nothing was submitted before the deadline
    EQUIVOCATED = "equivocated"  # its trainer signed two children under the lease
    UNAVAILABLE = "unavailable"  # the committee could not fetch or check the child
    INSUFFICIENT = "insufficient"  # its score is under the margin
    OUTRANKED = "outranked"  # as many legs as may be selected rank higher
    DUPLICATE = "duplicate"  # its child was a checkpoint already, or a leg of its class or with its child is selected
    VOIDED = "voided"  # its round ended without a settlement


class Leg(Protocol):
    """What selection must know of a leg beside its score."""

    @property
    def child(self) -> Root:
        """What it handed over."""

    @property
    def submitted(self) -> bool:
        """Whether it handed anything over."""

    @property
    def disqualified(self) -> bool:
        """Whether its trainer was caught signing two children."""


def ranked(legs: Mapping[int, Leg], scores: Mapping[int, Ppm]) -> tuple[int, ...]:
    """Rank the submitted legs by number: score descending, then number ascending."""
    submitted = (number for number, leg in legs.items() if leg.submitted)
    return tuple(sorted(submitted, key=lambda number: (-scores[number], number)))


def judged(
    rules: Rules,
    legs: Mapping[int, Leg],
    scores: Mapping[int, Ppm],
    classes: Mapping[int, int],
    checkpoints: Container[Root],
) -> dict[int, LegEnding]:
    """Go down the ranking of a round that is settled: the endings of submitted legs by number, in that order.

    `classes` are those of `duplicates`, by leg; `checkpoints` are the roots that the model had before.
    """
    order = ranked(legs, scores)
    most = max(1, len({classes[number] for number in order}) * rules.selection_bps // BPS)
    chosen: set[Root] = set()
    taken: set[int] = set()
    endings: dict[int, LegEnding] = {}
    for number in order:
        leg, score = legs[number], scores[number]
        if leg.disqualified:
            ending = LegEnding.EQUIVOCATED
        elif score == UNAVAILABLE:
            ending = LegEnding.UNAVAILABLE
        elif score < rules.margin_ppm:
            ending = LegEnding.INSUFFICIENT
        elif len(chosen) == most:
            ending = LegEnding.OUTRANKED
        elif leg.child in checkpoints or leg.child in chosen or classes[number] in taken:
            ending = LegEnding.DUPLICATE
        else:
            ending = LegEnding.SELECTED
            chosen.add(leg.child)
            taken.add(classes[number])
        endings[number] = ending
    return endings


def unjudged(leg: Leg) -> LegEnding:
    """Tell how a leg ended that no committee judged: it was not submitted, or its round was voided."""
    if not leg.submitted:
        return LegEnding.EXPIRED
    return LegEnding.EQUIVOCATED if leg.disqualified else LegEnding.VOIDED
