"""Attacks on what tells trainings apart: averages, copies, half copies, junk, and seats that call legs copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from derelayl_protocol.ledger.state import LegEntry
from derelayl_protocol.types import NO_ROOT, Address, Wei

from .measuring import Attack, Verdict
from .trainers import ATTACKER, ByTrainer, OneTrainingManyNames
from .world import HALF_FOUND, IDLE, STILL_ERROR_PPM, TRAINERS, VALIDATORS, Child, World, name, submitted


class Averager(ByTrainer):
    """Hands over the plain average of tips as a child of the tip it has leased, without training."""

    title = "Average of tips"
    tries = "hands over the mean of the tips' weights, which is better than each of them, without training"
    answer = "the average is part of the bar, so it scores 0 but for noise; bid forfeited"
    verdict = Verdict.LOSES

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        return self.own_child(world, leg, world.bar(), error=STILL_ERROR_PPM)


class BoldSybils(OneTrainingManyNames):
    """The same, with bids of four times the usual."""

    title = "Sybil bids: one training sold under four names, bold"
    tries = "the same with bids four times as high, so that all four get legs"
    answer = "the same; with one bond for all, a high bid is worth a place and nothing else"
    verdict = Verdict.LOSES

    def bid(self, world: World, trainer: Address) -> Wei:
        usual = super().bid(world, trainer)
        return Wei(4 * usual) if trainer in self.attackers else usual


class HalfSybils(OneTrainingManyNames):
    """One training is left half way for each of three more accounts, which finish it each in its own way."""

    title = "Sybil bids: half a training a copy"
    tries = "four accounts share the first half of a training, each finishes it on its own; honest: all four train"
    answer = (
        "a copy is found once in five rounds and forfeits its bond; **but it saves one training and a half of four**"
    )
    verdict = Verdict.LOSES

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        gain = (world.gain(ATTACKER) + world.gain(leg.trainer)) // 2
        child = self.own_child(world, leg, world.children[leg.parent].level + gain)
        found = name(world.seed, world.round.number, leg.trainer, "found")[0] % HALF_FOUND == 0
        twin = found or leg.trainer == ATTACKER
        return replace(child, training=self.training(world) if twin else NO_ROOT)


class JunkLegs(ByTrainer):
    """Four more accounts lease legs for the minimum and hand over noise, each its own, to make room for a fifth."""

    title = "Junk legs that make room"
    tries = "trains once; four more accounts submit noise at `min_bid`, so that half of a larger number is selected"
    answer = "each junk leg forfeits its bond, which is more than two more places are worth to one leg"
    verdict = Verdict.LOSES
    attackers = (ATTACKER, *IDLE[:4])

    def bidders(self, world: World) -> Sequence[Address]:
        return (*self.trainers, *self.attackers[1:])

    def bid(self, world: World, trainer: Address) -> Wei:
        return world.rules.min_bid if trainer in IDLE else super().bid(world, trainer)

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        parent = world.children[leg.parent].level
        if leg.trainer == ATTACKER:
            return self.own_child(world, leg, parent + world.gain(leg.trainer))
        return self.own_child(world, leg, parent + world.draw(300, "junk", leg.trainer), error=STILL_ERROR_PPM)


class Framing(Attack):
    """A trainer and a quarter of the validators, who call all legs but the trainer's copies of the first one."""

    title = "Framing: 5 of 20 validators call rivals' legs copies"
    tries = "its validators name one rival's leg as the original of all others, so that only one of them is selected"
    answer = "an original counts only if more than half of the revealed weight names it"
    verdict = Verdict.NOTHING
    attackers = (TRAINERS[0], *VALIDATORS[:5])
    victims = (*TRAINERS[1:], *VALIDATORS[5:])

    def originals(self, world: World, validator: Address) -> tuple[int, ...]:
        if validator not in self.attackers:
            return super().originals(world, validator)
        legs = world.round.legs
        rivals = [number for number in submitted(legs) if legs[number].trainer not in self.attackers]
        return tuple(rivals[0] if number in rivals else number for number in range(len(legs)))


class FramingByMost(Framing):
    """The same by eleven of twenty."""

    title = "Framing: 11 of 20 validators call rivals' legs copies"
    tries = "the same"
    answer = "**nothing**: it has most of the committee in two rounds of three"
    verdict = Verdict.PAYS
    attackers = (TRAINERS[0], *VALIDATORS[:11])
    victims = (*TRAINERS[1:], *VALIDATORS[11:])


COPY_ATTACKS: tuple[type[Attack], ...] = (Averager, BoldSybils, HalfSybils, JunkLegs, Framing, FramingByMost)
