"""Attacks by those who hold something back: a better model of their own, part of a gain, or a whole round."""

from __future__ import annotations

from collections.abc import Sequence

from derelayl_protocol.ledger.matching import tip_order
from derelayl_protocol.ledger.state import LegEntry
from derelayl_protocol.types import TOKEN, Address, Wei

from .measuring import Attack, Verdict
from .trainers import ATTACKER, ByTrainer
from .world import IDLE, TRAINERS, Child, World


class SecretRunner(ByTrainer):
    """Goes on from its own last model wherever that is better than the leased tip, and hands all of it over."""

    title = "Secret runner"
    tries = "a leg that was not selected is not lost: trains on from its own better model and hands it over whole"
    answer = "the trunk's tip is seldom worse than a model that was not selected"
    verdict = Verdict.LUCK

    def __init__(self) -> None:
        self.own = 0
        """Level of the best that the attacker has of its own."""

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        parent = world.children[leg.parent].level
        self.own = max(self.own, parent) + world.gain(leg.trainer)
        return self.own_child(world, leg, self.shown(parent))

    def shown(self, parent: int) -> int:
        """The level that is handed over."""
        return self.own


class Hoarder(SecretRunner):
    """Goes on from its own model, and hands over half of what that is ahead."""

    title = "Hoarder"
    tries = "keeps half of what its model is ahead of the leased tip for later rounds"
    answer = "half a gain is seldom among the selected, and the others' gains overtake what is kept"
    verdict = Verdict.LOSES

    def shown(self, parent: int) -> int:
        return parent + (self.own - parent) // 2


class Stalling(Attack):
    """Once, when it owns a tip that is not the first, it takes all places of a round and submits nothing.

    The first tip is stalled from then on, so that the attacker's may be continued.
    """

    title = "Stalling the trunk, once"
    tries = "32 accounts outbid everybody and submit nothing, so that the first tip goes last and its own comes up"
    answer = "all 32 bonds are forfeited, and each is above the highest of the others' bids"
    verdict = Verdict.LOSES
    attackers = (ATTACKER, *IDLE)
    victims = TRAINERS[1:]

    def __init__(self) -> None:
        self.stalled = 0
        """The round that was held up."""

    def bidders(self, world: World) -> Sequence[Address]:
        view = world.round
        first = view.tips[tip_order(view.seed, view.tips)[0]]
        if not self.stalled and first.owner != ATTACKER and ATTACKER in {tip.owner for tip in view.tips}:
            self.stalled = view.number
        return (*IDLE, *TRAINERS) if self.stalled == view.number else TRAINERS

    def bid(self, world: World, trainer: Address) -> Wei:
        return Wei(6 * TOKEN) if trainer in IDLE else super().bid(world, trainer)

    def train(self, world: World, leg: LegEntry) -> Child | None:
        return None if leg.trainer in IDLE else super().train(world, leg)


HOLDING_ATTACKS: tuple[type[Attack], ...] = (SecretRunner, Hoarder, Stalling)
