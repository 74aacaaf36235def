"""A trunk, its fall-back and one bond for all on the vectorised ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tests.contracts.relay import RULES

from derelayl_simulations.ledger import NOBODY, Bids, Book, Ending, Leases, draw_luck, match, report_trainers, settle

TRUNK = replace(RULES, legs_per_tip=32, selection_bps=10_000, committee_size=3, quorum=2)
ACCOUNTS, VALIDATORS = 12, 4
BIDS = ((1, 50), (2, 40), (3, 30), (4, 20))


def opened(rules=TRUNK, relays: int = 1) -> Book:  # type: ignore[no-untyped-def]
    book = Book.open(rules, relays, ACCOUNTS, budget=10**7, free=10**5)
    stakes = np.zeros(book.free.shape, np.int64)
    stakes[:, ACCOUNTS - VALIDATORS :] = 5000
    book.add_stake(stakes)
    return book


def leased(book: Book, bids: Sequence[tuple[int, int]] = BIDS, offered: bool = True) -> Leases:
    each = np.array(bids).T
    many = Bids(np.tile(each[0], (book.relays, 1)), np.tile(each[1], (book.relays, 1)))
    luck = draw_luck(np.random.default_rng(0), book.relays, len(bids))
    return match(book, many, np.full(book.tips.shape, offered), luck)


def ended(book: Book, leases: Leases, came: Sequence[bool], gain: int = 5000, judges: bool = True):  # type: ignore[no-untyped-def]
    """Let these legs come in, better ones first."""
    legs = leases.trainer.shape[1]
    scores = np.broadcast_to(gain - 100 * np.arange(legs), (book.relays, leases.seats.shape[1], legs)).copy()
    everyone = np.full(leases.seats.shape, judges)
    submitted = np.tile(np.array(came, np.bool_), (book.relays, 1))
    return settle(book, leases, submitted, everyone, everyone, scores)


def parted(book: Book) -> None:
    """Play a round with two selected children of accounts 1 and 2, so that there are two tips."""
    ended(book, leased(book, BIDS[:2]), [True, True])
    assert (book.tips != NOBODY).sum(axis=1).tolist() == [2] * book.relays


def test_all_legs_continue_the_first_tip() -> None:
    book = opened()
    parted(book)
    best = book.tips[0, 0]
    leases = leased(book, [(account, 20) for account in range(3, 7)])
    assert leases.parent[0].tolist() == [best] * 4
    assert leases.owner[0].tolist() == [1] * 4


def test_every_bond_is_the_lowest_bid_with_a_leg_and_the_rest_returns_at_once() -> None:
    book = opened(replace(TRUNK, legs_per_tip=3))
    before = book.free.copy()
    leases = leased(book)
    assert leases.bid[0].tolist() == [30] * 3
    assert (before - book.free)[0, 1:5].tolist() == [30, 30, 30, 0]
    assert book.total().tolist() == [10**7 + ACCOUNTS * 10**5]
    outcome = ended(book, leases, [True, True, False])
    assert outcome.bid_returned[0].tolist() == [30, 30, 0]
    assert outcome.forfeited[0].tolist() == [0, 0, 30]


def test_an_equivocator_loses_the_bond_and_not_what_was_bid_above_it() -> None:
    book = opened()
    leases = leased(book)
    before = book.free[0, 1]
    report_trainers(book, leases, np.array([[5, NOBODY, NOBODY, NOBODY]]))
    assert leases.bid[0].tolist() == [0, 20, 20, 20]
    assert book.free[0, 1] == before
    assert book.free[0, 5] == 10**5 + 20 * TRUNK.reporter_bps // 10_000


def test_a_tip_that_most_legs_did_not_come_in_for_is_last_in_the_next_order() -> None:
    book = opened()
    parted(book)
    first, second = book.tips[0]
    for came, stalled in (([True, True, False, False], False), ([True, False, False, False], True)):
        leases = leased(book, [(account, 20) for account in range(3, 7)])
        assert set(leases.parent[0].tolist()) == {first}
        ended(book, leases, came, judges=False)
        assert book.stalled[0].tolist() == [stalled, False]
    assert leased(book, BIDS[2:]).parent[0].tolist() == [second] * 2


def test_a_stalled_tip_comes_last_even_if_only_it_is_offered() -> None:
    book = opened()
    parted(book)
    second = book.tips[0, 1]
    ended(book, leased(book, BIDS[2:]), [False, False])
    luck = draw_luck(np.random.default_rng(0), 1, 1)
    leases = match(book, Bids(np.array([[3]]), np.array([[20]])), np.array([[True, False]]), luck)
    assert leases.parent[0].tolist() == [second]


def test_a_settlement_that_selects_nothing_marks_the_tips_and_one_that_does_not_begin_changes_nothing() -> None:
    book = opened()
    parted(book)
    outcome = ended(book, leased(book, (*BIDS[2:], (5, 20))), [True, False, False], gain=-1000)
    assert outcome.ending[0] == Ending.SETTLED
    assert book.stalled[0].tolist() == [True, False]
    book.unstake(np.tile(np.arange(ACCOUNTS) >= ACCOUNTS - 3, (1, 1)), now=0)
    leases = leased(book, BIDS[2:])
    assert ended(book, leases, []).ending[0] == Ending.COMMITTEE_TOO_SMALL
    assert book.stalled[0].tolist() == [True, False]


def test_where_every_tip_is_stalled_none_is() -> None:
    book = opened()
    parted(book)
    for expected in ([True, False], [False, False]):
        ended(book, leased(book, BIDS[2:]), [False, False])
        assert book.stalled[0].tolist() == expected


def test_a_tip_without_legs_keeps_its_mark_and_new_tips_have_none() -> None:
    book = opened()
    ended(book, leased(book, BIDS[:3]), [True] * 3)
    assert book.tips.shape == (1, 3)
    for expected in ([True, False, False], [True, True, False]):
        ended(book, leased(book, BIDS[3:]), [False])
        assert book.stalled[0].tolist() == expected
    ended(book, leased(book, BIDS[3:]), [True])
    assert book.stalled.tolist() == [[False]]


def test_relays_that_settle_lose_their_marks_while_others_keep_theirs() -> None:
    book = opened(relays=2)
    parted(book)
    ended(book, leased(book, BIDS[2:]), [False, False])
    leases = leased(book, BIDS[2:])
    came = np.array([[True, True], [False, False]])
    everyone = np.ones(leases.seats.shape, np.bool_)
    settle(book, leases, came, everyone, everyone, np.full((2, 3, 2), 5000))
    assert book.stalled.tolist() == [[False, False], [False, False]]
    assert (book.tips != NOBODY).sum(axis=1).tolist() == [2, 2]
