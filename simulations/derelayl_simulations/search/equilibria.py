"""What people would do in an empirical game: symmetric mixed equilibria and α-rank, and how sure that is.

A mixed equilibrium is symmetric within each role: all its players draw from one mixture, and none gains by leaving it.
α-rank (Omidshafiei et al., 2019) asks instead where people end up who move to what pays more, one after the other; it
is OpenSpiel's, the optional extra `games`.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize  # type: ignore[import-untyped]

from derelayl_protocol.errors import LocalFault

from ..study.statistics import BOOTSTRAP_SEED, CONFIDENCE, Floats, Interval, mean
from .game import Game

STARTS = 4  # from which the mixture of a support is looked for: even, then drawn
TOLERANCE = 1e-7  # of the range of the payoffs: regret of an equilibrium
SAME = 1e-4  # mixtures that differ less are one
LEAST = 1e-6  # share of a strategy that counts as played
MAX_MOVES = 1_024  # profiles of named players that α-rank is asked about; its time grows with their cube
RESAMPLES = 100
RANKED = 30  # of them that are ranked, which takes a second each for four players and strategies
NO_OPEN_SPIEL = "α-rank needs OpenSpiel, which is not installed: pip install 'derelayl[games]'"

Support = tuple[int, ...]
"""Strategies that are played, by their columns."""


@dataclass(frozen=True, slots=True)
class Equilibrium:
    """A mixture that nobody gains by leaving."""

    mixture: Floats  # (strategies,)
    regret: float
    found_again: float  # share of the resampled games that have an equilibrium of the same strategies
    low: Floats  # (strategies,) of the mixture in those, NaN if there are none
    high: Floats


@dataclass(frozen=True, slots=True)
class Ranked:
    """How much of the time people spend with each strategy who move to what pays more."""

    shares: Floats  # (strategies,), adding up to 1 in each role
    honest: float  # time in which everybody is honest
    low: Floats
    high: Floats
    honest_low: float
    honest_high: float


@dataclass(frozen=True, slots=True)
class Found:
    """What can be said of a game; intervals are bootstrapped over the seeds."""

    game: Game
    payoffs: Floats  # (seeds, profiles, strategies)
    equilibria: tuple[Equilibrium, ...]
    others: dict[Support, float]  # sets of strategies of further equilibria, and the share of resampled games with them
    leaving: dict[tuple[str, str], Interval]  # what the first to leave honesty gains by each strategy
    honest: float  # share of the resampled games in which nobody gains by leaving honesty
    ranked: Ranked | None  # without OpenSpiel none


def solve(game: Game, payoffs: Floats) -> list[Floats]:
    """Return the symmetric mixed equilibria of a game that were found; `payoffs` are (profiles, strategies).

    Every set of strategies is tried. Of a continuum of equilibria some are found; where the payoffs of three and more
    players bend much, one may be missed.
    """
    there = payoffs[game.profiles > 0]
    tolerance = TOLERANCE * max(float(np.ptp(there)), 1e-9)
    found: list[Floats] = []
    for support in _supports(game):
        for mixture in _mixtures(game, payoffs, support):
            fits = game.regret(payoffs, mixture) <= tolerance
            if fits and all(np.abs(mixture - other).max() > SAME for other in found):
                found.append(mixture)
    return found


def support_of(mixture: Floats) -> Support:
    """Return which strategies a mixture plays."""
    return tuple(np.flatnonzero(mixture > LEAST).tolist())


def alpha_rank(game: Game, payoffs: Floats) -> tuple[Floats, float]:
    """Return the share of time that α-rank gives each strategy, and to everybody's first strategy, honesty.

    It moves in the limit of infinite α: whoever moves next goes to what pays more, hardly ever to what pays less.
    Raises LocalFault if OpenSpiel is not installed or there are too many profiles of named players.
    """
    tool = _open_spiel()
    sizes = [len(role.strategies) for role in game.roles for _ in range(role.players)]
    if np.prod(sizes) > MAX_MOVES:
        raise LocalFault(
            f"α-rank of {len(sizes)} players has {np.prod(sizes)} profiles, allowed is {MAX_MOVES}: take fewer players"
        )
    columns = [place for place, role in zip(game.places, game.roles, strict=True) for _ in range(role.players)]
    tables = np.empty((len(sizes), *sizes))
    counted = np.empty((*sizes, len(game.strategies)))
    for profile in np.ndindex(*sizes):
        played = [place.start + strategy for place, strategy in zip(columns, profile, strict=True)]
        counts = np.bincount(played, minlength=len(game.strategies))
        row = payoffs[game.number[tuple(counts.tolist())]]
        counted[profile] = counts
        tables[(slice(None), *profile)] = row[played]
    time = np.asarray(tool.compute(list(tables), use_inf_alpha=True)[2])
    players = np.repeat([role.players for role in game.roles], [len(role.strategies) for role in game.roles])
    return np.asarray(time @ counted.reshape(len(time), -1) / players), float(time[0])


def analyse(game: Game, payoffs: Floats, resamples: int = RESAMPLES) -> Found:
    """Return the equilibria of the mean payoffs over the seeds, and how they change where other seeds are drawn.

    `payoffs` are (seeds, profiles, strategies). Without OpenSpiel nothing is ranked.
    """
    centre = payoffs.mean(axis=0)
    estimate = solve(game, centre)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = [payoffs[rng.integers(len(payoffs), size=len(payoffs))].mean(axis=0) for _ in range(resamples)]
    again = [{support_of(mixture): mixture for mixture in solve(game, each)} for each in drawn]
    equilibria = tuple(_sure(game, centre, mixture, again) for mixture in estimate)
    known = {support_of(mixture) for mixture in estimate}
    others = {each: sum(each in some for some in again) / len(again) for some in again for each in some}
    first = game.pure([0] * len(game.roles))
    nobody = [game.regret(each, first) <= 0.0 for each in drawn]
    return Found(
        game,
        payoffs,
        equilibria,
        {each: share for each, share in sorted(others.items(), key=lambda pair: -pair[1]) if each not in known},
        _leaving(game, payoffs),
        sum(nobody) / len(nobody),
        _ranked(game, centre, drawn[:RANKED]) if has_open_spiel() else None,
    )


def has_open_spiel() -> bool:
    """Tell whether the extra `games` is installed."""
    try:
        _open_spiel()
    except LocalFault:
        return False
    return True


# --- Inside -----------------------------------------------------------------------------------------------------------


def _open_spiel() -> Any:
    try:
        return importlib.import_module("open_spiel.python.egt.alpharank")
    except ModuleNotFoundError:
        raise LocalFault(NO_OPEN_SPIEL) from None


def _supports(game: Game) -> Iterator[tuple[Support, ...]]:
    """Yield every choice of strategies of each role, few first."""
    each = [
        [
            some
            for size in range(1, len(role.strategies) + 1)
            for some in itertools.combinations(range(start, stop), size)
        ]
        for role, place in zip(game.roles, game.places, strict=True)
        for start, stop in [(place.start, place.stop)]
    ]
    yield from sorted(itertools.product(*each), key=lambda chosen: sum(map(len, chosen)))


def _mixtures(game: Game, payoffs: Floats, support: Sequence[Support]) -> Iterator[Floats]:
    """Yield mixtures of just these strategies, all of a role's earning the same."""
    played = [each for some in support for each in some]

    def whole(shares: Floats) -> Floats:
        mixture = np.zeros(len(game.strategies))
        mixture[played] = shares
        return mixture

    def differences(shares: Floats) -> Floats:
        earned = game.expected(payoffs, whole(shares))
        ends = itertools.accumulate((len(some) for some in support), initial=0)
        rows = [np.append(np.diff(earned[list(some)]), 0.0) for some in support]
        for row, (start, stop) in zip(rows, itertools.pairwise(ends), strict=True):
            row[-1] = shares[start:stop].sum() - 1.0
        return np.concatenate(rows)

    even = np.concatenate([np.full(len(some), 1.0 / len(some)) for some in support])
    if all(len(some) == 1 for some in support):
        yield whole(even)
        return
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    starts = [
        even,
        *(np.concatenate([rng.dirichlet(np.ones(len(some))) for some in support]) for _ in range(STARTS - 1)),
    ]
    for start in starts:
        found = optimize.root(differences, start)
        if found.success and (found.x > LEAST).all():
            yield whole(found.x)


