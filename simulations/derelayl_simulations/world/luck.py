"""Everything random in one round of a ledger world, drawn whether needed or not.

Worlds that are compared lie side by side as further relays and get the same luck, so that they differ in nothing but
what people do (common random numbers).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.limits import MAX_BIDS, MAX_TIPS

from ..ledger import MatchLuck
from ..ledger.luck import draw_luck
from .people import Floats


@dataclass(frozen=True, slots=True)
class Luck:
    """One round's luck; numbers are uniform in [0, 1) or standard normal."""

    bid: Floats  # (relays, accounts) uniform: how far a bid is from the usual, and which of equal ones goes first
    gain: Floats  # (relays, accounts) normal: what the account's leg gains beyond what was to be expected
    delay: Floats  # (relays, accounts) normal: how long that leg takes
    scores: NDArray[np.float64]  # (relays, seats, MAX_BIDS) normal: each judge's error about each leg
    samples: Floats  # (relays, seats) normal: each judge's error about all legs of the round
    likeness: Floats  # (relays, MAX_BIDS) uniform: whether a leg is taken for a copy
    serve: Floats  # (relays, MAX_TIPS) uniform: whether others serve the tip
    decide: Floats  # (relays, people) uniform: who looks in, who tries again
    consumers: Floats  # (relays,) uniform: whether a fraction of a consumer is one
    match: MatchLuck  # of up to MAX_BIDS bids

    def matching(self, bids: int) -> MatchLuck:
        """Return the luck of matching that many bids in each relay."""
        return replace(self.match, bid_rank=self.match.bid_rank[:, :bids])


def draw(rng: np.random.Generator, relays: int, accounts: int, people: int, seats: int, worlds: int = 1) -> Luck:
    """Draw the luck of `relays` relays and give it to each of `worlds` worlds."""
    match = draw_luck(rng, relays, MAX_BIDS)
    return Luck(
        bid=_tile(rng.random((relays, accounts)), worlds),
        gain=_tile(rng.standard_normal((relays, accounts)), worlds),
        delay=_tile(rng.standard_normal((relays, accounts)), worlds),
        scores=_tile(rng.standard_normal((relays, seats, MAX_BIDS)), worlds),
        samples=_tile(rng.standard_normal((relays, seats)), worlds),
        likeness=_tile(rng.random((relays, MAX_BIDS)), worlds),
        serve=_tile(rng.random((relays, MAX_TIPS)), worlds),
        decide=_tile(rng.random((relays, people)), worlds),
        consumers=_tile(rng.random(relays), worlds),
        match=MatchLuck(
            bid_rank=_tile(match.bid_rank, worlds),
            tip_rank=_tile(match.tip_rank, worlds),
            draw=np.tile(match.draw, (worlds, 1)),
        ),
    )


def _tile(values: Floats, worlds: int) -> Floats:
    return values if worlds == 1 else np.tile(values, (worlds,) + (1,) * (values.ndim - 1))
