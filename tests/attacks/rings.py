"""Self-dealing rings: two trainers, the tips they come to own, and some of the twenty validators, one purse."""

from __future__ import annotations

from derelayl_protocol.ledger.state import LegEntry
from derelayl_protocol.limits import MAX_SCORE_PPM
from derelayl_protocol.types import UNAVAILABLE, Address, Ppm

from .measuring import Attack, Verdict
from .world import STILL_ERROR_PPM, TRAINERS, VALIDATORS, Child, World

PARTNERS = TRAINERS[:2]

NUDGE_PPM = 60_000
"""How far a nudging ring bends the truth: about as far as legs differ, and well inside `agreement_ppm`."""


class Ring(Attack):
    """Two trainers and some validators."""

    allies: int

    def __init_subclass__(cls) -> None:
        cls.attackers = (*PARTNERS, *VALIDATORS[: cls.allies])
        cls.victims = tuple(one for one in (*TRAINERS, *VALIDATORS) if one not in cls.attackers)

    def measure(self, world: World, validator: Address, leg: LegEntry) -> Ppm:
        seen = super().measure(world, validator, leg)
        if validator not in self.attackers or not leg.submitted:
            return seen
        return self.bend(seen, leg.trainer in PARTNERS)

    def bend(self, seen: Ppm, own: bool) -> Ppm:
        raise NotImplementedError


class BrazenRingOfFive(Ring):
    """Hands over its parents unchanged; its validators praise that and call every other leg unavailable."""

    allies = 5
    title = "Self-dealing ring, brazen: 5 of 20 validators"
    tries = "hands over unchanged parents; its validators give them the highest score and call all others UNAVAILABLE"
    answer = "the median is an honest seat's; the ring's legs forfeit and its seats are charged"
    verdict = Verdict.LOSES

    def train(self, world: World, leg: LegEntry) -> Child | None:
        if leg.trainer in PARTNERS:
            return self.own_child(world, leg, world.children[leg.parent].level, error=STILL_ERROR_PPM)
        return super().train(world, leg)

    def bend(self, seen: Ppm, own: bool) -> Ppm:
        return Ppm(MAX_SCORE_PPM) if own else UNAVAILABLE


class BrazenRingOfEight(BrazenRingOfFive):
    """The same with eight of twenty."""

    allies = 8
    title = "Self-dealing ring, brazen: 8 of 20 validators"
    tries = "the same"
    answer = "the same in 84 % of all rounds; in the others the draw gives the ring most of the eleven seats"
    verdict = Verdict.LOSES


class BrazenRingOfNine(BrazenRingOfFive):
    """The same with nine of twenty."""

    allies = 9
    title = "Self-dealing ring, brazen: 9 of 20 validators"
    tries = "the same"
    answer = "**only the draw**: nine of twenty have most of eleven seats in 31 % of all rounds"
    verdict = Verdict.LUCK


class BrazenRingOfEleven(BrazenRingOfFive):
    """The same with eleven of twenty."""

    allies = 11
    title = "Self-dealing ring, brazen: 11 of 20 validators"
    tries = "the same"
    answer = "**nothing**: it has most of the committee in 69 % of all rounds"
    verdict = Verdict.PAYS


class NudgingRingOfEight(Ring):
    """Trains honestly; its validators lift its own legs and lower the others' by a plausible amount."""

    allies = 8
    title = "Self-dealing ring, nudging: 8 of 20 validators"
    tries = "trains honestly; its validators add 60,000 ppm to its own legs and take as much from the others'"
    answer = "a minority of seats moves a median within the honest scores only, **but as far as that it pays**"
    verdict = Verdict.PAYS

    def bend(self, seen: Ppm, own: bool) -> Ppm:
        return seen if seen == UNAVAILABLE else Ppm(seen + (NUDGE_PPM if own else -NUDGE_PPM))


class NudgingRingOfTwo(NudgingRingOfEight):
    """The same with two of twenty."""

    allies = 2
    title = "Self-dealing ring, nudging: 2 of 20 validators"
    tries = "the same"
    answer = "the same, with one seat at most"
    verdict = Verdict.PAYS


RING_ATTACKS: tuple[type[Attack], ...] = (
    BrazenRingOfFive,
    BrazenRingOfEight,
    BrazenRingOfNine,
    BrazenRingOfEleven,
    NudgingRingOfEight,
    NudgingRingOfTwo,
)
