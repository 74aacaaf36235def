"""The columns of a run, one row a round."""

from __future__ import annotations

import numpy as np

from .lineage import Floats
from .published import NO_MODEL, Network, RoundOutcome

LAGS = 11  # versions behind the newest that are told apart: 0 … 10

SHARES: dict[str, str] = {
    "latest": "% of participants whose best version is the newest there is",
    **{f"behind_{lag}": f"% of participants whose best version is {lag} behind the newest" for lag in range(1, LAGS)},
    "older": f"% of participants whose best version is {LAGS} or more behind the newest",
    "none": "% of participants who never held a model",
}

COLUMNS: dict[str, str] = {
    "round": "from 1",
    "owners": "participants who own a selected model during the round",
    "trainers": "participants who want to train",
    "matched": "trainers who found an owner",
    "models": "trainings that succeeded",
    "selected": "models selected",
    **SHARES,
    "coins": "coins held by all after the round",
    "gini": "Gini coefficient of the coins held, 0 … 1",
    "coins_mean": "coins per participant",
    "coins_min": "coins of the poorest",
    "coins_max": "coins of the richest",
    "minted": "coins minted in the round",
    "burned": "coins burned in the round",
    "live_tips": "models that can be continued in the next round",
    "common_ancestor_depth": "rounds from the live tips back to their last common ancestor; empty without tips",
}

WHOLE = frozenset(
    {"round", "owners", "trainers", "matched", "models", "selected", "live_tips", "common_ancestor_depth"}
)


def observe(network: Network, outcome: RoundOutcome) -> list[float]:
    """Return one row, in the order of COLUMNS."""
    depth = outcome.common_ancestor_depth
    total = float(network.coins.sum())
    ascending = np.sort(network.coins)
    return [
        network.round,
        outcome.owners,
        outcome.trainers,
        outcome.matched,
        outcome.models,
        outcome.selected,
        *version_shares(network),
        total,
        gini(ascending),
        total / len(ascending),
        float(ascending[0]),
        float(ascending[-1]),
        outcome.minted,
        outcome.burned,
        len(network.owners),
        float("nan") if depth is None else depth,
    ]


def version_shares(network: Network) -> list[float]:
    """Return the percentages of SHARES, which add up to 100."""
    newest = int(network.held.max())
    lags = np.minimum(newest - network.held, LAGS)
    lags[network.held == NO_MODEL] = LAGS + 1
    counts: list[float] = (np.bincount(lags, minlength=LAGS + 2) * (100.0 / len(lags))).tolist()
    return counts


def gini(ascending: Floats) -> float:
    """Return the Gini coefficient of non-negative amounts sorted in ascending order; 0 if nobody has anything."""
    total, count = float(ascending.sum()), len(ascending)
    if total <= 0:
        return 0.0
    weighted = float(np.arange(1, count + 1) @ ascending)
    return 2 * weighted / (count * total) - (count + 1) / count
