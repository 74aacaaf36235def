"""Everything random in one round of a ledger world, drawn whether needed or not.

Worlds that are compared lie side by side as further relays and get the same luck, so that they differ in nothing but
what people do (common random numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

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


def draw(rng: np.random.Generator, relays: int, accounts: int, people: int, seats: int) -> Luck:
    """Draw the luck of `relays` relays."""
    match = draw_luck(rng, relays, MAX_BIDS)
    return Luck(
        bid=rng.random((relays, accounts)),
        gain=rng.standard_normal((relays, accounts)),
        delay=rng.standard_normal((relays, accounts)),
        scores=rng.standard_normal((relays, seats, MAX_BIDS)),
        samples=rng.standard_normal((relays, seats)),
        likeness=rng.random((relays, MAX_BIDS)),
        serve=rng.random((relays, MAX_TIPS)),
        decide=rng.random((relays, people)),
        consumers=rng.random(relays),
        match=match,
    )


def side_by_side(lucks: Sequence[Luck], worlds: int) -> Luck:
    """Lay the luck of several draws side by side, and give all of it to each of `worlds` worlds."""

    def lay(parts: Sequence[Any]) -> dict[str, Any]:
        """Lay each field that is an array."""
        names = [field.name for field in fields(parts[0]) if field.name != "match"]
        return {name: np.concatenate([getattr(part, name) for part in parts] * worlds) for name in names}

    return Luck(**lay(lucks), match=MatchLuck(**lay([luck.match for luck in lucks])))
