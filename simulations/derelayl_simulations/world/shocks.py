"""Timed events: faults, shocks and churn that a scenario prescribes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..ledger import NOBODY, Book
from .luck import Luck
from .people import Bools
from .settings import Event
from .state import World


def happen(world: World, events: Sequence[Event], luck: Luck) -> None:
    """Let happen what is due in the running round."""
    world.cost_factor = _factor(world, events, "cost")
    world.demand_factor = _factor(world, events, "demand")
    cut = [event.amount for event in events if event.kind == "partition" and _lasts(event, world.round, 1)]
    world.partition = max(cut, default=0.0)
    for event in events:
        if event.round == world.round:
            _start(world, event, luck)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _factor(world: World, events: Sequence[Event], kind: str) -> float:
    """Multiply the factors of a kind that hold now; those without a length hold for good."""
    return math.prod(event.amount for event in events if event.kind == kind and _lasts(event, world.round, None))


def _lasts(event: Event, now: int, unless_said: int | None) -> bool:
    rounds = event.rounds or unless_said
    return event.round <= now and (rounds is None or now < event.round + rounds)


def _start(world: World, event: Event, luck: Luck) -> None:
    met = _met(world, event) & (luck.decide < event.amount)
    match event.kind:
        case "price":
            world.price *= event.amount
        case "quality":
            tips = world.book.tips
            world.book.checkpoints.note[tips[tips != NOBODY]] -= event.amount
        case "budget":
            _cut(world.book, event.amount)
        case "enter":
            world.admit(met)
        case "leave":
            world.dismiss(met & world.present)
        case "crash":
            world.crash_from[met], world.crash_until[met] = world.round, world.round + max(event.rounds, 1) - 1
        case "cost" | "demand" | "partition":
            pass  # they hold for a while, see `happen`


def _cut(book: Book, share: float) -> None:
    """Leave that share of each budget, rounded down; the rest is gone from the ledger."""
    left = np.floor(book.budget * share).astype(np.int64)
    book.deposited -= int((book.budget - left).sum())
    book.budget = left


def _met(world: World, event: Event) -> Bools:
    """Say whom an event can meet, (P,)."""
    places, groups = world.people.places, world.settings.group
    met = np.ones(places.people, np.bool_)
    if event.role != "all":
        met &= world.trainers == (event.role == "trainer")
    if event.group is not None:
        met &= np.array([group.name == event.group for group in groups])[places.group]
    return met
