"""What anyone can make of a round's tips without training: a child is worth what it has above the best of it.

Source: docs/PROTOCOL.md section 4 (Scores).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from derelayl_protocol.types import WHOLE_MODEL

MAX_BAR_TIPS = 6
"""Tips that the bar is made of, the first ones in order: with one leased tip at most 20 things to measure, fewer than
the legs of a full round. An average of later tips still scores against those of the first."""

EVERY_SUBSET = 4
"""Up to so many tips the average of every subset is measured: eleven. One more tip would double that."""

MAX_CANDIDATES = 19
"""Things measured for one bar beside the leased tips: what one leased tip can have; more leased tips share it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One tip, the plain average of several, or the first of two with the second's `segment`: by their places.

    What cannot be averaged, integers, is the tip's at `base`.
    """

    tips: tuple[int, ...]
    segment: int = WHOLE_MODEL
    base: int = field(default=0, compare=False)


def candidates(segments: Sequence[int], leased: Sequence[int]) -> tuple[Candidate, ...]:
    """Name what the bar is the best of, the leased tips first.

    `segments[i]` is what the tip at place i has trained, places in order of the tips; `leased` are places.
    """
    found = dict.fromkeys(Candidate((parent,), base=parent) for parent in leased)
    for parent in leased:
        found |= dict.fromkeys(_of_one_lease(segments, parent))
    return tuple(found)[: len(leased) + MAX_CANDIDATES]


def _of_one_lease(segments: Sequence[int], parent: int) -> Iterator[Candidate]:
    others = [place for place in range(len(segments)) if place != parent][: MAX_BAR_TIPS - 1]
    tips = [parent, *others]
    groups: list[Sequence[int]] = [[place] for place in others]
    if len(tips) <= EVERY_SUBSET:
        groups += [group for size in range(2, len(tips) + 1) for group in combinations(tips, size)]
    else:
        groups += [[parent, place] for place in others]
        groups += [tips[:size] for size in range(3, len(tips) + 1)]
    for group in groups:
        yield Candidate(tuple(sorted(group)), base=parent)
    for place in others:
        if segments[place] not in (WHOLE_MODEL, segments[parent]):
            yield Candidate((parent, place), segments[place], base=parent)
