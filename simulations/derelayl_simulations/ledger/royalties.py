"""Royalties that wait at checkpoints, and access that is paid for: docs/PROTOCOL.md section 4, Royalties and Access."""

from __future__ import annotations

import numpy as np

from derelayl_protocol.limits import MAX_COLLECT_STEPS

from .arithmetic import Bools, Ints, share
from .book import Book
from .checkpoints import NOBODY


def collect(book: Book, roots: Ints, steps: int = MAX_COLLECT_STEPS) -> Ints:
    """Collect from one checkpoint of each relay (`roots` (R,) numbers, NOBODY for none) towards genesis.

    Of what is pending, the owner keeps 1 - gamma and the rest moves to the parent, for up to `steps` checkpoints.
    Returns the wei that owners of each relay got, (R,).
    """
    assert 1 <= steps <= MAX_COLLECT_STEPS, f"steps is {steps}, allowed is 1 … {MAX_COLLECT_STEPS}"
    got = np.zeros(book.relays, np.int64)
    numbers = roots[roots != NOBODY]
    for _ in range(steps):
        if not len(numbers):
            break
        got += _split(book, numbers)
        parents = book.checkpoints.parent[numbers]
        numbers = parents[parents != NOBODY]
    return got


def collect_pending(book: Book) -> Ints:
    """Collect one step from every checkpoint with something pending, the oldest first; return wei as `collect` does.

    A royalty climbs one checkpoint a call: the share that goes to a parent is only there for the next call.
    """
    return _split(book, np.flatnonzero(book.checkpoints.pending))


def buy_access(book: Book, column: Ints) -> Bools:
    """Let accounts buy access to a tip: `column` (R, A) of `book.tips`, NOBODY for no purchase.

    Refused where the model is open (a fee of 0), the account has bought this tip before, or cannot pay. Only tips are
    sold here; the ledger also sells older checkpoints.
    """
    fee = book.rules.access_fee
    tips = (book.tips != NOBODY).sum(axis=1)[:, None]
    bit = np.uint32(1) << np.maximum(column, 0).astype(np.uint32)
    done: Bools = (column != NOBODY) & (column < tips) & (book.access & bit == 0) & (book.free >= fee) & (fee > 0)
    relays, accounts = np.nonzero(done)
    book.free[relays, accounts] -= fee
    book.access[relays, accounts] |= bit[relays, accounts]
    to_pot = int(share(np.array([fee]), book.rules.access_pot_bps)[0])
    book.carry += done.sum(axis=1) * to_pot
    np.add.at(book.checkpoints.pending, book.tips[relays, column[relays, accounts]], fee - to_pot)
    return done


def _split(book: Book, numbers: Ints) -> Ints:
    """Share out what waits at these checkpoints, all at once: none gets what another of them passes on; return wei."""
    forest = book.checkpoints
    amount, parents = forest.pending[numbers], forest.parent[numbers]
    passed = np.where(parents == NOBODY, 0, share(amount, book.rules.gamma_bps))
    forest.pending[numbers] = 0
    climbs = passed > 0
    np.add.at(forest.pending, parents[climbs], passed[climbs])
    got, relays, kept = np.zeros(book.relays, np.int64), forest.relay[numbers], amount - passed
    np.add.at(book.free, (relays, forest.owner[numbers]), kept)
    np.add.at(got, relays, kept)
    return got
