"""Attacks by trainers. The docstring of each says what was assumed; `tries` and `answer` go into the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from derelayl_protocol.ledger.state import LegEntry
from derelayl_protocol.types import NO_ROOT, TOKEN, Address, Root, Wei

from .measuring import Attack, Verdict
from .world import IDLE, RULES, STILL_ERROR_PPM, TRAINERS, VALIDATORS, Child, World, name, submitted

ATTACKER = TRAINERS[0]
OTHERS = TRAINERS[1:]

TOUCH_UP_PPM = 5_000
"""What a few more steps of training add to a checkpoint that somebody else has trained."""


class ByTrainer(Attack):
    """The first trainer attacks after all others have submitted."""

    victims = OTHERS

    def submission_order(self, world: World, legs: Sequence[LegEntry]) -> Sequence[int]:
        return sorted(range(len(legs)), key=lambda leg: legs[leg].trainer in self.attackers)

    def train(self, world: World, leg: LegEntry) -> Child | None:
        return self.attack(world, leg) if leg.trainer in self.attackers else super().train(world, leg)

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        raise NotImplementedError


class ChildWithheld(ByTrainer):
    """Submits a root and serves its chunks to nobody."""

    title = "Child withheld from validators"
    tries = "claims a leg without letting anyone measure it"
    answer = "a child that cannot be fetched scores below every number, so the bid is forfeited"
    verdict = Verdict.LOSES

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        honest = self.own_child(world, leg, world.children[leg.parent].level + world.gain(leg.trainer))
        return replace(honest, served=False)


class PoisonedLeg(ByTrainer):
    """Hands over weights that are far worse than the parent's."""

    title = "Poisoned leg"
    tries = "a child with a loss 65 % above its parent's, to spoil the lineage"
    answer = "the median score is below the margin: never selected, bid forfeited"
    verdict = Verdict.LOSES

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        return self.own_child(world, leg, world.children[leg.parent].level - 500_000)


class LazyLeg(ByTrainer):
    """Hands over the parent with a little noise on it; its measured gain is noise as well, but small."""

    title = "Lazy leg: parent plus noise"
    tries = "a reward without training"
    answer = "`margin_ppm` is above what noise gives; bid forfeited"
    verdict = Verdict.LOSES

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        level = world.children[leg.parent].level + world.draw(300, "lazy")
        return self.own_child(world, leg, level, error=STILL_ERROR_PPM)


class DuplicateRoot(ByTrainer):
    """Submits the root of the best child that others have submitted."""

    title = "Duplicate of another's child"
    tries = "submits the root of the best rival's child as its own"
    answer = (
        "the root's manifest is signed by the rival, so validators answer UNAVAILABLE for the copy; the rival's "
        "leg stands"
    )
    verdict = Verdict.LOSES

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        return best_child(world)


class FrontRun(ByTrainer):
    """Sees the submission of the leg before its own on its way to the chain and gets its copy in first."""

    title = "Front-run submission"
    tries = "outbids all, sees a rival's `submitLeg` in the mempool and submits the same root before it"
    answer = "two legs may name one root, so the rival is not blocked; validators go by the signature in the manifest"
    verdict = Verdict.LOSES

    def bid(self, world: World, trainer: Address) -> Wei:
        return Wei(6 * TOKEN) if trainer == ATTACKER else super().bid(world, trainer)

    def submission_order(self, world: World, legs: Sequence[LegEntry]) -> Sequence[int]:
        return tuple(reversed(super().submission_order(world, legs)))

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        rivals = [other for other in world.round.legs if other.trainer not in self.attackers]
        seen = max(rivals, key=lambda rival: world.gain(rival.trainer))
        return self.own_child(world, seen, world.children[seen.parent].level + world.gain(seen.trainer))


class StaleParent(ByTrainer):
    """Continues genesis, whichever parent it has leased, and says so in the manifest."""

    title = "Stale parent"
    tries = "keeps continuing its old checkpoint instead of the leased parent"
    answer = "the manifest names another parent than the lease: UNAVAILABLE, bid forfeited"
    verdict = Verdict.LOSES

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        genesis = next(root for root, child in world.children.items() if child.parent == NO_ROOT)
        return replace(self.own_child(world, leg, world.gain(leg.trainer)), parent=genesis)


class BetterTipUnderOwnName(ByTrainer):
    """Hands over the best tip's weights as a child of the tip it has leased, with a flawless manifest.

    A little noise makes its chunks its own.
    """

    title = "Stale parent, disguised: the best tip's weights as a child of a worse one"
    tries = "sells the difference between two tips without training"
    answer = "every tip is part of the bar, so it scores at most 0 but for noise; bid forfeited"
    verdict = Verdict.LOSES

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        return self.own_child(world, leg, world.best_tip(), error=STILL_ERROR_PPM)


class BetterTipTrainedOn(ByTrainer):
    """Continues the best tip, whichever it has leased, and signs that it has continued the leased one."""

    title = "Stale parent, disguised, and trained on"
    tries = "trains from the best tip, hands that over as a child of the leased tip: its own gain and the difference"
    answer = "all legs lease the first tip, and the bar has the others: the difference is not paid"
    verdict = Verdict.LUCK

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        return self.own_child(world, leg, world.best_tip() + world.gain(leg.trainer))


