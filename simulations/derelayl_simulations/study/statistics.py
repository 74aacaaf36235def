"""What many seeds say together: estimates with intervals.

Every interval is two-sided. Means use Student's t over seeds, proportions Wilson's score, medians a percentile
bootstrap with a fixed seed, so that the same results always give the same numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from .sampling import problem

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
BOOTSTRAP_SEED = 20_260_502
RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and what it may be as well; `low` and `high` are NaN where one seed cannot say."""

    estimate: float
    low: float
    high: float
    count: int  # values it rests on


@dataclass(frozen=True, slots=True)
class Band:
    """An interval at each round."""

    centre: Floats  # (rounds,)
    low: Floats  # (rounds,)
    high: Floats  # (rounds,)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How much of an outcome's variance one swept key explains."""

    key: str
    first: Interval  # alone (index of first order)
    total: Interval  # with everything it acts together with


def mean(values: Sequence[float] | Floats, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of the values that are not NaN, with Student's t interval."""
    band = mean_band(np.asarray(values, np.float64)[:, None], confidence)
    count = int(np.count_nonzero(~np.isnan(values)))
    return Interval(float(band.centre[0]), float(band.low[0]), float(band.high[0]), count)


def mean_band(matrix: Floats, confidence: float = CONFIDENCE) -> Band:
    """Return the mean over seeds at each round with Student's t interval; `matrix` is (seeds, rounds), NaN left out."""
    there = ~np.isnan(matrix)
    count = there.sum(axis=0)
    total = np.where(there, matrix, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = total / count
        squares = np.where(there, (matrix - centre) ** 2, 0.0).sum(axis=0)
        error = np.sqrt(squares / (count - 1.0) / count)
        half = stats.t.ppf((1 + confidence) / 2, np.maximum(count - 1, 1)) * error
    half = np.where(count > 1, half, np.nan)
    return Band(centre, centre - half, centre + half)


def median(values: Sequence[float] | Floats, confidence: float = CONFIDENCE) -> Interval:
    """Return the median of the values that are not NaN, with a percentile bootstrap interval."""
    there = np.asarray(values, np.float64)
    there = there[~np.isnan(there)]
    if len(there) == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    if len(there) == 1:
        return Interval(float(there[0]), np.nan, np.nan, 1)
    found = stats.bootstrap(
        (there,),
        np.median,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    ).confidence_interval
    return Interval(float(np.median(there)), float(found.low), float(found.high), len(there))


def difference(first: Floats, second: Floats, paired: bool, confidence: float = CONFIDENCE) -> Interval:
    """Return mean(second) - mean(first): paired where both used the same seeds in the same order, else Welch's."""
    if paired:
        return mean(second - first, confidence)
    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    counts = (len(first), len(second))
    if not all(counts):
        return Interval(np.nan, np.nan, np.nan, 0)
    estimate = float(second.mean() - first.mean())
    if min(counts) < 2:
        return Interval(estimate, np.nan, np.nan, min(counts))
    if first.var() + second.var() == 0:  # no spread to divide by
        return Interval(estimate, estimate, estimate, min(counts))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)  # one group may never vary; the other does
        found = stats.ttest_ind(second, first, equal_var=False).confidence_interval(confidence)
    return Interval(estimate, float(found.low), float(found.high), min(counts))


def proportion(successes: int, count: int, confidence: float = CONFIDENCE) -> Interval:
    """Return a share with Wilson's score interval."""
    if count == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    found = stats.binomtest(successes, count).proportion_ci(confidence, method="wilson")
    return Interval(successes / count, float(found.low), float(found.high), count)


def alive_band(extinct_rounds: Sequence[int | None], rounds: int, confidence: float = CONFIDENCE) -> Band:
    """Return the share of seeds alive after each round with Wilson's interval, (rounds,) each.

    Every run is watched to the last round, so this share is the Kaplan-Meier estimate.
    """
    died = np.sort([number for number in extinct_rounds if number is not None])
    alive = len(extinct_rounds) - np.searchsorted(died, np.arange(1, rounds + 1), side="right")
    table = [proportion(left, len(extinct_rounds), confidence) for left in range(len(extinct_rounds) + 1)]
    columns = np.array([(each.estimate, each.low, each.high) for each in table])[alive]
    return Band(columns[:, 0], columns[:, 1], columns[:, 2])


def lorenz(values: Floats) -> tuple[Floats, Floats]:
    """Return the Lorenz curve: share of people, poorest first, and the share of all coins they hold, (people + 1,)."""
    ascending = np.concatenate([[0.0], np.cumsum(np.sort(values))])
    people = np.linspace(0.0, 1.0, len(ascending))
    return people, (ascending / ascending[-1] if ascending[-1] > 0 else people)


def sobol_indices(keys: Sequence[str], outcomes: Floats, confidence: float = CONFIDENCE) -> list[Sensitivity]:
    """Return each key's Sobol indices with bootstrap intervals, most influential first.

    `outcomes` (points,) are in the order of a Sobol sweep. An outcome that never changes has no variance to explain:
    then every index is 0. Raises ValueError if an outcome is NaN.
    """
    from SALib.analyze import sobol  # type: ignore[import-untyped]  # a second, which few commands need

    if np.isnan(outcomes).any():
        raise ValueError("an outcome is missing, so the variance cannot be divided up")
    if np.ptp(outcomes) == 0:
        nothing = Interval(0.0, 0.0, 0.0, len(outcomes))
        return [Sensitivity(key, nothing, nothing) for key in keys]
    # Centred and scaled: the estimator loses digits on outcomes far from zero.
    scaled = (outcomes - outcomes.mean()) / outcomes.std()
    found: Mapping[str, Any] = sobol.analyze(
        problem(list(keys)), scaled, calc_second_order=False, conf_level=confidence, seed=BOOTSTRAP_SEED
    )
    rows = zip(keys, found["S1"], found["S1_conf"], found["ST"], found["ST_conf"], strict=True)
    indices = [
        Sensitivity(
            key,
            Interval(float(first), float(first - first_half), float(first + first_half), len(outcomes)),
            Interval(float(total), float(total - total_half), float(total + total_half), len(outcomes)),
        )
        for key, first, first_half, total, total_half in rows
    ]
    return sorted(indices, key=lambda index: -index.total.estimate)
