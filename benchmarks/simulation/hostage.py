"""What an owner gains that serves its tip to nobody, and what a rule against it brings and costs.

A row is a mean over seeds of the world `crowded`, its spread Student's 95 % interval.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.rows import Row
from benchmarks.simulation.remedies import QUICK_SEEDS, SEEDS, gain_rows, honest_rows, mean_row
from derelayl_simulations.scenarios import load
from derelayl_simulations.search.equilibrium import deviations_of

RULES = ("all", "half")
SEEDERS = (0.0, 0.5, 1.0)
"""Chances that others serve a tip whose owner does not."""

SABOTEURS = 0.4
TRIED = {"search.validator": (), "search.rings": (), "search.control": ()}


def measure(quick: bool) -> list[Row]:
    return list(_rows(QUICK_SEEDS if quick else SEEDS))


def _rows(seeds: range) -> Iterator[Row]:
    for rule in RULES:
        crowded = load("crowded").with_values({"mechanism.delivery": rule, **TRIED})
        for seeders in SEEDERS:
            tried = crowded.with_values({"world.seeders": seeders, "search.trainer": ("hostage", "withholder")})
            yield from gain_rows(f"delivery {rule}, others serve {seeders:.0%}", tried, seeds)
        blocked = crowded.with_values({"search.trainer": ("saboteur",), "search.share": SABOTEURS})
        yield from gain_rows(f"delivery {rule}", blocked, seeds)
        others = [found["saboteur"].honest for found in deviations_of(blocked, seeds)]
        yield mean_row(
            f"delivery {rule}", f"others beside saboteurs, {SABOTEURS:.0%}", "money a round and person", others
        )
        yield from honest_rows(f"delivery {rule}", crowded, seeds)
