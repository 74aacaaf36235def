"""A strategy: `strategy = "miser"` in a group of a scenario, or `--set world.group.trainers.strategy=miser`."""

from __future__ import annotations

import numpy as np

from derelayl_simulations.world.strategies.port import Floats, Ints, Market, Trainer


class Miser(Trainer):
    """Trains like anybody, but never bids more than the least that the ledger takes."""

    def bid(self, market: Market, mine: tuple[Ints, Ints]) -> Floats:
        """Return the floor where an honest trainer would bid at all."""
        return np.minimum(market.usual[mine], market.floor)
