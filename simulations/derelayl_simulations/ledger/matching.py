"""Bids, offers, matching and the committee, for all relays at once: docs/PROTOCOL.md section 4, Bids to Committee."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from derelayl_protocol.limits import MAX_BIDS, MAX_COMMITTEE_DRAWS

from .arithmetic import Bools, Ints
from .book import Book
from .checkpoints import NOBODY
from .luck import MatchLuck
from .mechanism.port import CONTRACT, Matching, Mechanism

CLASS_BITS = 58
"""Above any sum of scores: 2e7 ppm a leg, at most 2**31 legs."""


@dataclass(frozen=True, slots=True)
class Bids:
    """Bids in the order in which they arrive, left to right; an account bids at most once in a relay."""

    account: Ints  # (R, N) NOBODY where there is no bid
    amount: Ints  # (R, N) wei


@dataclass(slots=True)
class Leases:
    """A matched round of each relay. Legs are numbered as on the ledger, padded with NOBODY and 0 to the most of all.

    A relay without a bid is idle, one without a quorum of seats void: neither has a leg or a seat, and all money is
    back. All bonds of a relay are the lowest bid that got a leg (by the contract's rule); what was bid above it is
    back. A bond of 0 means that the trainer was caught equivocating.
    """

    trainer: Ints  # (R, L) account
    bid: Ints  # (R, L) wei of the bond
    bid_column: Ints  # (R, L) where the leg's bid stands in `Bids`
    tip: Ints  # (R, L) where its parent stands in `Book.tips`
    parent: Ints  # (R, L) number of the checkpoint it continues
    owner: Ints  # (R, L) account that owns the parent
    deposit: Ints  # (R, L) wei of the owner, 0 if it has not offered
    seats: Ints  # (R, K) accounts that judge, in seat order
    weight: Ints  # (R, K) wei staked when seated
    placed: Bools  # (R, N) which bids had a place in the end: neither refused nor displaced
    offered: Bools  # (R, T) which offers were made: by `offered` of `match`, and covered
    idle: Bools  # (R,)
    void: Bools  # (R,) COMMITTEE_TOO_SMALL
    is_leg: Bools = field(init=False)  # (R, L) which entries are legs
    is_seat: Bools = field(init=False)  # (R, K) which entries are seats
    legs: tuple[Ints, Ints] = field(init=False)  # relays and numbers of all legs, flat

    def __post_init__(self) -> None:
        self.is_leg, self.is_seat = self.trainer != NOBODY, self.seats != NOBODY
        relays, numbers = np.nonzero(self.is_leg)
        self.legs = relays, numbers


def match(book: Book, bids: Bids, offered: Bools, luck: MatchLuck, mechanism: Mechanism = CONTRACT) -> Leases:
    """Take the bids, then the offers of tips (`offered` (R, T), by column of `book.tips`), match, and seat committees.

    A bid below `min_bid` or not covered is refused, one with no place or a later greater one in its place returns. An
    offer is made if its owner, its own bid paid, still has the deposit for all legs; in an idle relay nobody offers.
    Moves the money of the legs into `book.locked` and marks `book.seated`.
    """
    placed = _place(book, bids)
    relays, columns = np.nonzero(placed)
    bidders, amounts = bids.account[relays, columns], bids.amount[relays, columns]
    parties = np.zeros_like(book.seated)
    parties[relays, bidders] = True
    assert np.count_nonzero(parties) == len(relays), "an account bids once in a relay and round"
    book.free[relays, bidders] -= amounts
    idle: Bools = ~np.any(placed, axis=1)

    made, owners = _offer(book, offered & ~idle[:, None])
    lines, places = np.nonzero(book.tips != NOBODY)
    parties[lines, owners[lines, places]] = True
    seats, weight = _seat(book, parties, luck, idle)
    void = ~idle & ((seats != NOBODY).sum(axis=1) < book.rules.quorum)
    seats[void], weight[void] = NOBODY, 0

    legs, used = _lease(book, bids, placed & ~void[:, None], made, owners, luck, mechanism.matching)
    leases = Leases(*legs, seats=seats, weight=weight, placed=placed, offered=made, idle=idle, void=void)
    left = np.where(placed, bids.amount, 0)
    left[leases.legs[0], leases.bid_column[leases.legs]] -= leases.bid[leases.legs]
    book.free[relays, bidders] += left[relays, columns]
    lines, places = np.nonzero(made)
    book.free[lines, owners[lines, places]] -= used[lines, places] * book.rules.offer_deposit
    book.locked += leases.bid.sum(axis=1) + leases.deposit.sum(axis=1)
    lines, places = np.nonzero(leases.is_seat)
    book.seated[lines, seats[lines, places]] = True
    return leases


# --- Inside -----------------------------------------------------------------------------------------------------------


def _place(book: Book, bids: Bids) -> Bools:
    """Take the bids one after another, (R, N): where all places are taken, a greater one displaces the smallest."""
    lines = np.arange(book.relays)[:, None]
    covered = bids.amount <= book.free[lines, np.maximum(bids.account, 0)]
    sound: Bools = (bids.account != NOBODY) & (bids.amount >= book.rules.min_bid) & covered
    if sound.shape[1] <= MAX_BIDS:
        return sound
    arrival: Ints = np.cumsum(sound, axis=1, dtype=np.int64)
    placed: Bools = sound & (arrival <= MAX_BIDS)
    crowded = np.flatnonzero(arrival[:, -1] > MAX_BIDS)
    if len(crowded):
        placed[crowded] = _displace(bids.amount[crowded], sound[crowded], arrival[crowded])
    return placed


def _displace(amount: Ints, sound: Bools, arrival: Ints) -> Bools:
    """Play the arrivals after the last free place; of equally small bids the one in the highest place goes."""
    lines = np.arange(len(amount))
    relays, columns = np.nonzero(sound & (arrival <= MAX_BIDS))
    held = columns.reshape(len(amount), MAX_BIDS)  # the bid in each place
    values = amount[relays, columns].reshape(held.shape)
    for column in np.flatnonzero((sound & (arrival > MAX_BIDS)).any(axis=0)):
        lowest = MAX_BIDS - 1 - np.argmin(values[:, ::-1], axis=1)
        comes = sound[:, column] & (arrival[:, column] > MAX_BIDS) & (amount[:, column] > values[lines, lowest])
        held[lines[comes], lowest[comes]] = column
        values[lines[comes], lowest[comes]] = amount[comes, column]
    placed = np.zeros_like(sound)
    placed[lines[:, None], held] = True
    return placed


def _offer(book: Book, wanted: Bools) -> tuple[Bools, Ints]:
    """Return which offers are made, their deposits being covered, and the owners of the tips, both (R, T).

    Tips of one relay have different owners: they are the selected legs of one round, and nobody has two.
    """
    owners = np.where(book.tips == NOBODY, NOBODY, book.checkpoints.owner[book.tips])
    deposit = book.rules.legs_per_tip * book.rules.offer_deposit
    covered = book.free[np.arange(book.relays)[:, None], owners] >= deposit
    made: Bools = wanted & covered & (book.tips != NOBODY)
    return made, owners


def _seat(book: Book, parties: Bools, luck: MatchLuck, idle: Bools) -> tuple[Ints, Ints]:
    """Draw the committees without replacement; accounts in seat order, NOBODY after the last, and weights; (R, K)."""
    relays, size = np.arange(book.relays), book.rules.committee_size
    eligible = ~parties & (2 * book.stake >= book.rules.validator_stake)
    count = np.where(idle, 0, book.validator_count)
    drawn = book.validators[:, : int(count.max())].T.copy()  # [place, relay]
    flat = drawn.reshape(-1)
    gets = np.zeros((min(len(drawn), MAX_COMMITTEE_DRAWS), book.relays), np.bool_)
    for start in range(0, len(gets), size):  # as many as there are seats at a time: with luck, all are seated
        places = np.arange(start, min(start + size, len(gets)))
        others = places + luck.draw[:, places] % np.maximum(count[:, None] - places, 1)
        for place, cells in zip(places.tolist(), others.T * len(relays) + relays, strict=True):
            accounts = flat[cells]
            flat[cells] = drawn[place]
            drawn[place] = accounts
        gets[places] = (places[:, None] < count) & eligible[relays, drawn[places]]
        if ((gets.sum(axis=0) >= size) | (count <= start + size)).all():
            break
    taken = np.cumsum(gets, axis=0)
    places, lines = np.nonzero(gets & (taken <= size))
    accounts, numbers = drawn[places, lines], taken[places, lines] - 1
    seats, weight = np.full((len(relays), size), NOBODY, np.int64), np.zeros((len(relays), size), np.int64)
    seats[lines, numbers], weight[lines, numbers] = accounts, book.stake[lines, accounts]
    return seats, weight


def _lease(
    book: Book, bids: Bids, placed: Bools, made: Bools, owners: Ints, luck: MatchLuck, rule: Matching
) -> tuple[tuple[Ints, Ints, Ints, Ints, Ints, Ints, Ints], Ints]:
    """Give the bids in order their tips and bonds: the first seven fields of `Leases`, and the legs of each tip."""
    most, tips = book.rules.legs_per_tip, book.tips
    count = (tips != NOBODY).sum(axis=1)
    legs = np.minimum(placed.sum(axis=1), count * most)
    columns = _bid_order(bids, placed, luck)[:, : int(legs.max())]
    numbers = np.arange(columns.shape[1])
    is_leg = numbers < legs[:, None]
    tip_order = np.lexsort((luck.tip_rank[:, : tips.shape[1]], _tip_key(book, made)), axis=1)
    lines = np.arange(book.relays)[:, None]
    ranks = np.minimum(rule.ranks(legs, count, most, columns.shape[1]), tips.shape[1] - 1)
    places = tip_order[lines, ranks]
    bids_at, tips_at = columns + lines * placed.shape[1], places + lines * tips.shape[1]
    used = np.bincount(tips_at[is_leg], minlength=tips.size).reshape(tips.shape)

    def of_legs(values: Ints) -> Ints:
        """What is no leg becomes NOBODY."""
        return np.where(is_leg, values, NOBODY)

    fields = (
        of_legs(bids.account.take(bids_at)),
        rule.bonds(of_legs(bids.amount.take(bids_at))),
        of_legs(columns),
        of_legs(places),
        of_legs(tips.take(tips_at)),
        of_legs(owners.take(tips_at)),
        (made.take(tips_at) & is_leg) * np.int64(book.rules.offer_deposit),
    )
    return fields, used


def _bid_order(bids: Bids, placed: Bools, luck: MatchLuck) -> Ints:
    """Return the columns of the placed bids, (R, at most MAX_BIDS): amount descending, then luck ascending."""
    ranked = np.lexsort((luck.bid_rank, placed * (-1 - bids.amount)), axis=1)
    return ranked[:, :MAX_BIDS]


def _tip_key(book: Book, made: Bools) -> Ints:
    """Rank stalled tips last, offered before the others, and then the greater score first; after all what is no tip."""
    absent = book.tips == NOBODY
    kind = (absent * 4 + book.stalled * 2 + ~(made | absent)).astype(np.int64)
    key: Ints = (kind << CLASS_BITS) - book.checkpoints.score[book.tips] * ~absent
    return key
