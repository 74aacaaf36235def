"""Other ways to give bids their tips and bonds."""

from __future__ import annotations

import numpy as np

from ..arithmetic import Ints
from ..checkpoints import NOBODY
from .port import Matching


class FirstPrice(Matching):
    """Keeps every matched bid as its bond, as version 1 did: a pay-as-bid auction."""

    def bonds(self, bids: Ints) -> Ints:
        return np.where(bids == NOBODY, 0, bids)


class Spread(Matching):
    """Deals the legs out over all tips in turn instead of filling one tip after the other: the opposite of a trunk."""

    def ranks(self, legs: Ints, tips: Ints, most: int, width: int) -> Ints:
        return np.arange(width) % np.maximum(tips, 1)[:, None]
