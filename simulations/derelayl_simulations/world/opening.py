"""From a scenario and a seed to a world that can be played."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from derelayl_protocol.errors import LocalFault

from .people import settle_down
from .state import World

if TYPE_CHECKING:
    from ..scenarios.load import Scenario


def generators(seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Return the sources of what people are and of what happens to them, apart: more people draw no other luck."""
    people, luck = np.random.SeedSequence(seed).spawn(2)
    return np.random.default_rng(people), np.random.default_rng(luck)


def check_events(scenario: Scenario) -> None:
    """Raise LocalFault if an event names a group that there is not."""
    groups = [group.name for group in scenario.world.group]
    for number, event in enumerate(scenario.event):
        if event.group is not None and event.group not in groups:
            raise LocalFault(f"event.{number}.group is {event.group!r}, allowed is {', '.join(groups)}")


def open_world(scenario: Scenario, seed: int) -> tuple[World, np.random.Generator]:
    """Found a scenario's relays; return them and the source of luck.

    Raises LocalFault if an event names no group or the money does not fit the ledger.
    """
    check_events(scenario)
    people, luck = generators(seed)
    everybody = settle_down(scenario.world, scenario.world.relays, people)
    return World.open(scenario.world, scenario.ledger, everybody, scenario.mechanism.made()), luck
