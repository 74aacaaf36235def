"""A number with an interval, and the resampling of rounds that intervals come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..world.people import Floats, Ints

CONFIDENCE = 0.95
RESAMPLES = 200  # of the rounds: enough for the ends of a 95 % interval to a tenth of its width
SEED = 20_261_201  # the same history always gives the same numbers

Numbers = Sequence[float] | Floats | Ints
"""One for each round."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """An estimate, and the interval that resampled histories put around it."""

    value: float
    low: float
    high: float

    def __contains__(self, truth: float) -> bool:
        return self.low <= truth <= self.high


def resampled(rounds: int) -> Ints:
    """Return how often each round is in each resampled history, (RESAMPLES + 1, rounds); the first is the history.

    Rounds are drawn whole: what happens within one is not independent.
    """
    rng = np.random.default_rng(SEED)
    drawn = rng.multinomial(rounds, np.full(rounds, 1 / rounds), size=RESAMPLES)
    return np.concatenate([np.ones((1, rounds), np.int64), drawn])


def fitted(values: Sequence[float] | Floats) -> Fitted:
    """Return the first value with the interval of the others; those that came to nothing (NaN) are left out."""
    found = np.asarray(values, np.float64)
    others = found[1:][~np.isnan(found[1:])]
    if not len(others):
        return Fitted(float(found[0]), float("nan"), float("nan"))
    low, high = np.quantile(others, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Fitted(float(found[0]), float(min(low, found[0])), float(max(high, found[0])))


def ratio(above: Numbers, below: Numbers, weights: Ints) -> Floats:
    """Return the share that one sum over rounds is of another in each resampled history; NaN where there is none."""
    parts, whole = weights @ np.asarray(above, np.float64), weights @ np.asarray(below, np.float64)
    return np.asarray(np.divide(parts, whole, out=np.full(len(weights), np.nan), where=whole > 0))
