"""What the ledger gets from SHA-256 of a round's seed, as numbers; a simulation draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.limits import MAX_COMMITTEE_DRAWS, MAX_TIPS

from .arithmetic import Ints

DRAW_BITS = 62
"""Bits of a draw: its remainder by a number of validators is uniform for all that could be measured."""


@dataclass(frozen=True, slots=True)
class MatchLuck:
    """The luck of one matching. Only the order of `bid_rank` and `tip_rank` within a relay counts."""

    bid_rank: NDArray[np.float64]  # (R, N) of equal bids, the lower goes first; columns as in `Bids`
    tip_rank: NDArray[np.float64]  # (R, T or more) of equal tips, the lower goes first; columns as in `Book.tips`
    draw: Ints  # (R, V) from 0 on: the i-th draw swaps place i with place i + draw % (n - i) of the n validators


def draw_luck(rng: np.random.Generator, relays: int, bids: int) -> MatchLuck:
    """Draw the luck of a round with up to `bids` bids in each relay; as many numbers whatever the state is."""
    return MatchLuck(
        bid_rank=rng.random((relays, bids)),
        tip_rank=rng.random((relays, MAX_TIPS)),
        draw=rng.integers(0, 2**DRAW_BITS, (relays, MAX_COMMITTEE_DRAWS)),
    )
