"""Small worlds for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from derelayl_simulations.scenarios.load import Scenario, check
from derelayl_simulations.world.luck import draw
from derelayl_simulations.world.opening import open_world
from derelayl_simulations.world.play import Round, play_round
from derelayl_simulations.world.state import World

HONEST = (
    {"name": "trainers", "share": 0.7},
    {"name": "validators", "role": "validator", "share": 0.3},
)


FEW_SEATS = {"committee_size": 5, "quorum": 3}
"""A committee that a small world can fill."""


def scenario(
    *,
    people: int = 30,
    relays: int = 1,
    rounds: int = 20,
    groups: Sequence[Mapping[str, Any]] = HONEST,
    ledger: Mapping[str, Any] | None = None,
    events: Sequence[Mapping[str, Any]] = (),
    search: Mapping[str, Any] | None = None,
    **world: Any,
) -> Scenario:
    """Return a scenario under the ledger's rules; further words go into [world]."""
    return check({
        "name": "test",
        "question": "does it work?",
        "rules": "ledger",
        "rounds": rounds,
        "ledger": FEW_SEATS | dict(ledger or {}),
        "world": {"participants": people * relays, "relays": relays, "group": [dict(each) for each in groups], **world},
        "event": [dict(each) for each in events],
        "search": dict(search or {}),
    })  # fmt: skip


def played(given: Scenario, seed: int = 1) -> tuple[World, list[Round]]:
    """Play a scenario; return the world at the end and every round."""
    world, rng = open_world(given, seed)
    places = world.people.places
    return world, [
        play_round(
            world,
            draw(rng, world.people.relays, places.accounts, places.people, given.ledger.committee_size),
            given.event,
        )
        for _ in range(given.rounds)
    ]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)
