"""What a strategy decides, for trainers (who become owners) and for judges. The base classes are honest.

A strategy sees what its people could see on the network and decides for all of them, in all relays, at once. Arrays
called `mine` pick its own out of a round's bidders, legs or seats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.limits import MAX_SCORE_PPM
from derelayl_protocol.types import UNAVAILABLE

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


CHEAP = 0.02
"""Cost of a leg without training, as a share of one with."""


@dataclass(frozen=True, slots=True)
class Market:
    """What is known when bids are made; wei, all (relays, accounts) but `floor` and `places`."""

    usual: Floats  # what an honest person would bid; 0 for who does not want to
    purse: Floats  # free money
    placed: Floats  # what has been bid so far: late bidders see the others' bids
    floor: float  # the least that the ledger takes
    places: int  # legs that one tip takes


@dataclass(frozen=True, slots=True)
class Legs:
    """A round's leases, flat: one entry a leg, relay after relay in leg order."""

    relay: Ints
    number: Ints  # the leg's number in its relay
    trainer: Ints  # account
    person: Ints  # whose account it is
    tip: Ints  # column of the tip it continues
    level: Floats  # nats, the parent's in truth
    best: Floats  # nats, the best tip's of the relay
    average: Floats  # nats, the best plain average's of its tips; the best tip's where there is only one
    start: Floats  # nats, of what the honest train on from
    base: Floats  # nats, of what judges compare the child with
    kept: Floats  # nats, of the best model that the trainer has kept for itself
    luck: Floats  # standard normal
    strategy: Ints  # the trainer's code


@dataclass(slots=True)
class Deeds:
    """What trainers did, one entry a leg; made as if all were honest, strategies change their own entries."""

    level: Floats  # nats, the child's in truth
    submitted: Bools
    still: Bools  # the child hardly differs from what it is compared with, so that judges see its gain sharply
    effort: Floats  # what was spent, in legs that take as long as they should
    kept: Floats  # nats, of what the trainer keeps for itself: the child, unless it holds something back
    twin: Ints  # the leg, by its place here, that has handed over the same child; itself if it is no copy
    half: Bools  # the child has only half of its training in common with its twin

    @classmethod
    def honest(cls, level: Floats, submitted: Bools, effort: Floats) -> Self:
        """What legs of honest trainers did."""
        nothing = np.zeros(len(level), np.bool_)
        return cls(level, submitted, nothing.copy(), effort, level.copy(), np.arange(len(level)), nothing)

    def hand_over(self, mine: Ints, level: Floats) -> None:
        """Hand over children of these levels, and keep nothing else."""
        self.level[mine] = self.kept[mine] = level

    def cheaply(self, mine: Ints) -> None:
        """Hand over without training: in time, and for the cost of fetching, signing and uploading."""
        self.submitted[mine], self.effort[mine] = True, CHEAP


@dataclass(frozen=True, slots=True)
class Bench:
    """What judges know when they score; (seats, legs) but for `usual`, which is (seats, 1). Scores are ppm."""

    measured: Ints  # what an honest judge in this seat measures; UNAVAILABLE where there is nothing to measure
    ring: Bools  # the leg is a ring's
    luck: Floats  # standard normal, apart from what is measured
    usual: Floats  # nats, what a leg of the relay got lately


class Learn(Protocol):
    """Honest training."""

    def __call__(self, mine: Ints, parents: Floats, luck: Floats | None = None) -> Floats:
        """Return the level that these legs reach from parents of that level; `luck` instead of their own."""


class Trainer:
    """Honest: bids what a leg is worth to it, trains, hands over what it trained and serves what it owns."""

    offers = True  # puts up deposits for its tips
    serves = True  # hands its tips to those who lease them
    buys_own = False  # buys access to its own tips
    late = False  # bids when it has seen the others' bids
    ring = False  # judges of a ring vote for its legs
    leeches = False  # uses the newest model without a part in it
    many = False  # one person with several accounts

    def bid(self, market: Market, mine: tuple[Ints, Ints]) -> Floats:
        """Return what these accounts (relays, accounts) bid in wei; 0 is no bid."""
        return market.usual[mine]

    def train(self, legs: Legs, mine: Ints, deeds: Deeds, learn: Learn) -> None:
        """Change what these legs hand over."""


class Judge:
    """Honest: scores what it measured, and reveals."""

    reveals = True
    effort = 1.0  # share of an honest judge's cost
    boast = 1.0  # factor on the standard error that it states where a rule asks for it

    def score(self, bench: Bench, mine: Ints) -> Ints:
        """Return the scores (seats, legs) of these seats in ppm."""
        return bench.measured[mine]


def as_scores(nats: Floats) -> Ints:
    """Round to ppm within what the ledger takes."""
    return np.asarray(np.clip(np.rint(nats * PPM), -MAX_SCORE_PPM, MAX_SCORE_PPM), np.int64)


def where_there_is(measured: Ints, scores: Ints) -> Ints:
    """Keep UNAVAILABLE where there is nothing to score."""
    return np.where(measured == UNAVAILABLE, UNAVAILABLE, scores)
