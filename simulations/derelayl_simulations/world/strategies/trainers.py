"""Trainers and owners that are not honest, each a few lines of what it does otherwise.

What they submit is measured like any other child; whether it pays is what the simulation is for. docs/SECURITY.md
names the same attacks on the reference.
"""

from __future__ import annotations

import numpy as np

from .port import CHEAP, Deeds, Floats, Ints, Learn, Legs, Market, Trainer

POISON_NATS = 0.5  # a loss 65 % above its parent's
STILL_NATS = 0.005  # how far noise on the weights moves the loss
OUTBID = 1.01  # factor on the bid that is beaten
WHALE_FACTOR = 2.0  # a whale bids that much of the best bid of others


class Lazy(Trainer):
    """Hands over its parent plus noise."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.level[mine] = legs.level[mine] - STILL_NATS * np.abs(legs.luck[mine])
        deeds.still[mine] = True
        deeds.cheaply(mine)


class Copier(Trainer):
    """Hands over the weights of the best tip there is, under its own name, whatever it leased."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.level[mine] = legs.best[mine]
        deeds.still[mine] = legs.best[mine] <= legs.level[mine]
        deeds.cheaply(mine)


class Hopper(Trainer):
    """Trains on from the best tip and hands that over as a child of the tip it leased: its gain and the difference."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.level[mine] = learn(mine, legs.best[mine])


class Poisoner(Trainer):
    """Hands over a child that is worse, to spoil the lineage."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.level[mine] = legs.level[mine] - POISON_NATS
        deeds.cheaply(mine)


class Sybil(Trainer):
    """One person whose capital is split over many accounts: trains once and hands that over under all names."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        key = legs.relay[mine] * (legs.person.max(initial=0) + 1) + legs.person[mine]
        _, first, of = np.unique(key, return_index=True, return_inverse=True)
        copies = np.ones(len(mine), np.bool_)
        copies[first] = False
        deeds.level[mine] = deeds.level[mine[first]][of]
        deeds.submitted[mine] = deeds.submitted[mine[first]][of]
        deeds.effort[mine[copies]] = CHEAP


class Whale(Sybil):
    """A sybil with so much money that it outbids everybody, if it has to with all of it."""

    late = True

    def bid(self, market: Market, mine: tuple[Ints, Ints]) -> Floats:
        best = market.placed.max(axis=1)[mine[0]]
        wanted = np.maximum(WHALE_FACTOR * best, market.floor)
        return np.where(market.usual[mine] > 0, np.minimum(wanted, market.purse[mine]), 0.0)


class Ring(Trainer):
    """Hands over its parents unchanged; its validators praise that."""

    ring = True

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.level[mine] = legs.level[mine]
        deeds.still[mine] = True
        deeds.cheaply(mine)


class NudgingRing(Trainer):
    """Trains honestly; its validators bend the truth a little in its favour."""

    ring = True


class Withholder(Trainer):
    """Owns tips, but offers and serves them to nobody: it alone can continue them."""

    offers = False
    serves = False


class FreeRider(Trainer):
    """Never trains; takes the newest model wherever it leaks out, and uses it."""

    leeches = True

    def bid(self, market: Market, mine: tuple[Ints, Ints]) -> Floats:
        return np.zeros(len(mine[0]))


class Sniper(Trainer):
    """Waits until all have bid, then beats by a hair the last bid that gets a leg on the best tip, and no other."""

    late = True

    def bid(self, market: Market, mine: tuple[Ints, Ints]) -> Floats:
        place = min(market.places, market.placed.shape[1])
        beaten = -np.partition(-market.placed, place - 1, axis=1)[:, place - 1][mine[0]]
        wanted = np.maximum(OUTBID * beaten, market.floor)
        return np.where((market.usual[mine] > 0) & (wanted <= market.purse[mine]), wanted, 0.0)


class Washer(Trainer):
    """Honest work, but buys access to its own tips to make them look wanted."""

    buys_own = True