class Sniping(ByTrainer):
    """Fetches the best child submitted so far, trains it a little further, and hands that over at the last moment."""

    title = "Sniping the last improvement, children served while TRAIN runs"
    tries = "takes the best child handed over so far, adds a few steps, submits just before the deadline"
    answer = "**nothing on the ledger**. The node serves its child only from COMMIT on: the next row"
    verdict = Verdict.PAYS

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        seen = best_child(world)
        return self.own_child(world, leg, seen.level + TOUCH_UP_PPM)


class SnipingTheSealed(ByTrainer):
    """The same where children are served only from COMMIT on: there is nothing to take but the parent."""

    title = "Sniping the last improvement, children served from COMMIT on"
    tries = "the same, but finds only roots while it can still submit"
    answer = "a root shows nothing of the weights: left with a few steps on the parent, bid forfeited"
    verdict = Verdict.LOSES

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        return self.own_child(world, leg, world.children[leg.parent].level + TOUCH_UP_PPM, error=STILL_ERROR_PPM)


class OneTrainingManyNames(ByTrainer):
    """Four accounts bid; one of them trains, and all hand over what it has trained."""

    title = "Sybil bids: one training sold under four names"
    tries = "four accounts of one purse hand over the same weights, each under its own name; honest: all four train"
    answer = "seats name them copies of the first, so one at most is selected, and the other bonds are forfeited"
    verdict = Verdict.LOSES
    attackers = (ATTACKER, *IDLE[:3])
    trainers = (*TRAINERS, *IDLE[:3])

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        own = [one for one in world.round.legs if one.trainer in self.attackers]
        trained = next((one for one in own if one.trainer == ATTACKER), own[0])
        level = world.children[trained.parent].level + world.gain(ATTACKER)
        return replace(self.own_child(world, leg, level), training=self.training(world))

    def training(self, world: World) -> Root:
        """Name the one training of the round."""
        return name(world.seed, world.round.number, "one training")


class EmptySybils(ByTrainer):
    """As many more accounts as leave two rivals a place bid high, to crowd the others out, and deliver nothing."""

    title = "Sybil bids from one purse, to crowd others out"
    tries = "29 more accounts outbid everybody, so that two rivals are left to compete"
    answer = "a leased leg without a child forfeits its bid to those who delivered"
    verdict = Verdict.LOSES
    attackers = (ATTACKER, *IDLE[:29])

    def bidders(self, world: World) -> Sequence[Address]:
        return (*TRAINERS, *IDLE[:29])

    def bid(self, world: World, trainer: Address) -> Wei:
        return Wei(6 * TOKEN) if trainer in self.attackers else super().bid(world, trainer)

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        if leg.trainer in IDLE:
            return None
        return self.own_child(world, leg, world.children[leg.parent].level + world.gain(leg.trainer))


class TinyBids(ByTrainer):
    """Eight accounts bid the minimum each round and deliver nothing."""

    title = "Griefing by tiny bids"
    tries = "eight accounts bid `min_bid` each round and deliver nothing"
    answer = "they rank last, get the legs nobody else wants, and forfeit every bid that got one"
    verdict = Verdict.LOSES
    attackers = IDLE[:8]
    victims = TRAINERS

    def bidders(self, world: World) -> Sequence[Address]:
        return (*self.attackers, *TRAINERS)

    def bid(self, world: World, trainer: Address) -> Wei:
        return RULES.min_bid if trainer in IDLE else super().bid(world, trainer)

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        return None


class FullHouse(TinyBids):
    """The first bids of each round are 32 tiny ones, so that every place is taken."""

    title = "Griefing by tiny bids, all 32 places taken first"
    tries = "fills `MAX_BIDS` before anyone else bids, so that nobody else can"
    answer = "a higher bid takes the place of the lowest; what is left of the tiny ones gets no leg or forfeits"
    verdict = Verdict.LOSES
    attackers = IDLE


class PaddedRound(TinyBids):
    """Three accounts lease legs for the minimum and withhold the children, on which all validators agree."""

    title = "Withheld legs to raise the validators' pay"
    tries = "a third of the validators also leases three legs for `min_bid` and withholds the children: easy agreement"
    answer = "the forfeited bids are worth more than the higher share of the pot"
    verdict = Verdict.LOSES
    attackers = (*VALIDATORS[:7], *IDLE[:3])
    victims = (*TRAINERS, *VALIDATORS[7:])

    def bidders(self, world: World) -> Sequence[Address]:
        return (*IDLE[:3], *TRAINERS)

    def attack(self, world: World, leg: LegEntry) -> Child | None:
        return replace(self.own_child(world, leg, level=0), served=False)


def best_child(world: World) -> Child:
    """The best child that has been submitted in the running round."""
    legs = world.round.legs
    return max((world.children[legs[leg].child] for leg in submitted(legs)), key=lambda child: child.level)


TRAINER_ATTACKS: tuple[type[Attack], ...] = (
    ChildWithheld,
    PoisonedLeg,
    LazyLeg,
    DuplicateRoot,
    FrontRun,
    StaleParent,
    BetterTipUnderOwnName,
    BetterTipTrainedOn,
    Sniping,
    SnipingTheSealed,
    OneTrainingManyNames,
    EmptySybils,
    TinyBids,
    FullHouse,
    PaddedRound,
)