def _sure(game: Game, payoffs: Floats, mixture: Floats, again: Sequence[dict[Support, Floats]]) -> Equilibrium:
    support = support_of(mixture)
    same = np.array([some[support] for some in again if support in some]).reshape(-1, len(mixture))
    low, high = _ends(same)
    return Equilibrium(mixture, game.regret(payoffs, mixture), len(same) / len(again), low, high)


def _leaving(game: Game, payoffs: Floats) -> dict[tuple[str, str], Interval]:
    """Return what a single player gains by each strategy where all others are honest, paired by seed."""
    first = game.pure([0] * len(game.roles))
    earned = np.array([game.expected(each, first) for each in payoffs])
    return {
        game.strategies[column]: mean(earned[:, column] - earned[:, place.start])
        for place in game.places
        for column in range(place.start + 1, place.stop)
    }


def _ranked(game: Game, centre: Floats, drawn: Sequence[Floats]) -> Ranked:
    shares, honest = alpha_rank(game, centre)
    several = [alpha_rank(game, each) for each in drawn]
    low, high = _ends(np.array([each for each, _ in several]))
    ends = _ends(np.array([[each] for _, each in several]))
    return Ranked(shares, honest, low, high, float(ends[0][0]), float(ends[1][0]))


def _ends(rows: Floats) -> tuple[Floats, Floats]:
    """Return the percentiles between which the middle of these rows is, NaN of none."""
    if len(rows) == 0:
        return np.full(rows.shape[1], np.nan), np.full(rows.shape[1], np.nan)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(rows, [tail, 100 - tail], axis=0)
    return np.asarray(low), np.asarray(high)
