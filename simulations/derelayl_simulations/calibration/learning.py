"""What legs gain: the learning curve behind the scores of a ledger's legs.

A score is a gain beyond the bar, less the judges' caution, and a leg starts where the bar is. So a checkpoint stands
above its parent by its score, the caution, and what the average of several tips stands above the best of them, which no
leg shows. It shows over rounds, as levels that are too low would let the gains fall too early; so does drift, by which
levels fade. Both are tried over a grid, and for each the line gain = rate · (ceiling − level at the start) is fitted by
weighted least squares.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from derelayl_protocol.errors import LocalFault

from ..world.people import Floats, Ints
from .fitted import SEED
from .history import Round

FEWEST_ROUNDS = 12  # with judged legs: a curve with four numbers, and a spread around it, from fewer would be noise
FEWEST_LEGS = 40
MOST_LEGS = 16_000  # that are fitted, evenly chosen; the grid of a leg takes 10 kB
DRIFTS = np.linspace(0.0, 0.1, 21)  # shares of a level lost a round
AVERAGINGS = np.linspace(-0.04, 0.2, 25)  # nats that an average stands above the best tip
SIZES = np.concatenate([[0.0], np.geomspace(0.002, 0.8, 27)])  # of luck, nats, and nats per nat
REWEIGHTINGS = 6
PLAIN = 6.63  # by which a fit with drift must be better (χ² of one number at 1 %), else there is none
MOST_NATS, MOST_RATE = 20.0, 1.0  # what a scenario's [world.learning] allows
LEAST_LUCK = 1e-3  # nats: no leg weighs infinitely much
FEWEST_OF_A_TRAINER = 3  # legs from which on a trainer's own mean counts


@dataclass(frozen=True, slots=True)
class LearningFit:
    """The learning curve; every array has one entry a resampled history, the history itself first."""

    rate: Floats
    ceiling: Floats  # nats
    drift: Floats
    averaging: Floats  # nats
    noise: Floats  # nats
    roughness: Floats
    trainers: Floats  # nats: standard deviation of what trainers gain, all else alike
    legs: int
    rounds: int

    @property
    def averaging_seen(self) -> bool:
        """Whether the history tells what averages add: it does not where resampled ones are all over the grid."""
        low, high = np.nanquantile(self.averaging, [0.025, 0.975])
        return bool(high - low < (AVERAGINGS[-1] - AVERAGINGS[0]) / 2)


def fit_learning(rounds: Sequence[Round], weights: Ints, judging: float = 0.0, caution: float = 0.0) -> LearningFit:
    """Fit the learning curve; `weights` are `resampled(len(rounds))`, `judging` is the variance of a leg's score by the
    judges' errors (nats²), `caution` what scores stay below the gains that were measured (nats).

    Raises LocalFault for too few rounds or legs, or where gains do not fall as models get better.
    """
    judged = [(place, each) for place, each in enumerate(rounds) if each.judged.any()]
    legs = sum(int(each.judged.sum()) for _, each in judged)
    if len(judged) < FEWEST_ROUNDS or legs < FEWEST_LEGS:
        raise LocalFault(
            f"the history has {len(judged)} rounds with {legs} judged legs, at least {FEWEST_ROUNDS} rounds with "
            f"{FEWEST_LEGS} legs are needed: wait until the network has played more"
        )
    place = np.repeat([place for place, _ in judged], [int(each.judged.sum()) for _, each in judged])
    some_legs = slice(None, None, -(-legs // MOST_LEGS))
    gained = (np.concatenate([each.score[each.judged] for _, each in judged]) + caution)[some_legs]
    who = [each.trainers[leg] for _, each in judged for leg in np.flatnonzero(each.judged)][some_legs]
    counts = weights[:, place[some_legs]].astype(np.float64)
    walks = [_walk(rounds, drift, caution)[:, some_legs] for drift in DRIFTS]
    level = np.concatenate([level + AVERAGINGS[:, None] * averages for level, averages in walks])  # (grid, legs)
    own, luck = _Own(np.zeros_like(gained), 0.0), np.ones_like(gained)
    for step in range(REWEIGHTINGS):
        last = step == REWEIGHTINGS - 1  # resampled histories take over the weights that the history itself asks for
        some = counts if last else counts[:1]
        rate, ceiling, best = _lines(level, gained - own.of_leg, some / (luck + own.variance))
        at = int(best[0])
        distance = ceiling[0] - level[at]
        error = gained - rate[0] * distance
        own = _own_means(error, luck if luck.min() < luck.max() else np.full_like(luck, error.var()), who)
        noise, roughness = _luck(error - own.of_leg, distance, some, judging)
        luck = judging + (noise[0] + roughness[0] * np.abs(distance)) ** 2 + LEAST_LUCK**2
    known = best >= 0
    return LearningFit(
        rate=rate,
        ceiling=ceiling,
        drift=np.where(known, np.repeat(DRIFTS, len(AVERAGINGS))[best], np.nan),
        averaging=np.where(known, np.tile(AVERAGINGS, len(DRIFTS))[best], np.nan),
        noise=noise,
        roughness=roughness,
        trainers=np.full(len(weights), np.sqrt(own.variance)),
        legs=legs,
        rounds=len(judged),
    )


# --- Inside -----------------------------------------------------------------------------------------------------------


def _walk(rounds: Sequence[Round], drift: float, caution: float) -> Floats:
    """Return for every judged leg, (2, legs), the level that it starts from if levels fade by `drift` and averages add
    nothing (nats above genesis), and how many averages on its way count for it, the one that it starts from included.
    """
    stood: dict[Hashable, tuple[int, float, float]] = {}  # when it was made, its level then, and the averages in it
    found: list[tuple[float, float]] = []
    tips = 1
    for each in rounds:
        legs = np.flatnonzero(each.judged)
        several = float(tips > 1)
        parents = {parent: stood.get(parent, (each.number, 0.0, 0.0)) for parent in {each.parents[leg] for leg in legs}}
        for leg in legs:
            made, level, averages = parents[each.parents[leg]]
            left = (1 - drift) ** (each.number - made)
            found.append((level * left, averages * left + several))
            child = each.children[leg]
            assert child is not None, "a judged leg has a child"
            stood[child] = (each.number, found[-1][0] + float(each.score[leg]) + caution, found[-1][1])
        chosen = {child for child, won in zip(each.children, each.selected, strict=True) if won}
        if chosen:  # nothing continues any other
            tips, stood = len(chosen), {child: held for child, held in stood.items() if child in chosen}
    return np.array(found).T


def _lines(level: Floats, gained: Floats, weights: Floats) -> tuple[Floats, Floats, Ints]:
    """Fit a line for each resampled history (rows of `weights`) and each row of `level`, the grid.

    Returns rate, ceiling and the row of `level` that fits best, each (histories,); NaN and -1 where none fits.
    """
    total = weights.sum(axis=1)[:, None]
    across, squares = weights @ level.T / total, weights @ (level**2).T / total
    up, high = (weights @ gained)[:, None] / total, (weights @ gained**2)[:, None] / total
    spread = np.maximum(squares - across**2, 1e-12)
    slope = (weights @ (level * gained).T / total - across * up) / spread
    left = np.maximum(high - up**2 - slope**2 * spread, 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        ceiling = across - up / slope
    sound = (slope < 0) & (-slope <= MOST_RATE) & (ceiling > 0) & (ceiling <= MOST_NATS)
    if not sound[0].any():
        raise LocalFault("gains do not fall as models get better: there is no ceiling to fit")
    left = np.where(sound, left, np.inf)
    still = left[:, : len(AVERAGINGS)]  # without drift
    least, lines = left.min(axis=1), np.arange(len(weights))
    plain = still.min(axis=1) <= least * (1 + PLAIN / len(gained))
    left[plain, len(AVERAGINGS) :] = np.inf
    # the history takes the best of the grid, resampled ones any that is about as good, by its likelihood
    with np.errstate(invalid="ignore"):
        unlikely = np.where(np.isfinite(left), len(gained) / 2 * left / least[:, None], np.inf)
    unlikely[1:] -= np.random.default_rng(SEED).gumbel(size=unlikely[1:].shape)
    best = unlikely.argmin(axis=1)
    known = np.isfinite(left[lines, best])
    rate = np.where(known, -slope[lines, best], np.nan)
    return rate, np.where(known, ceiling[lines, best], np.nan), np.where(known, best, -1)


@dataclass(frozen=True, slots=True)
class _Own:
    """What trainers gain beyond others."""

    of_leg: Floats  # (legs,) the trainer's own mean error
    variance: float  # nats² between trainers, beyond what chance makes of their means


def _own_means(error: Floats, luck: Floats, who: Sequence[Hashable]) -> _Own:
    """Return what each trainer's legs gain more than others'; `luck` is the variance of a leg's error, (legs,)."""
    number = {trainer: place for place, trainer in enumerate(dict.fromkeys(who))}
    of = np.array([number[trainer] for trainer in who])
    weight = np.bincount(of, 1 / luck)
    mean = np.bincount(of, error / luck) / weight
    often = np.bincount(of) >= FEWEST_OF_A_TRAINER
    if often.sum() < 2:
        return _Own(np.zeros_like(error), 0.0)
    between = float(mean[often].var(ddof=1) - (1 / weight[often]).mean())
    mean -= mean[often].mean()  # every trainer counts once: good ones have more legs, and more so as time goes on
    return _Own(np.where(often[of], mean[of], 0.0), max(between, 0.0))


def _luck(error: Floats, distance: Floats, counts: Floats, judging: float) -> tuple[Floats, Floats]:
    """Return noise and roughness for each resampled history: the likeliest of a grid, errors normal."""
    noise, roughness = (each.ravel() for each in np.meshgrid(SIZES, SIZES, indexing="ij"))
    likelihood = np.empty((len(noise), len(error)))
    for place in range(len(noise)):
        variance = judging + (noise[place] + roughness[place] * np.abs(distance)) ** 2 + LEAST_LUCK**2
        likelihood[place] = -0.5 * (np.log(variance) + error**2 / variance)
    best = (counts @ likelihood.T).argmax(axis=1)
    return noise[best], roughness[best]
