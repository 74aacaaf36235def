"""A rule: `payment = "podium"` in the [mechanism] of a scenario, or `--set mechanism.payment=podium`."""

from __future__ import annotations

import numpy as np

from derelayl_simulations.ledger.mechanism.port import Gains, Ints, Payment


class Podium(Payment):
    """Pays the three best legs 3 : 2 : 1, however far apart they are."""

    def weights(self, gains: Gains) -> Ints:
        """Return 3, 2 and 1 for the first three of the selected in the order of their scores."""
        score = np.where(gains.selected, gains.score, -1)
        rank = np.argsort(np.argsort(-score, axis=1, kind="stable"), axis=1, kind="stable")
        return np.where(gains.selected, np.maximum(3 - rank, 0), 0)
