"""What a trunk for each segment would bring: lanes that are trained apart and composed at settlement. Nobody runs it.

The most that lanes could do is assumed: a leg trains one of K segments and gains a K-th of what it would have gained in
all, and the best selected gains of the lanes add up to the model that everybody goes on from and is compared with.
Errors of judges are what they are. Rows as those of `spread`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.rows import Row
from benchmarks.simulation.spread import case
from derelayl_simulations.ledger.arithmetic import Ints
from derelayl_simulations.ledger.mechanism.port import CONTRACT, Copies, Duplicates
from derelayl_simulations.scenarios.mechanism import MechanismSettings
from derelayl_simulations.world import learning, play, training

TRIED = ((1, False), (2, False), (2, True), (4, False), (4, True))
"""Lanes, and whether each has one winner; else legs compete as one."""

SEEDS, QUICK_SEEDS = 4, 2


def measure(quick: bool) -> list[Row]:
    return list(_rows(range(QUICK_SEEDS if quick else SEEDS)))


def _rows(seeds: range) -> Iterator[Row]:
    for lanes, alone in TRIED:
        with _composed(lanes, alone):
            name = f"{lanes} lanes, {'a winner each' if alone else 'one contest'}" if lanes > 1 else "one trunk"
            values = {"ledger.selected_share": 1.0} if alone else {}
            yield from case(name, seeds, values, "standard")


class OneOfALane(Duplicates):
    """Takes the legs of a lane for one, so that only the best of them is selected."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes

    def classes(self, copies: Copies) -> Ints | None:
        judged = copies.judged
        numbers = np.arange(judged.shape[1])
        of_class = np.tile(numbers, (len(judged), 1))
        for lane in range(self._lanes):
            columns = numbers[lane :: self._lanes]
            if len(columns):
                first = columns[judged[:, columns].argmax(axis=1)][:, None]
                of_class[:, columns] = np.where(judged[:, columns], first, columns)
        return of_class


@contextmanager
def _composed(lanes: int, alone: bool) -> Iterator[None]:
    """Let worlds be played with lanes. What the lanes add up to is kept by world, from its first round on."""
    if lanes == 1:
        yield
        return
    lay_out, hand_on, whole = training._lay_out, play._hand_on, learning.gain
    composed: dict[int, Any] = {}

    def lay_out_composed(world: Any, leases: Any, luck: Any) -> Any:
        legs = lay_out(world, leases, luck)
        if world.round == 1:
            composed[id(world)] = np.full(world.book.relays, -np.inf)
        level = composed[id(world)][legs.relay]
        public = {name: np.maximum(getattr(legs, name), level) for name in ("average", "start", "base")}
        return replace(legs, **public)

    def hand_on_composed(world: Any, trained: Any, outcome: Any, verdicts: Any) -> None:
        legs, level = trained.legs, composed[id(world)]
        selected = outcome.selected[legs.relay, legs.number]
        gained, base = np.zeros((len(level), lanes)), np.full(len(level), -np.inf)
        place = (legs.relay, legs.number % lanes)
        np.maximum.at(gained, place, np.where(selected, trained.deeds.level - legs.base, 0.0))
        np.maximum.at(base, legs.relay, legs.base)
        hand_on(world, trained, outcome, verdicts)
        level[:] = np.where(outcome.selected.any(axis=1), base + gained.sum(axis=1), level)
        level[:] = learning.age(world.settings.learning, level)

    mechanism = replace(CONTRACT, duplicates=OneOfALane(lanes)) if alone else CONTRACT
    with (
        patch.object(training, "_lay_out", lay_out_composed),
        patch.object(training, "gain", lambda *given: whole(*given) / lanes),
        patch.object(play, "_hand_on", hand_on_composed),
        patch.object(MechanismSettings, "made", lambda settings: mechanism),
    ):
        yield
