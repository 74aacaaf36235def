"""Copies of one training: who is whose, by majority of the committee, and what becomes of them at settlement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.contracts.relay import RULES

from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.types import UNAVAILABLE
from derelayl_simulations.ledger import Bids, Book, Leases, Outcome, draw_luck, match, settle
from derelayl_simulations.ledger.copies import classes

Ints = NDArray[np.int64]

LEGS, SEATS = 4, 3
TRUNK = replace(RULES, legs_per_tip=32, selection_bps=10_000, committee_size=SEATS, quorum=2, duplicate_bps=9_500)


def classes_of(
    *seats: Sequence[int], weight: Sequence[int] = (), revealed: Sequence[bool] = (), submitted: Sequence[bool] = ()
) -> list[int]:
    originals = np.array([seats])
    return classes(
        originals,
        np.array([weight or [1] * len(seats)]),
        np.array([revealed or [True] * len(seats)]),
        np.array([submitted or [True] * len(seats[0])]),
    )[0].tolist()


def test_more_than_half_of_the_weight_that_revealed_says_what_is_a_copy() -> None:
    own, copy = [0, 1, 2], [0, 1, 1]
    assert classes_of(own, copy, copy) == [0, 1, 1]
    assert classes_of(own, own, copy) == [0, 1, 2]
    assert classes_of(own, copy, weight=[1, 1]) == [0, 1, 2], "half is no majority"
    assert classes_of(own, copy, weight=[10, 11]) == [0, 1, 1]
    assert classes_of(own, own, copy, revealed=[False, False, True]) == [0, 1, 1]
    assert classes_of(own, copy, copy, revealed=[True, False, False]) == [0, 1, 2]
    assert classes_of([0, 1, 0], [0, 1, 1], [0, 1, 2]) == [0, 1, 2], "nobody has a majority"


def test_a_copy_of_a_copy_is_of_the_same_class() -> None:
    assert classes_of([0, 0, 1, 2, 3, 5]) == [0, 0, 0, 0, 0, 5]


def test_legs_that_were_not_submitted_are_not_looked_at() -> None:
    assert classes_of([0, 0, 0], submitted=[True, False, True]) == [0, 1, 0]


@pytest.mark.parametrize("named", [[0, 2, 2], [0, -1, 2], [0, 1, 1]])
def test_an_original_that_is_none_is_a_mistake_of_the_caller(named: list[int]) -> None:
    with pytest.raises(AssertionError, match="original"):
        classes_of(named, submitted=[True, named[1] != 1, True])


def settled(
    rules: Rules, scores: Sequence[int], originals: Sequence[int] | None, child: Sequence[int] | None = None
) -> tuple[Book, Leases, Outcome]:
    """One round of a relay with a leg for each score, all seats of one mind."""
    book = Book.open(rules, 1, LEGS + SEATS + 1, budget=10**7, free=10**5)
    stakes = np.zeros(book.free.shape, np.int64)
    stakes[0, LEGS + 1 :] = 5000
    book.add_stake(stakes)
    bids = Bids(np.arange(1, LEGS + 1)[None], np.array([[50, 40, 30, 20]]))
    leases = match(book, bids, np.zeros((1, 1), np.bool_), draw_luck(np.random.default_rng(0), 1, LEGS))
    everyone = np.ones((1, SEATS), np.bool_)
    named = None if originals is None else np.tile(originals, (1, SEATS, 1))
    given = np.tile(scores, (1, SEATS, 1))
    twins = None if child is None else np.array([child])
    return book, leases, settle(book, leases, leases.is_leg, everyone, everyone, given, twins, named)


def test_of_a_class_only_the_best_is_selected_and_the_others_lose_their_bonds() -> None:
    _, leases, outcome = settled(TRUNK, [2000, 3000, 4000, 5000], [0, 0, 0, 3])
    assert outcome.selected[0].tolist() == [False, False, True, True]
    assert outcome.forfeited[0].tolist() == [leases.bid[0, 0], leases.bid[0, 0], 0, 0]


def test_of_equally_good_copies_the_first_is_selected() -> None:
    assert settled(TRUNK, [5000] * 4, [0, 1, 1, 0])[2].selected[0].tolist() == [True, True, False, False]


def test_a_copy_steps_in_for_an_original_that_is_out_of_question() -> None:
    assert settled(TRUNK, [UNAVAILABLE, 900, 5000, 0], [0, 1, 1, 3])[2].selected[0].tolist() == [
        False,
        False,
        True,
        False,
    ]


def test_copies_make_no_room_for_more_selected_legs() -> None:
    half = replace(TRUNK, selection_bps=5_000)
    assert settled(half, [5000, 4000, 3000, 2000], None)[2].selected[0].tolist() == [True, True, False, False]
    assert settled(half, [5000, 4000, 3000, 2000], [0, 1, 1, 1])[2].selected[0].tolist() == [True, False, False, False]


def test_a_copy_that_is_passed_over_frees_the_place_for_the_next_in_order() -> None:
    most = replace(TRUNK, selection_bps=7_000)
    assert settled(most, [5000, 4000, 3000, 2000], [0, 0, 2, 3])[2].selected[0].tolist() == [True, False, True, False]


def test_a_leg_that_only_one_passed_over_is_like_is_selected() -> None:
    """1 names the child of 0, and 2 is a copy of 1: 1 is passed over, so 2 is the first of its class."""
    outcome = settled(TRUNK, [5000, 4000, 3000, 2000], [0, 1, 1, 1], child=[7, 7, 8, 9])[2]
    assert outcome.selected[0].tolist() == [True, False, True, False]


def test_rules_that_let_copies_be_look_at_no_originals() -> None:
    open_rules = replace(TRUNK, duplicate_bps=0)
    assert settled(open_rules, [5000, 4000, 3000, 2000], [0, 0, 0, 0])[2].selected.all()


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_copies_are_paid_no_more_together_than_their_original_alone(copies: int) -> None:
    scores = [5000, *[4000] * copies, *[3000] * (3 - copies)]
    alone = settled(TRUNK, scores[:1] + [0] * copies + scores[1 + copies :], None)[2]
    together = settled(TRUNK, scores, [*[0] * (1 + copies), *range(1 + copies, LEGS)])[2]
    assert together.selected[0, : 1 + copies].sum() == 1
    assert together.reward[0, : 1 + copies].sum() <= alone.reward[0, 0]
