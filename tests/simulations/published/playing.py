"""Runs of the published mechanism for the tests of its table and of its numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from derelayl_simulations.published import Network, PublishedParameters, draw_chance, play_round
from derelayl_simulations.published.observe import Record


def play(parameters: PublishedParameters, rounds: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Play a fresh network and return its table."""
    rng, network = np.random.default_rng(seed), Network(parameters.participants)
    record = Record(rounds, parameters.participants)
    for _ in range(rounds):
        record.add(network, play_round(network, draw_chance(rng, parameters.participants), parameters))
    return record.table()
