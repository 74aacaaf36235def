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
BOLDNESS = 4.0  # factor on the bids of the bold
HANDED_OVER = 0.5  # share of each gain that a hoarder hands over at once
HALF = 0.5  # share of a training that a half sybil pays for each further child


class Lazy(Trainer):
    """Hands over its parent plus noise."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.hand_over(mine, legs.level[mine] - STILL_NATS * np.abs(legs.luck[mine]))
        deeds.still[mine] = True
        deeds.cheaply(mine)


class Copier(Trainer):
    """Hands over the weights of the best tip there is, under its own name, whatever it leased."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.hand_over(mine, legs.best[mine])
        deeds.still[mine] = legs.best[mine] <= legs.base[mine]
        deeds.twin[mine] = _first(legs.relay[mine], mine)
        deeds.cheaply(mine)


class Averager(Trainer):
    """Hands over the plain average of the tip it leased and the best other one, without training."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.hand_over(mine, legs.average[mine])
        deeds.still[mine] = legs.average[mine] <= legs.base[mine]
        deeds.twin[mine] = _first(legs.relay[mine], mine)
        deeds.cheaply(mine)


class Hopper(Trainer):
    """Trains on from the best tip and hands that over as a child of the tip it leased: its gain and the difference."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.hand_over(mine, learn(mine, legs.best[mine]))


class Merger(Trainer):
    """Trains on from the best plain average of the tips, which anybody can make."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.hand_over(mine, learn(mine, legs.average[mine]))


class Poisoner(Trainer):
    """Hands over a child that is worse, to spoil the lineage."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.hand_over(mine, legs.level[mine] - POISON_NATS)
        deeds.cheaply(mine)


class Bold(Trainer):
    """Honest, but bids four times as much."""

    def bid(self, market: Market, mine: tuple[Ints, Ints]) -> Floats:
        return np.minimum(BOLDNESS * market.usual[mine], market.purse[mine])


class Multi(Trainer):
    """Honest, with several accounts, a training for each: what a sybil earns by its places, not by its copies."""

    many = True


class Sybil(Multi):
    """One person whose capital is split over many accounts: trains once and hands that over under all names."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        own = _first(legs.relay[mine] * (legs.person.max(initial=0) + 1) + legs.person[mine], mine)
        copies = mine[own != mine]
        deeds.twin[mine] = own
        deeds.hand_over(mine, deeds.level[own])
        deeds.submitted[mine] = deeds.submitted[own]
        self._copy(legs, copies, deeds, learn)

    def _copy(self, legs: Legs, copies: Ints, deeds: Deeds, learn: Learn) -> None:
        """Say what the copies cost and how they differ from their twins."""
        deeds.effort[copies] = CHEAP


class HalfSybil(Sybil):
    """A sybil that leaves its training half way for each further account and finishes another child from there."""

    def _copy(self, legs: Legs, copies: Ints, deeds: Deeds, learn: Learn) -> None:
        luck = np.sqrt(HALF) * (legs.luck[deeds.twin[copies]] + legs.luck[copies])
        deeds.hand_over(copies, learn(copies, legs.start[deeds.twin[copies]], luck))
        deeds.half[copies] = True
        deeds.effort[copies] = HALF


class BoldSybil(Sybil):
    """A sybil that bids four times as much, so that all its accounts get legs."""

    bid = Bold.bid


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
        deeds.hand_over(mine, legs.level[mine])
        deeds.still[mine] = True
        deeds.cheaply(mine)


class NudgingRing(Trainer):
    """Trains honestly; its validators bend the truth a little in its favour."""

    ring = True


class WhisperingRing(NudgingRing):
    """Trains honestly; its validators bend the truth by less than their error."""


class Withholder(Trainer):
    """Owns tips, but offers and serves them to nobody: it alone can continue them."""

    offers = False
    serves = False


class Hostage(Trainer):
    """Offers its tips like anybody, but serves them to nobody, so that it alone can continue them."""

    serves = False


class Saboteur(Bold):
    """Takes legs with bold bids and hands nothing over."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.submitted[mine], deeds.effort[mine] = False, 0.0


class SecretRunner(Trainer):
    """Trains on from its own model wherever that is better than the tip it leased, and hands it over whole."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        deeds.hand_over(mine, _further(legs, mine, learn))


class Hoarder(Trainer):
    """Trains on from its own model, and keeps half of what that is ahead of the leased tip for later rounds."""

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        own = _further(legs, mine, learn)
        deeds.hand_over(mine, legs.level[mine] + HANDED_OVER * (own - legs.level[mine]))
        deeds.kept[mine] = own


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


def _further(legs: Legs, mine: Ints, learn: Learn) -> Floats:
    """Return the level of the best that these have of their own after a training from the best start they have."""
    own = legs.kept[mine]
    return np.maximum(learn(mine, np.maximum(own, legs.start[mine])), own)


def _first(key: Ints, mine: Ints) -> Ints:
    """Return the first of the legs `mine` that has the same key as each."""
    _, first, of = np.unique(key, return_index=True, return_inverse=True)
    return mine[first[of]]
