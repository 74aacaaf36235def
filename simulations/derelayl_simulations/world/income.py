"""What people earn, by role, and what they remember of it. Ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ..columns import ROLES
from .people import Bools, Floats, Ints

TRAINER, OWNER, VALIDATOR = range(len(ROLES))


@dataclass(slots=True)
class Ledgered:
    """What one round brought everybody, by role: coins from the ledger in wei, and work in money; (roles, R, P)."""

    wei: Floats
    cost: Floats
    usage: Floats  # (R, P) money earned with a model

    @classmethod
    def fresh(cls, relays: int, people: int) -> Self:
        each = (len(ROLES), relays, people)
        return cls(np.zeros(each), np.zeros(each), np.zeros((relays, people)))

    def add(self, role: int, relay: Ints, person: Ints, wei: Floats) -> None:
        """Book wei, one entry for each relay and person, several of one person allowed."""
        _, relays, people = self.wei.shape
        booked = np.bincount(relay * people + person, weights=wei, minlength=relays * people)
        self.wei[role] += booked.reshape(relays, people)

    def spend(self, role: int, relay: Ints, person: Ints, money: Floats) -> None:
        """Book costs in the same way."""
        _, relays, people = self.cost.shape
        booked = np.bincount(relay * people + person, weights=money, minlength=relays * people)
        self.cost[role] += booked.reshape(relays, people)

    def profit(self, price: Floats, wei_per_coin: int) -> Floats:
        """Return money by role, (roles, R, P), without usage; `price` (R,) is money per coin."""
        return np.asarray(self.wei * (price[:, None] / wei_per_coin) - self.cost)


@dataclass(slots=True)
class Averages:
    """Running averages: of all rounds up to `window`, from then on exponential with that memory."""

    window: int
    profit: Floats  # (roles, R, P) money a round
    usage: Floats  # (R, P) money a round
    rounds: Ints  # (R, P) rounds averaged
    leg: Floats  # (R, P) money a leg, of legs that were leased
    leg_square: Floats  # (R, P) the same squared
    legs: Ints  # (R, P) legs averaged
    lost: Ints  # (R, P) legs in a row, up to the newest, that brought a loss
    gross: Floats  # (2, R) money a round that people of the role earn before costs: trainers, validators
    work: Floats  # (2, R) legs' worth of work a round that they do for it
    seen: Ints  # (2, R) rounds averaged in which there was anybody

    @classmethod
    def fresh(cls, relays: int, people: int, window: int) -> Self:
        each = (relays, people)
        return cls(
            window=window,
            profit=np.zeros((len(ROLES), *each)),
            usage=np.zeros(each),
            rounds=np.zeros(each, np.int64),
            leg=np.zeros(each),
            leg_square=np.zeros(each),
            legs=np.zeros(each, np.int64),
            lost=np.zeros(each, np.int64),
            gross=np.zeros((2, relays)),
            work=np.zeros((2, relays)),
            seen=np.zeros((2, relays), np.int64),
        )

    def forget(self, who: Bools) -> None:
        """Start again for newcomers `who` (R, P); what legs brought is on the ledger, and not forgotten."""
        for each in (self.usage, self.rounds):
            each[who] = 0
        self.profit[:, who] = 0

    def remember(self, who: Bools, profit: Floats, usage: Floats) -> None:
        """Average a round in for those who were there."""
        self.rounds += who
        weight = np.where(who, 1.0 / np.clip(self.rounds, 1, self.window), 0.0)
        self.profit += weight * (profit - self.profit)
        self.usage += weight * (usage - self.usage)

    def remember_legs(self, who: Bools, earned: Floats) -> None:
        """Average in what the legs of the round brought to those who had any, money."""
        self.legs += who
        self.lost = np.where(who, np.where(earned > 0, 0, self.lost + (earned < 0)), self.lost)
        weight = np.where(who, 1.0 / np.clip(self.legs, 1, self.window), 0.0)
        self.leg += weight * (earned - self.leg)
        self.leg_square += weight * (earned * earned - self.leg_square)

    def remember_roles(self, people: Ints, gross: Floats, work: Floats) -> None:
        """Average in what a role earned and did in a round: (2, R) sums over that many people."""
        self.seen += people > 0
        weight = np.where(people > 0, 1.0 / np.clip(self.seen, 1, self.window), 0.0)
        count = np.maximum(people, 1)
        self.gross += weight * (gross / count - self.gross)
        self.work += weight * (work / count - self.work)

    @property
    def total(self) -> Floats:
        """Money a round that each earns in all roles together, with usage; (R, P)."""
        return np.asarray(self.profit.sum(axis=0) + self.usage)

    @property
    def leg_deviation(self) -> Floats:
        """Standard deviation of what a leg brings, (R, P) money."""
        return np.asarray(np.sqrt(np.maximum(self.leg_square - self.leg * self.leg, 0.0)))
