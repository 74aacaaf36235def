"""Owners under the published rule: growth, steady state, and the exact probability of survival.

With o owners there are min(k·o, q·N - o) pairs, of which Binomial(pairs, p) get a model, of which floor(s · models) are
selected: the next round's owners. That is a Markov chain with the absorbing state 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from derelayl_protocol.errors import LocalFault

from ..published.parameters import PublishedParameters

Floats = NDArray[np.float64]

CLOSE = 1e-9  # a share written in decimals is meant as the fraction next to it
MAX_ACTIVE = 2_000  # states of the chain; a matrix of their square is kept


def growth(parameters: PublishedParameters) -> float:
    """Return k·p·s, by which owners multiply in a round while they are scarce and selection does not round.

    Above 1 is necessary for survival, not sufficient: see `alive`.
    """
    return parameters.trainers_per_owner * parameters.success_probability * parameters.selected_share


def can_branch(parameters: PublishedParameters) -> bool:
    """Tell whether owners can become more: k·p·s > 1, and floor(s·k) >= 2 so that a lone owner can become two."""
    most = math.floor(parameters.selected_share * parameters.trainers_per_owner)
    return growth(parameters) > 1 and most >= 2


def steady_owners(parameters: PublishedParameters) -> float:
    """Return the owners at which a round makes as many as it had, o* = (s·p·q·N - c) / (1 + s·p); 0 if k·p·s <= 1.

    From o = s·p·(q·N - o) - c once every trainer is matched, which k·o* >= q·N - o* allows exactly if k·p·s >= 1. c is
    what rounding down loses on average: with s = a/b in lowest terms, the remainders 0, 1/b … (b-1)/b are about equally
    likely, so c = (b - 1) / 2b.
    """
    if growth(parameters) <= 1:
        return 0.0
    kept = parameters.selected_share * parameters.success_probability
    return max(0.0, (kept * parameters.active - rounding_loss(parameters.selected_share)) / (1 + kept))


def rounding_loss(share: float) -> float:
    """Return what floor(share · models) loses on average, see `steady_owners`."""
    denominator = next((b for b in range(1, 1000) if abs(share * b - round(share * b)) < CLOSE * b), 1000)
    return (denominator - 1) / (2 * denominator)


def transition(parameters: PublishedParameters) -> Floats:
    """Return the chance of o' owners after a round with o, (active + 1, active + 1) indexed [o, o'].

    Raises LocalFault for more than MAX_ACTIVE active people.
    """
    active = parameters.active
    if active > MAX_ACTIVE:
        raise LocalFault(f"{active} active people are too many for the exact chain, allowed is {MAX_ACTIVE}")
    owners = np.arange(active + 1)
    pairs = np.minimum(parameters.trainers_per_owner * owners, active - owners)
    models = np.arange(active + 1)
    chance = stats.binom.pmf(models[None, :], pairs[:, None], parameters.success_probability)
    selected = np.floor(parameters.selected_share * models).astype(np.int64)
    matrix = np.zeros((active + 1, active + 1))
    np.add.at(matrix.T, selected, chance.T)
    return matrix


def alive(parameters: PublishedParameters, rounds: int) -> Floats:
    """Return the exact probability that there is an owner after each round 1 … rounds, from one genesis owner."""
    matrix, state = transition(parameters), np.zeros(parameters.active + 1)
    state[min(1, parameters.active)] = 1.0
    left = np.empty(rounds)
    for number in range(rounds):
        state = state @ matrix
        left[number] = 1.0 - state[0]
    return np.clip(left, 0.0, 1.0)


def expected_owners(parameters: PublishedParameters, rounds: int) -> Floats:
    """Return the exact mean of the owners in each round 1 … rounds, while there are any, else NaN."""
    matrix, state = transition(parameters), np.zeros(parameters.active + 1)
    state[min(1, parameters.active)] = 1.0
    numbers, means = np.arange(parameters.active + 1), np.full(rounds, np.nan)
    for number in range(rounds):
        there = 1.0 - state[0]
        if there > 0:
            means[number] = float(state @ numbers) / there
        state = state @ matrix
    return means
