"""Selection: how each leg of a round ended, the reasons in the order in which they decide."""

from __future__ import annotations

import pytest

from derelayl_protocol.ledger.selection import LegEnding, judged, ranked, unjudged
from derelayl_protocol.ledger.state import LegEntry
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, Ppm, Root, Wei

from .relay import GENESIS, OWNER, TRAINERS, root, with_rules

RULES = with_rules(selection_bps=5_000)


def leg(child: str | None, bid: int = 100) -> LegEntry:
    handed_over = NO_ROOT if child is None else root(child)
    return LegEntry(TRAINERS[0], GENESIS, OWNER, 0, Wei(bid), Wei(0), handed_over)


def endings(
    *legs: tuple[LegEntry, int], known: tuple[Root, ...] = (GENESIS,), classes: tuple[int, ...] | None = None
) -> dict[int, LegEnding]:
    scores = {number: Ppm(score) for number, (_, score) in enumerate(legs)}
    alike = dict(enumerate(range(len(legs)) if classes is None else classes))
    return judged(RULES, {number: one for number, (one, _) in enumerate(legs)}, scores, alike, known)


@pytest.mark.parametrize(
    ("one", "score", "ending"),
    [
        (leg("a", bid=0), UNAVAILABLE, LegEnding.EQUIVOCATED),
        (leg("a", bid=0), 9_000, LegEnding.EQUIVOCATED),
        (leg("a"), UNAVAILABLE, LegEnding.UNAVAILABLE),
        (leg("a"), RULES.margin_ppm - 1, LegEnding.INSUFFICIENT),
        (leg("known"), RULES.margin_ppm, LegEnding.DUPLICATE),
        (leg("a"), RULES.margin_ppm, LegEnding.SELECTED),
    ],
)
def test_what_is_wrong_with_a_leg_decides_before_what_it_scored(one: LegEntry, score: int, ending: LegEnding) -> None:
    assert endings((one, score), known=(GENESIS, root("known"))) == {0: ending}


def test_a_leg_that_is_passed_over_takes_no_place() -> None:
    found = endings(
        (leg("a", bid=0), 9_000), (leg("b"), 8_000), (leg("b"), 7_000), (leg("c"), 6_000), (leg("d"), 5_000)
    )
    assert list(found.values()) == [
        LegEnding.EQUIVOCATED,
        LegEnding.SELECTED,
        LegEnding.DUPLICATE,
        LegEnding.SELECTED,
        LegEnding.OUTRANKED,
    ]


def test_a_leg_of_a_class_that_has_a_selected_one_is_passed_over() -> None:
    legs = [(leg(str(number)), 9_000 - number) for number in range(6)]
    assert list(endings(*legs, classes=(0, 0, 2, 3, 4, 0)).values()) == [
        LegEnding.SELECTED,
        LegEnding.DUPLICATE,
        LegEnding.SELECTED,
        LegEnding.OUTRANKED,  # half of four classes are selected, not half of six legs: copies make no room
        LegEnding.OUTRANKED,
        LegEnding.OUTRANKED,
    ]


def test_a_class_whose_first_leg_is_ruled_out_still_has_its_others() -> None:
    legs = [(leg("a", bid=0), 9_000), (leg("b"), 8_000), (leg("c"), 7_000), (leg("d"), 6_000), (leg("e"), 5_000)]
    found = endings(*legs, classes=(0, 0, 0, 3, 4))
    assert [number for number, ending in found.items() if ending is LegEnding.SELECTED] == [1]
    wider = endings(*legs, (leg("f"), 4_000), classes=(0, 0, 0, 3, 4, 5))
    assert [number for number, ending in wider.items() if ending is LegEnding.SELECTED] == [1, 3]


def test_the_endings_come_in_the_order_of_the_ranking_and_leave_out_what_was_not_submitted() -> None:
    legs = [(leg("a"), 2_000), (leg(None), UNAVAILABLE), (leg("b"), 3_000), (leg("c"), 2_000)]
    assert list(endings(*legs)) == [2, 0, 3]
    by_number = {number: one for number, (one, _) in enumerate(legs)}
    assert ranked(by_number, {number: Ppm(score) for number, (_, score) in enumerate(legs)}) == (2, 0, 3)


@pytest.mark.parametrize(
    ("one", "ending"),
    [
        (leg(None), LegEnding.EXPIRED),
        (leg(None, bid=0), LegEnding.EXPIRED),
        (leg("a", bid=0), LegEnding.EQUIVOCATED),
        (leg("a"), LegEnding.VOIDED),
    ],
)
def test_a_leg_that_nobody_judged_expired_equivocated_or_was_voided(one: LegEntry, ending: LegEnding) -> None:
    assert unjudged(one) is ending
