"""The world that the ledger benchmark plays: who there is, and the luck of a round. Needs nothing but numpy.

Every participant of every relay is honest: trainers bid in turn, owners offer all they own, some trainers are late and
some validators silent. The numbers come from uniform doubles only, so every version of numpy draws the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ACCOUNTS = 100
TRAINERS = 80
"""Accounts below this train, the others validate."""

BIDS = 32
"""Trainers that bid in a round: as many as a round has places."""

TIPS = 32
COIN = 10**9
FREE, STAKE, BUDGET = 1_000 * COIN, 100 * COIN, 1_000_000 * COIN
"""Wei on each account, staked by each validator (of what is on the account), behind the emission of each relay."""

DRAW_BITS = 53


@dataclass(frozen=True, slots=True)
class RelayLuck:
    """The luck of one round of R relays with committees of K seats."""

    bidder: NDArray[np.int64]  # (R, BIDS) accounts
    amount: NDArray[np.int64]  # (R, BIDS) wei
    bid_rank: NDArray[np.float64]  # (R, BIDS)
    tip_rank: NDArray[np.float64]  # (R, TIPS)
    draw: NDArray[np.int64]  # (R, ACCOUNTS - TRAINERS)
    scores: NDArray[np.int64]  # (R, K, BIDS) ppm, for each leg there could be
    late: NDArray[np.bool_]  # (R, BIDS) legs that are not submitted
    silent: NDArray[np.bool_]  # (R, K) seats that commit and do not reveal


def draw_luck(rng: np.random.Generator, relays: int, seats: int, min_bid: int) -> RelayLuck:
    """Draw the luck of a round."""
    order = np.argsort(rng.random((relays, TRAINERS)), axis=1, kind="stable")
    gain = (rng.random((relays, 1, BIDS)) - 0.3) * 200_000
    noise = (rng.random((relays, seats, BIDS)) - 0.5) * 40_000
    return RelayLuck(
        bidder=order[:, :BIDS],
        amount=min_bid + (rng.random((relays, BIDS)) * COIN).astype(np.int64),
        bid_rank=rng.random((relays, BIDS)),
        tip_rank=rng.random((relays, TIPS)),
        draw=(rng.random((relays, ACCOUNTS - TRAINERS)) * 2.0**DRAW_BITS).astype(np.int64),
        scores=(gain + noise).astype(np.int64),
        late=rng.random((relays, BIDS)) < 0.1,
        silent=rng.random((relays, seats)) < 0.05,
    )
