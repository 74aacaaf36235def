"""Money, stakes and memory of the vectorised ledger outside of its rounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.contracts.relay import RULES

from derelayl_protocol.errors import LocalFault, RuleViolation
from derelayl_protocol.types import Wei
from derelayl_simulations.ledger import (
    MAX_MONEY_WEI,
    NOBODY,
    Bids,
    Book,
    buy_access,
    collect,
    draw_luck,
    match,
    settle,
)
from derelayl_simulations.ledger.arithmetic import portion, share

Ints = NDArray[np.int64]


def only(book: Book, amounts: dict[tuple[int, int], int]) -> Ints:
    """An (R, A) array with these entries."""
    array = np.zeros(book.free.shape, np.int64)
    for place, amount in amounts.items():
        array[place] = amount
    return array


@pytest.mark.parametrize(
    ("relays", "accounts", "more"),
    [(0, 5, {}), (5, 0, {}), (10_000, 10_000, {}), (1, 3, {"genesis_owner": 3}), (2, 2, {"budget": MAX_MONEY_WEI})],
)
def test_a_size_or_a_sum_that_does_not_fit_is_refused(relays: int, accounts: int, more: dict[str, int]) -> None:
    with pytest.raises(LocalFault, match="allowed"):
        Book.open(RULES, relays, accounts, **more)


def test_rules_out_of_bounds_and_rules_too_large_for_64_bits_are_refused() -> None:
    with pytest.raises(RuleViolation, match="legs_per_tip"):
        Book.open(replace(RULES, legs_per_tip=0), 1, 1)
    with pytest.raises(LocalFault, match="emission"):
        Book.open(replace(RULES, emission=Wei(2**80)), 1, 1)


def test_a_deposit_beyond_64_bits_is_refused_and_leaves_the_book_as_it_was() -> None:
    book = Book.open(RULES, 2, 2, free=5)
    with pytest.raises(LocalFault, match="what the relays hold together"):
        book.deposit(np.full((2, 2), 2**62))
    assert book.free.tolist() == [[5, 5], [5, 5]]


def test_what_is_not_covered_is_left_out_and_the_rest_is_done() -> None:
    book = Book.open(RULES, 2, 2, free=5)
    asked = np.array([[6, 5], [0, 2]])
    assert book.withdraw(asked).tolist() == [[False, True], [False, True]]
    assert book.fund(np.array([[5, 1], [6, 3]])).tolist() == [[True, False], [False, True]]
    assert book.free.tolist() == [[0, 0], [5, 0]]
    assert book.budget.tolist() == [5, 3]
    assert book.total().sum() == book.deposited == 13


def test_the_last_validator_moves_into_the_place_of_who_leaves() -> None:
    book = Book.open(RULES, 1, 5, free=1000)
    book.add_stake(np.full((1, 5), 1000))
    book.unstake(np.array([[True, False, False, True, False]]), now=0)
    assert book.validators[0].tolist() == [4, 1, 2, NOBODY, NOBODY]
    assert book.validator_place[0].tolist() == [NOBODY, 1, 2, NOBODY, 0]
    assert book.unbonding[0].tolist() == [1000, 0, 0, 1000, 0]
    assert not book.release(np.ones((1, 5), np.bool_), now=RULES.unbonding_seconds - 1).any()
    assert book.release(np.ones((1, 5), np.bool_), now=RULES.unbonding_seconds).sum() == 2


def test_an_account_with_two_bids_in_a_relay_is_a_mistake_of_the_caller() -> None:
    book = Book.open(RULES, 1, 4, free=1000)
    bids = Bids(np.array([[1, 1]]), np.array([[20, 30]]))
    with pytest.raises(AssertionError, match="bids once"):
        match(book, bids, np.zeros((1, 1), np.bool_), draw_luck(np.random.default_rng(0), 1, 2))


def test_a_score_beyond_the_bounds_is_a_mistake_of_the_caller() -> None:
    book, leases = leased(np.random.default_rng(0))
    everyone = np.ones(leases.seats.shape, np.bool_)
    with pytest.raises(AssertionError, match="MAX_SCORE_PPM"):
        settle(book, leases, leases.is_leg, everyone, everyone, np.full((1, 3, 2), 10**9))


def leased(rng: np.random.Generator, rounds: int = 0):  # type: ignore[no-untyped-def]
    """A relay of four trainers and four validators with a matched round, after so many settled ones."""
    book = Book.open(replace(RULES, access_fee=Wei(101)), 1, 8, budget=10**6, free=10**5)
    book.add_stake(only(book, {(0, account): 5000 for account in range(4, 8)}))
    bids = Bids(np.array([[1, 2]]), np.array([[20, 30]]))
    for number in range(rounds + 1):
        leases = match(book, bids, np.ones(book.tips.shape, np.bool_), draw_luck(rng, 1, 2))
        if number < rounds:
            everyone = np.ones(leases.seats.shape, np.bool_)
            scores = np.tile(5000 - 100 * np.arange(leases.trainer.shape[1]), (1, 3, 1))
            settle(book, leases, leases.is_leg, everyone, everyone, scores)
    return book, leases


def test_forgetting_changes_nothing_that_can_still_be_paid() -> None:
    book, _ = leased(np.random.default_rng(1), rounds=40)
    collect(book, np.array([book.tips[0, 0]]))
    before, total, count = book.checkpoints.pending.copy(), book.total(), book.checkpoints.count
    parents, scores = book.checkpoints.parent[book.tips[0]], book.checkpoints.score[book.tips[0]]
    renumbered = book.forget()
    assert book.checkpoints.count <= count
    assert renumbered[NOBODY] == NOBODY
    assert book.total().tolist() == total.tolist()
    kept = renumbered[:-1] != NOBODY
    assert before[kept].tolist() == book.checkpoints.pending.tolist()
    assert not before[~kept].any()
    assert book.checkpoints.parent[book.tips[0]].tolist() == renumbered[parents].tolist()
    assert book.checkpoints.score[book.tips[0]].tolist() == scores.tolist()


def test_dead_branches_are_forgotten_unless_they_are_held() -> None:
    book = Book.open(RULES, 1, 2)
    none = np.zeros(1, np.int64)
    dead = book.checkpoints.add(none, none, none, none)
    alive = book.checkpoints.add(none, none + 1, none, none)
    book.tips = alive[:, None]
    renumbered = book.forget(dead)
    assert renumbered.tolist() == [0, 1, 2, NOBODY]
    assert book.forget()[dead].tolist() == [NOBODY]
    assert (book.checkpoints.count, book.tips.tolist()) == (2, [[1]])


def test_old_ancestors_are_forgotten_once_no_royalty_can_reach_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derelayl_simulations.ledger.book.KEPT_LEGS", 3)
    # 2**60 wei are halved to nothing in 61 legs.
    for gamma, kept in ((0, 1 + 3), (5000, 1 + 61), (10_000, 1 + 80)):
        book = Book.open(replace(RULES, gamma_bps=gamma), 1, 2)
        chain, none = np.zeros(1, np.int64), np.zeros(1, np.int64)
        for _ in range(80):
            chain = book.checkpoints.add(none, none, chain, none)
        book.tips = chain[:, None]
        book.forget()
        assert book.checkpoints.count == kept
        assert book.checkpoints.parent.tolist() == [NOBODY, *range(kept - 1)]


def test_access_to_a_tip_is_bought_once_and_again_to_the_next_one() -> None:
    book, leases = leased(np.random.default_rng(2))
    buyer = only(book, {}) + NOBODY
    buyer[0, 3] = 0
    assert buy_access(book, buyer).sum() == 1
    assert buy_access(book, buyer).sum() == 0
    everyone = np.ones(leases.seats.shape, np.bool_)
    settle(book, leases, leases.is_leg, everyone, everyone, np.array([[[5000, 10]] * 3]))
    assert buy_access(book, buyer).sum() == 1


@given(st.integers(0, 2**62), st.integers(0, 10_000))
def test_a_share_is_that_of_unbounded_integers(amount: int, bps: int) -> None:
    assert share(np.array([amount]), bps).tolist() == [amount * bps // 10_000]


@given(st.integers(0, 2**62), st.integers(0, 2**40 - 1), st.integers(0, 2**40 - 1))
def test_a_portion_is_that_of_unbounded_integers(amount: int, one: int, other: int) -> None:
    part, whole = sorted((one, other))
    expected = amount * part // whole if whole else 0
    assert portion(np.array([amount]), np.array([part]), np.array([whole])).tolist() == [expected]
