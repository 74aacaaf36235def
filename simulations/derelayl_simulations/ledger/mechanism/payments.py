"""Other ways to pay the selected legs of a round."""

from __future__ import annotations

import numpy as np

from ..arithmetic import Ints
from .port import Gains, Payment

SCALE = 1_000_000
"""Parts of a ppm in a weight under the root."""


class Best(Payment):
    """Pays the best leg alone: the only rule without waste that no further account of anybody gains by.

    Pan, Mazorra, Schlegel, Mamageishvili, On Sybil-Proof Mechanisms, arXiv 2407.14485.
    """

    def weights(self, gains: Gains) -> Ints:
        won = gains.selected & (gains.score == _highest(gains.score, gains.selected))
        return np.asarray(won & (np.cumsum(won, axis=1) == 1), np.int64)


class Equal(Payment):
    """Pays every selected leg alike."""

    def weights(self, gains: Gains) -> Ints:
        return gains.selected.astype(np.int64)


class Ladder(Payment):
    """Shares each step between neighbouring scores among all who reach it: the Shapley value of the best gain.

    Littlechild and Owen, A Simple Expression for the Shapley Value in a Special Case, Management Science 20(3), 1973.
    """

    def weights(self, gains: Gains) -> Ints:
        score = np.where(gains.selected, gains.score, 0)
        order = np.argsort(score, axis=1, kind="stable")
        climbed = np.take_along_axis(score, order, axis=1)
        steps = np.diff(climbed, axis=1, prepend=0)
        who = np.arange(score.shape[1], 0, -1)  # so many stand on a step: those who are not selected are below all
        laid = np.zeros_like(score)
        np.put_along_axis(laid, order, np.cumsum(steps / who, axis=1).astype(np.int64), axis=1)
        return np.where(gains.selected, laid, 0)


class Excess(Payment):
    """Pays only what a leg gains beyond the best one that is not selected: what everybody can do earns nothing."""

    def weights(self, gains: Gains) -> Ints:
        left = np.maximum(_highest(gains.score, gains.judged & ~gains.selected), 0)
        return np.where(gains.selected, np.maximum(gains.score - left, 0), 0)


class Root(Payment):
    """Shares by the square root of the gains: flatter than in proportion."""

    def weights(self, gains: Gains) -> Ints:
        gained = np.where(gains.selected, gains.score, 0).astype(np.float64)
        return np.floor(np.sqrt(gained * SCALE)).astype(np.int64)


def _highest(score: Ints, among: np.ndarray) -> Ints:
    """Return the highest score of each relay among these legs, (R, 1); the least number there is for none."""
    least = np.iinfo(np.int64).min
    return np.asarray(np.where(among, score, least).max(axis=1, keepdims=True, initial=least))
