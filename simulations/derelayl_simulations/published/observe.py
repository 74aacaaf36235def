"""What a run of the published mechanism leaves behind: one row a round."""

from __future__ import annotations

import numpy as np

from ..measures import gini
from .family import Floats, Ints
from .mechanism import NO_MODEL, Network, RoundOutcome

LAGS = 11  # versions behind the newest that are told apart: 0 … 10
KINDS = LAGS + 2  # these, older, none

SHARES = ("share_latest", *(f"share_behind_{lag}" for lag in range(1, LAGS)), "share_older", "share_none")
"""Percent of participants by how far their best version is behind the newest there is."""

COUNTS = (
    "owners",  # participants who own a selected model during the round
    "trainers",  # participants who want to train
    "matched",  # trainers who found an owner
    "models",  # trainings that succeeded
    "selected",  # models selected
    "minted",  # coins in the round
    "burned",  # coins in the round
    "live_tips",  # models that can be continued in the next round
    "common_ancestor_depth",  # rounds from the live tips back to their last common ancestor; NaN without tips
    "quality",  # performance points of the best live tip; NaN without tips
    "quality_mean",  # performance points of the average live tip
)
"""What a round or the network says by itself."""

HOLDINGS = ("supply", "gini", "coins_mean", "coins_min", "coins_max")
"""Of the coins held after the round."""

BLOCK_CELLS = 1 << 14
"""Holdings of people by rounds that are kept to be looked at together: 128 KiB, which a processor's cache holds."""


class Record:
    """The table of a run; everybody's holdings are looked at for many rounds at once."""

    def __init__(self, rounds: int, participants: int) -> None:
        self._counts = np.empty((rounds, len(COUNTS)))
        self._holdings = np.empty((rounds, len(HOLDINGS)))
        self._shares = np.empty((rounds, KINDS))
        size = max(1, min(rounds, BLOCK_CELLS // participants))
        self._coins = np.empty((size, participants))
        self._held = np.empty((size, participants), np.int64)
        self._rows = 0
        self._looked_at = 0

    def add(self, network: Network, outcome: RoundOutcome) -> None:
        """Record the round that was just played."""
        depth, scores = outcome.common_ancestor_depth, network.scores
        tips = len(scores)
        self._counts[self._rows] = (
            outcome.owners,
            outcome.trainers,
            outcome.matched,
            outcome.models,
            outcome.selected,
            outcome.minted,
            outcome.burned,
            tips,
            np.nan if depth is None else depth,
            scores[0] if tips else np.nan,  # best first
            scores.sum() / tips if tips else np.nan,
        )
        place = self._rows - self._looked_at
        self._coins[place], self._held[place] = network.coins, network.held
        self._rows += 1
        if place + 1 == len(self._coins):
            self._look()

    def table(self) -> dict[str, Floats]:
        """Return the columns COUNTS, HOLDINGS and SHARES, shape (rounds recorded,) each."""
        self._look()
        columns = dict(zip(COUNTS, self._counts.T, strict=True)) | dict(zip(HOLDINGS, self._holdings.T, strict=True))
        columns |= zip(SHARES, self._shares.T, strict=True)
        return {name: column[: self._rows].copy() for name, column in columns.items()}

    def _look(self) -> None:
        rows = slice(self._looked_at, self._rows)
        count = self._rows - self._looked_at
        if count:
            self._shares[rows] = version_shares(self._held[:count])
            self._holdings[rows] = holdings(self._coins[:count])
        self._looked_at = self._rows


def version_shares(held: Ints) -> Floats:
    """Return the percentages of SHARES, (rounds, KINDS), which add up to 100; `held` (rounds, participants)."""
    rounds, people = held.shape
    newest = held.max(axis=1, keepdims=True)
    lags = np.minimum(newest - held, LAGS)
    lags[held == NO_MODEL] = LAGS + 1
    lags += np.arange(rounds)[:, None] * KINDS
    counts = np.bincount(lags.ravel(), minlength=rounds * KINDS)
    shares: Floats = counts.reshape(rounds, KINDS) * (100.0 / people)
    return shares


def holdings(coins: Floats) -> Floats:
    """Return HOLDINGS, (rounds, 5), of `coins` (rounds, participants)."""
    ascending, people = np.sort(coins, axis=1), coins.shape[1]
    total = ascending.sum(axis=1)
    return np.stack([total, gini(ascending), total / people, ascending[:, 0], ascending[:, -1]], axis=1)
