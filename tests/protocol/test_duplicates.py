"""Duplicates in function: what seats may name, and what the ledger makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.errors import LocalFault, Reason, RuleViolation
from derelayl_protocol.ledger.duplicates import check_originals, classes, classes_of, decode_originals, encode_originals
from derelayl_protocol.ledger.settlement import settle
from derelayl_protocol.ledger.state import LegEntry, SeatEntry
from derelayl_protocol.types import NO_ROOT, WHOLE_MODEL, Address, Ppm, Wei

from .relay import GENESIS, JUDGES, OWNER, RULES, address, root, with_rules

BOND = 100


def leg(number: int, *, submitted: bool = True, deposit: int = 5) -> LegEntry:
    child = root(f"child {number}") if submitted else NO_ROOT
    return LegEntry(address(100 + number), GENESIS, OWNER, WHOLE_MODEL, Wei(BOND), Wei(deposit), child)


def named(*votes: tuple[int, tuple[int, ...]]) -> list[tuple[tuple[int, ...], Wei]]:
    return [(originals, Wei(weight)) for weight, originals in votes]


def seat(judge: Address, scores: list[int], originals: list[int], weight: int = 1_000) -> SeatEntry:
    return SeatEntry(judge, Wei(weight), bytes(32), tuple(map(Ppm, scores)), tuple(originals))


@pytest.mark.parametrize(
    "originals",
    [
        pytest.param((0, 1), id="too few"),
        pytest.param((0, 1, 2, 3), id="too many"),
        pytest.param((0, 2, 2), id="a later leg"),
        pytest.param((-1, 1, 2), id="negative"),
        pytest.param((0, 1, 1), id="one that was not submitted"),
        pytest.param((0, 0, 2), id="of one that was not submitted"),
    ],
)
def test_originals_that_name_no_submitted_leg_up_to_their_own_are_refused(originals: tuple[int, ...]) -> None:
    legs = [leg(0), leg(1, submitted=False), leg(2)]
    for allowed in ((0, 1, 2), (0, 1, 0)):
        check_originals(allowed, legs)
    with pytest.raises(RuleViolation) as refusal:
        check_originals(originals, legs)
    assert refusal.value.reason == Reason.BAD_SCORES


@pytest.mark.parametrize("originals", [(0,) * 33, (256,), (-1,)])
def test_what_no_word_can_hold_is_no_message(originals: tuple[int, ...]) -> None:
    with pytest.raises(LocalFault):
        encode_originals(originals)


def test_a_word_has_a_byte_for_each_leg_and_zeros_behind() -> None:
    assert encode_originals((0, 0, 2)) == bytes([0, 0, 2]) + bytes(29)
    assert encode_originals(()) == bytes(32)
    assert decode_originals(encode_originals((0, 0, 2)), 3) == (0, 0, 2)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        pytest.param(named((1, (0, 0, 1))), (0, 0, 0), id="the class of a class"),
        pytest.param(named((1, (0, 0, 2)), (1, (0, 1, 2))), (0, 1, 2), id="half of the weight is not enough"),
        pytest.param(named((2, (0, 0, 2)), (1, (0, 1, 2))), (0, 0, 2), id="more than half is"),
        pytest.param(named((1, (0, 1, 0)), (1, (0, 1, 1)), (1, (0, 1, 2))), (0, 1, 2), id="no leg has a majority"),
        pytest.param(named((1, (0, 1, 0)), (1, (0, 1, 0)), (1, (0, 1, 1))), (0, 1, 0), id="one of two has it"),
        pytest.param(named((1, (0, 1, 1)), (1, (0, 1, 1)), (1, (0, 0, 2))), (0, 1, 1), id="others have another"),
        pytest.param([], (0, 1, 2), id="nobody revealed"),
    ],
)
def test_the_class_of_a_leg_is_what_more_than_half_of_the_weight_says(
    votes: list[tuple[tuple[int, ...], Wei]], expected: tuple[int, ...]
) -> None:
    assert classes(RULES, votes, 3) == expected


def test_a_model_that_asks_for_no_originals_has_no_duplicates() -> None:
    assert classes(with_rules(duplicate_bps=0), named((1, (0, 0, 0))), 3) == (0, 1, 2)


def test_a_silent_seat_has_no_part_in_the_majority() -> None:
    silent = SeatEntry(JUDGES[1], Wei(5_000), bytes(32))
    assert classes_of(RULES, [leg(0), leg(1)], [seat(JUDGES[0], [1, 1], [0, 0]), silent]) == (0, 0)


def test_a_copy_takes_its_own_place_from_nobody() -> None:
    """Of four legs two are selected; a copy of the best neither makes room nor takes it."""
    legs = [leg(number) for number in range(5)]
    committee = [seat(judge, [9_000, 9_000, 8_000, 7_000, 6_000], [0, 0, 2, 3, 4]) for judge in JUDGES[:3]]
    outcome = settle(
        RULES,
        legs,
        committee,
        stakes=dict.fromkeys(JUDGES, Wei(1_000)),
        checkpoints={GENESIS},
        carry=Wei(0),
        budget=Wei(0),
        settled_rounds=0,
    )
    assert outcome.selected == (0, 2)
    assert outcome.legs[1].forfeited == BOND + 5


SCORES = st.sampled_from([500, 1_000, 1_400, 2_000, 9_999])


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """Scores of some different legs, where copies of one of them are put in, and which one it is."""
    scores = draw(st.lists(SCORES, min_size=1, max_size=6))
    chosen = draw(st.integers(0, len(scores) - 1))
    places = draw(st.lists(st.integers(0, len(scores)), max_size=4))
    return scores, sorted(places), chosen


@given(rounds(), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 5), st.integers(1, 10_000))
def test_adding_copies_of_a_leg_never_raises_what_its_class_is_paid(
    entry: tuple[list[int], list[int], int], carry: int, budget: int, deposit: int, selection_bps: int
) -> None:
    """Paid together, net of the bonds that are lost; whatever the legs' numbers are, for those decide ties."""
    scores, places, chosen = entry
    rules = with_rules(selection_bps=selection_bps)

    def gained(kinds: list[int]) -> int:
        """What the legs of the chosen kind are paid together, in a round of legs of these kinds."""
        originals = [kinds.index(kind) for kind in kinds]
        legs = [leg(number, deposit=deposit) for number in range(len(kinds))]
        outcome = settle(
            rules,
            legs,
            [seat(judge, [scores[kind] for kind in kinds], originals) for judge in JUDGES[:3]],
            stakes=dict.fromkeys(JUDGES, Wei(1_000)),
            checkpoints={GENESIS},
            carry=Wei(carry),
            budget=Wei(budget),
            settled_rounds=0,
        )
        paid = zip(kinds, outcome.legs, strict=True)
        return sum(one.reward + one.bid_returned - BOND for kind, one in paid if kind == chosen)

    alone = list(range(len(scores)))
    several = list(alone)
    for place in reversed(places):
        several.insert(place, chosen)
    first = several.index(chosen)
    behind = [kind for place, kind in enumerate(several) if kind != chosen or place == first]
    assert gained(several) <= max(gained(behind), gained(alone))
