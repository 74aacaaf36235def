"""Runs of the published mechanism: one seed, or many side by side."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from derelayl_protocol.errors import LocalFault

from .columns import COLUMNS, observe
from .lineage import Floats, Ints
from .parameters import PublishedParameters
from .published import Network, draw_chance, play_round

MAX_ROUNDS = 100_000  # minutes per seed; more would be a slip of the pen
MAX_TOTAL_ROUNDS = 5_000_000  # rounds over all seeds: their tables stay in memory until written, 250 bytes a round
MAX_COIN_SAMPLES = 1_000  # rounds at which every participant's coins are kept: finer than a figure can show

_PLACE = {name: place for place, name in enumerate(COLUMNS)}


@dataclass(frozen=True, slots=True)
class CoinHistory:
    """Every participant's coins, at a sample of the rounds."""

    rounds: Ints  # (samples,) from 1
    coins: Floats  # (samples, participants)


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one seed."""

    parameters: PublishedParameters
    seed: int
    table: Floats  # (rounds, columns)
    history: CoinHistory | None

    @property
    def rounds(self) -> int:
        return len(self.table)

    def column(self, name: str) -> Floats:
        """Return one column of COLUMNS over the rounds, shape (rounds,)."""
        return self.table[:, _PLACE[name]]

    def survives(self, round_number: int) -> bool:
        """Tell whether the network still has an owner after this round, counted from 1."""
        return bool(self.column("live_tips")[round_number - 1] > 0)


def run(parameters: PublishedParameters, rounds: int, seed: int, keep_history: bool = False) -> Result:
    """Play `rounds` rounds from a fresh network; the same seed gives the same result in any process.

    `keep_history` also keeps everybody's coins, at most MAX_COIN_SAMPLES rounds of them.
    Raises LocalFault if `rounds` or `seed` is out of bounds.
    """
    if not 1 <= rounds <= MAX_ROUNDS:
        raise LocalFault(f"rounds is {rounds}, allowed is 1 … {MAX_ROUNDS}")
    if seed < 0:
        raise LocalFault(f"seed is {seed}, allowed is 0 or more")
    rng = np.random.default_rng(seed)
    network = Network(parameters.participants)
    table = np.empty((rounds, len(COLUMNS)))
    stride = math.ceil(rounds / MAX_COIN_SAMPLES)
    coins: list[Floats] = []
    for row in range(rounds):
        outcome = play_round(network, draw_chance(rng, parameters.participants), parameters)
        table[row] = observe(network, outcome)
        if keep_history and network.round % stride == 0:
            coins.append(network.coins.copy())
    history = CoinHistory(np.arange(stride, rounds + 1, stride), np.array(coins)) if keep_history else None
    return Result(parameters, seed, table, history)


def run_many(parameters: PublishedParameters, rounds: int, seeds: Sequence[int], jobs: int) -> Iterator[Result]:
    """Yield the result of every seed as it is done, in no particular order, using at most `jobs` processes.

    The first seed's result keeps its history. More processes than seeds or cores are not started; with one, everything
    stays in this process.
    Raises LocalFault on bad arguments and BrokenProcessPool if a process is killed. Every run is finite, so it ends.
    """
    if not 1 <= len(seeds) * rounds <= MAX_TOTAL_ROUNDS:
        raise LocalFault(
            f"{len(seeds)} seeds of {rounds} rounds are {len(seeds) * rounds} rounds, allowed is 1 … {MAX_TOTAL_ROUNDS}"
        )
    if jobs < 1:
        raise LocalFault(f"jobs is {jobs}, at least 1 is needed")
    jobs = min(jobs, len(seeds), os.cpu_count() or 1)
    if jobs == 1:
        yield from (run(parameters, rounds, seed, seed == seeds[0]) for seed in seeds)
        return
    # Fresh interpreters: a forked copy of a process with threads may hang.
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        tasks = [pool.submit(run, parameters, rounds, seed, seed == seeds[0]) for seed in seeds]
        for done in as_completed(tasks):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
