"""How many coins there will be: the published rule without a bound, ours with one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.ledger.rules import Rules

from ..published.parameters import PublishedParameters
from .branching import steady_owners

Floats = NDArray[np.float64]


def published_supply(parameters: PublishedParameters, rounds: int) -> tuple[Floats, Floats]:
    """Return the least and the most coins after each round 1 … rounds of the published rule in its steady state.

    A selected model of version r mints r + 1 coins, o* of them a round: o*·(R² + 3R)/2, plus f·R of fees. That is the
    most. A trainer bids a coin for every version since it last trained, N / m* of them on average where m* models are
    made in a round, if it has them; all but o* of the bids are burned. That is the least. Both grow with the square of
    the rounds, without a bound.
    """
    owners = steady_owners(parameters)
    pairs = min(parameters.trainers_per_owner * owners, parameters.active - owners)
    models = parameters.success_probability * pairs
    fees = parameters.deposit_fee * pairs + 2 * parameters.hash_fee * models
    fees += parameters.test_fee * parameters.test_cases + parameters.ranking_fee * models * (1 + parameters.test_cases)
    burned = (pairs - owners) * parameters.participants / models if models > 0 else 0.0
    number = np.arange(1, rounds + 1, dtype=np.float64)
    most = owners * (number**2 + 3 * number) / 2 + fees * number
    return np.maximum(most - burned * number, 0.0), most


def emission_limit(rules: Rules, budget: int) -> int:
    """Return the most wei that a relay can ever emit: min(budget, h·(E + E/2 + E/4 + …)), about 2·h·E.

    Halved by a shift, as the ledger does, so the sum is finite and exact.
    """
    return min(
        budget, sum(rules.halving_rounds * (rules.emission >> step) for step in range(rules.emission.bit_length()))
    )


def inflation_end(rules: Rules, budget: int, supply: int, limit: float) -> int:
    """Return after how many rounds that mint no further one can mint `limit` of all coins there are; wei.

    Emission never rises and coins never vanish, so the n-th such round mints at most E of supply + (n - 1)·E: at most
    1 / (n - 1) of all coins, whatever the rules.
    """
    rounds = 0
    for step in range(rules.emission.bit_length() + 1):
        each = rules.emission >> step
        if each == 0 or budget <= 0 or each < limit * supply:
            break
        wanted = math.floor(1 / limit - supply / each) + 1  # rounds until this emission is too little
        here = min(rules.halving_rounds, -(-budget // each), max(wanted, 0))
        rounds, supply, budget = rounds + here, supply + here * each, budget - here * each
    return rounds


def emitted(rules: Rules, budget: int, rounds: int) -> Floats:
    """Return the most wei emitted after each round 1 … rounds, if every one is settled with a selected leg."""
    halvings = np.arange(rounds) // rules.halving_rounds
    each = np.array([float(rules.emission >> min(int(step), 127)) for step in range(int(halvings[-1]) + 1)])
    return np.asarray(np.minimum(np.cumsum(each[halvings]), float(budget)))
