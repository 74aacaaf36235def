"""Small trials under the ledger's own rules, to be drawn beside the formulas: one useless leg in a relay of its own.

A trainer hands over what is worth nothing; a committee drawn by the ledger judges it; the ledger pays or does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.limits import MAX_SCORE_PPM

from ..ledger import Bids, Book, LedgerSettings, draw_luck, match, settle

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GENESIS_OWNER, TRAINER, FIRST_VALIDATOR = 0, 1, 2  # accounts of every relay

Judges = Callable[[Ints, np.random.Generator], Floats]
"""From the seats (relays, seats), numbers of validators from 0, to their scores in nats."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of the leg in each relay."""

    passed: Bools  # (relays,) selected by the committee
    profit: Floats  # (relays,) coins that the trainer gained or lost


def try_useless_leg(
    settings: LedgerSettings, relays: int, validators: int, bid: float, judges: Judges, rng: np.random.Generator
) -> Trial:
    """Play one round of a useless leg in that many relays, all validators with one stake each.

    `bid` is in coins, at least `min_bid`. Raises LocalFault where the money does not fit the ledger.
    """
    stake, offered = settings.wei(settings.validator_stake), settings.wei(bid)
    accounts = FIRST_VALIDATOR + validators
    rules = settings.rules()
    book = Book.open(
        rules, relays, accounts, genesis_owner=GENESIS_OWNER, budget=rules.emission, free=max(stake, offered)
    )
    stakes = np.zeros((relays, accounts), np.int64)
    stakes[:, FIRST_VALIDATOR:] = stake
    book.add_stake(stakes)
    before = book.free[:, TRAINER].copy()
    bids = Bids(np.full((relays, 1), TRAINER), np.full((relays, 1), offered))
    leases = match(book, bids, np.zeros(book.tips.shape, np.bool_), draw_luck(rng, relays, bids=1))
    assert leases.is_leg.all(), "a lone bid that is covered gets a leg, and there are validators enough"
    nats = judges(leases.seats - FIRST_VALIDATOR, rng)
    scores = np.clip(np.rint(nats * PPM), -MAX_SCORE_PPM, MAX_SCORE_PPM).astype(np.int64)[:, :, None]
    outcome = settle(book, leases, leases.is_leg, leases.is_seat, leases.is_seat, scores)
    profit = (book.free[:, TRAINER] - before) / settings.wei_per_coin
    return Trial(outcome.selected[:, 0], profit)


def with_committee(settings: LedgerSettings, seats: int) -> LedgerSettings:
    """Return the rules with a committee of another size, of which more than half must answer."""
    return LedgerSettings.model_validate(settings.model_dump() | {"committee_size": seats, "quorum": seats // 2 + 1})


def honest_judges(noise: float, caution: float) -> Judges:
    """Return judges who see a gain of nothing with that noise in nats and stay `caution` times it below."""
    return lambda seats, rng: rng.normal(-caution * noise, noise, seats.shape)


def bought_judges(bought: int) -> Judges:
    """Return judges of whom the first `bought` praise the leg while all others see through it."""
    return lambda seats, _: np.where(seats < bought, 1.0, -1.0)
