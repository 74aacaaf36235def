"""Runs that cost nothing, and results made of them. Functions are at module level: other processes import them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from derelayl_simulations.scenarios.load import Scenario, check
from derelayl_simulations.study.collect import collect
from derelayl_simulations.study.plan import Study, plan
from derelayl_simulations.study.results import Results
from derelayl_simulations.study.run import CoinHistory, Run


def small(**values: Any) -> Scenario:
    """Return a published scenario of three rounds; keyword arguments are sections or top-level keys."""
    return check({"name": "small", "question": "Is it small?", "rules": "published", "rounds": 3, "seeds": 2} | values)


def fake_run(scenario: Scenario, seed: int, keep_history: bool = False) -> Run:
    """Return a run whose supply is k·round + seed; it never had any profit, and seed 1 dies in round 2."""
    rounds = np.arange(1.0, scenario.rounds + 1)
    k = scenario.published.trainers_per_owner
    table = {
        "round": rounds,
        "supply": k * rounds + seed,
        "minted": np.full(scenario.rounds, 2.0),
        "burned": np.zeros(scenario.rounds),
        "owners": np.full(scenario.rounds, float(seed + 1)),
        "gini": np.full(scenario.rounds, 0.5),
        "inflation": np.where(rounds > 1, 0.1 / rounds, np.nan),
        "profit_trainer": np.full(scenario.rounds, np.nan),
    }
    coins = np.arange(4.0) + seed
    return Run(
        scenario=scenario.name,
        seed=seed,
        rounds=scenario.rounds,
        table=table,
        people={"coins": coins, "role": np.array(["trainer"] * 3 + ["validator"])},
        coins=CoinHistory(np.array([1, 2]), np.array([coins / 2, coins])) if keep_history else None,
        extinct_round=2 if seed == 1 else None,
    )


def dying_process(scenario: Scenario, seed: int, keep_history: bool = False) -> Run:
    """Take the whole process down with seed 1, as the kernel does when memory is short."""
    if seed == 1:
        os._exit(9)
    return fake_run(scenario, seed, keep_history)


def broken_run(scenario: Scenario, seed: int, keep_history: bool = False) -> Run:
    """Fail with seed 1."""
    if seed == 1:
        raise ZeroDivisionError("a bug in the simulation")
    return fake_run(scenario, seed, keep_history)


class Counting:
    """Plays fake runs in this process, and is interrupted before one of them if asked to be."""

    def __init__(self, interrupted_at: int | None = None) -> None:
        self.played: list[int] = []
        self._interrupted_at = interrupted_at

    def __call__(self, scenario: Scenario, seed: int, keep_history: bool) -> Run:
        if len(self.played) == self._interrupted_at:
            raise KeyboardInterrupt
        self.played.append(seed)
        return fake_run(scenario, seed, keep_history)


def results_of(folder: Path, study: Study | None = None) -> Results:
    """Return a folder of fake results of a study, by default of three seeds of the small scenario."""
    return collect(study or plan(small(), range(3)), folder, how=fake_run)


def files(folder: Path) -> dict[str, bytes]:
    """Return the contents of every file below a folder by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
