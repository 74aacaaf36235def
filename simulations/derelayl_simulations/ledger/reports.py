"""Proofs of equivocation: docs/PROTOCOL.md section 4, Equivocation. Signatures are taken as shown."""

from __future__ import annotations

import numpy as np

from .arithmetic import Bools, Ints, share
from .book import Book
from .checkpoints import NOBODY
from .matching import Leases


def report_trainers(book: Book, leases: Leases, reporter: Ints) -> Bools:
    """Take the bids of legs whose trainers signed two children; `reporter` (R, L) accounts, NOBODY for no report.

    Part of a bid goes to the reporter, the rest to the carry; the leg may still be submitted and is never selected.
    """
    done: Bools = (reporter != NOBODY) & leases.is_leg & (leases.bid > 0)
    relays, legs = np.nonzero(done)
    lost = leases.bid[relays, legs]
    leases.bid[relays, legs] = 0
    np.subtract.at(book.locked, relays, lost)
    _share_out(book, relays, reporter[relays, legs], lost)
    return done


def report_validators(book: Book, reporter: Ints) -> Bools:
    """Take all stake, bonded or not, of validators who signed two reveals of a round; `reporter` (R, A) by accused.

    NOBODY for no report. They stay on the list, and keep their seat and its weight in the running round.
    """
    lost = book.stake + book.unbonding
    done: Bools = (reporter != NOBODY) & (lost > 0)
    relays, accounts = np.nonzero(done)
    book.stake[relays, accounts] = 0
    book.unbonding[relays, accounts] = 0
    _share_out(book, relays, reporter[relays, accounts], lost[relays, accounts])
    return done


def _share_out(book: Book, relays: Ints, reporters: Ints, lost: Ints) -> None:
    reward = share(lost, book.rules.reporter_bps)
    np.add.at(book.free, (relays, reporters), reward)
    np.add.at(book.carry, relays, lost - reward)
