"""The published rules: seconds of a run, beside the authors' script, and how the cost of a round grows.

The script's times for 1,000 and 5,000 rounds are stated: it was run on 2 cores without plotting. Where the environment
variable DERELAYL_AUTHORS_SCRIPT names a copy of the script, it is run beside ours, in turn, for 100 rounds (and for
1,000 in a full run). The script is the authors' and is not part of this project.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.rows import Row, row
from benchmarks.simulation.rivals import RUN_SECONDS, RivalFailed
from derelayl_simulations.published import Network, PublishedParameters, draw_chance, play_round
from derelayl_simulations.published.observe import Record
from derelayl_simulations.scenarios import Scenario, load
from derelayl_simulations.study.run import run

SCRIPT = "DERELAYL_AUTHORS_SCRIPT"
STATED_SECONDS = {1000: 41.5, 5000: 1228.0}
"""Rounds → seconds that the authors' scripts take on 2 cores without plotting, measured when they were first read."""

FULL = {1000: 7, 5000: 3}  # rounds → runs, with seeds of their own
QUICK = {1000: 2}
BESIDE = {100: 5, 1000: 2}  # the same beside the script
BESIDE_QUICK = {100: 1}
SIZES = (64, 256, 1024, 4096, 16_384, 65_536)  # participants
SIZES_QUICK = (64, 256, 1024)
SIZE_ROUNDS = 100
WINDOWS = (0, 500, 1000, 2000, 3000, 4000, 5000)  # rounds
WINDOWS_QUICK = (0, 500, 1000)


def measure(quick: bool) -> list[Row]:
    rows = [_against_stated(rounds, runs) for rounds, runs in (QUICK if quick else FULL).items()]
    path = os.environ.get(SCRIPT)
    if path:
        rows += [beside(Path(path), rounds, runs) for rounds, runs in (BESIDE_QUICK if quick else BESIDE).items()]
    rows += [_size(participants, 2 if quick else 5) for participants in (SIZES_QUICK if quick else SIZES)]
    return rows + _windows(WINDOWS_QUICK if quick else WINDOWS, 1 if quick else 3)


def seconds_of_run(scenario: Scenario, seed: int) -> float:
    begin = time.perf_counter()
    run(scenario, seed)
    return time.perf_counter() - begin


def beside(script: Path, rounds: int, runs: int) -> Row:
    """Run the script and ours in turn. Raises RivalFailed where it is not the script."""
    ours, theirs = [], []
    for seed in range(runs):
        ours.append(seconds_of_run(_scenario(rounds), seed))
        theirs.append(_seconds_of_script(script, rounds))
    return row(f"published, 256 participants, {rounds} rounds", "time", "s", ours, "authors' script, beside", theirs)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _scenario(rounds: int, participants: int = 256) -> Scenario:
    return load("published").with_values({"rounds": rounds, "published.participants": participants})


def _against_stated(rounds: int, runs: int) -> Row:
    seconds_of_run(_scenario(10), 0)  # first use of numpy's random numbers is slow, and not what is measured
    ours = [seconds_of_run(_scenario(rounds), seed) for seed in range(runs)]
    stated = [STATED_SECONDS[rounds]] * runs
    return row(f"published, 256 participants, {rounds} rounds", "time", "s", ours, "authors' scripts, stated", stated)


def _seconds_of_script(script: Path, rounds: int) -> float:
    """Run the script without its plots; what it takes to start and to play one round is taken off.

    Raises RivalFailed where it is not what we know.
    """
    return _seconds_of_process(script, rounds) - _seconds_of_process(script, 1)


def _seconds_of_process(script: Path, rounds: int) -> float:
    try:
        source = script.read_text(encoding="utf-8")
    except OSError as error:
        raise RivalFailed(f"{SCRIPT} names {script}, which cannot be read: {error.strerror}") from None
    for pattern, replacement in (
        (r"^import matplotlib.*$", ""),
        (r"^(\s*num_simulated_round = )\d+", rf"\g<1>{rounds}"),
        (r"^\s+plot_participants_data\(data\)\s*$", ""),
    ):
        source, found = re.subn(pattern, replacement, source, flags=re.MULTILINE)
        if not found:
            raise RivalFailed(f"{script} is not the authors' script: nothing in it matches {pattern}")
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-"], input=source, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RivalFailed(f"the authors' script failed: {done.stderr.strip()[-2000:]}")
    return seconds


def _size(participants: int, runs: int) -> Row:
    scenario = _scenario(SIZE_ROUNDS, participants)
    costs = [1e3 * seconds_of_run(scenario, seed) / SIZE_ROUNDS for seed in range(runs)]
    return row(f"published, {participants} participants", "cost of a round", "ms", costs)


def _windows(edges: tuple[int, ...], runs: int) -> list[Row]:
    """The cost of a round early and late in the same run."""
    costs = np.array([_costs(edges, seed) for seed in range(runs)])
    return [
        row(f"published, 256 participants, rounds {first + 1} … {last}", "cost of a round", "ms", column.tolist())
        for (first, last), column in zip(pairwise(edges), costs.T, strict=True)
    ]


def _costs(edges: tuple[int, ...], seed: int) -> list[float]:
    parameters, rng = PublishedParameters(), np.random.default_rng(seed)
    network, record = Network(parameters.participants), Record(edges[-1], parameters.participants)
    costs = []
    for first, last in pairwise(edges):
        begin = time.perf_counter()
        for _ in range(first, last):
            record.add(network, play_round(network, draw_chance(rng, parameters.participants), parameters))
        costs.append(1e3 * (time.perf_counter() - begin) / (last - first))
    return costs
