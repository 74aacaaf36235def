"""What trainers hand over under their leases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..ledger import NOBODY, Leases
from .bidding import serving
from .learning import gain
from .luck import Luck
from .people import Bools, Floats, Ints
from .state import World
from .strategies import trainer_of
from .strategies.port import Deeds, Legs

LEAST_TIME = 0.1  # a leg takes at least this share of the time it should


@dataclass(frozen=True, slots=True)
class Training:
    """A round's legs and what became of them."""

    legs: Legs
    deeds: Deeds
    unit_cost: Floats  # (legs,) money that a leg of the usual length costs its trainer
    shape: tuple[int, int]  # relays, most legs of one

    def dense(self, values: Floats, padding: float = 0.0) -> Floats:
        """Lay values of the legs out as (relays, legs)."""
        laid = np.full(self.shape, padding)
        laid[self.legs.relay, self.legs.number] = values
        return laid

    def mask(self, values: Bools) -> Bools:
        """Lay booleans of the legs out as (relays, legs)."""
        laid = np.zeros(self.shape, np.bool_)
        laid[self.legs.relay, self.legs.number] = values
        return laid


def leg_cost(world: World) -> Floats:
    """Return what a leg of the usual length costs each, (R, P) money."""
    costs, traits = world.settings.costs, world.people.traits
    work = costs.leg_energy * costs.energy_price + costs.leg_hours * costs.hour_price
    return np.asarray(traits.cost * (work * world.cost_factor) / traits.speed)


def train(world: World, leases: Leases, luck: Luck) -> Training:
    """Let everybody with a lease train as its strategy says.

    A leg is not submitted when it takes longer than the window, its trainer breaks down, or nobody serves its parent.
    """
    legs = _lay_out(world, leases, luck)
    traits, costs = world.people.traits, world.settings.costs
    skill, quality, skew = (each[legs.relay, legs.person] for each in (traits.skill, traits.quality, traits.skew))

    def learn(mine: Ints, parents: Floats, luck: Floats | None = None) -> Floats:
        chance = legs.luck[mine] if luck is None else luck
        learnt = gain(world.settings.learning, parents, skill[mine], quality[mine], skew[mine], chance)
        return np.asarray(parents + learnt)

    length = np.maximum(1 + costs.delay * luck.delay[legs.relay, legs.trainer], LEAST_TIME)
    most = costs.window_hours * traits.speed[legs.relay, legs.person] / max(costs.leg_hours, 1e-9)
    levels = learn(np.arange(len(legs.relay)), legs.start)
    deeds = Deeds.honest(levels, submitted=length <= most, effort=np.minimum(length, most))
    for code in world.codes("trainer"):
        mine = np.flatnonzero(legs.strategy == code)
        if len(mine):
            trainer_of(code).train(legs, mine, deeds, learn)
    _lose(world, legs, deeds, luck)
    return Training(legs, deeds, leg_cost(world)[legs.relay, legs.person], leases.trainer.shape)


# --- Inside -----------------------------------------------------------------------------------------------------------


def _lay_out(world: World, leases: Leases, luck: Luck) -> Legs:
    settings = world.settings
    relay, number = np.nonzero(leases.is_leg)
    trainer, parent = leases.trainer[relay, number], leases.parent[relay, number]
    tips, notes = world.book.tips, world.book.checkpoints.note
    best = np.where(tips == NOBODY, -np.inf, notes[tips]).max(axis=1)
    several = (tips != NOBODY).sum(axis=1) > 1
    average = best + np.where(several, settings.learning.averaging, 0.0)
    public = np.maximum(notes[parent], average[relay])
    person = world.people.places.person[trainer]
    return Legs(
        relay=relay,
        number=number,
        trainer=trainer,
        person=person,
        tip=leases.tip[relay, number],
        level=notes[parent],
        best=best[relay],
        average=average[relay],
        start=public if settings.learning.start == "average" else notes[parent],
        base=world.mechanism.base.base(notes[parent], best[relay], average[relay]),
        kept=world.held_level[relay, person],
        luck=luck.gain[relay, trainer],
        strategy=world.people.strategy[relay, person],
    )


def _lose(world: World, legs: Legs, deeds: Deeds, luck: Luck) -> None:
    """Take back what could not be handed over."""
    served = serving(world) | (luck.serve[:, : world.book.tips.shape[1]] < world.settings.seeders)
    owner = world.book.checkpoints.owner[world.book.tips[legs.relay, legs.tip]]
    own = world.people.places.person[owner] == legs.person
    reached = own | served[legs.relay, legs.tip]
    deeds.submitted &= reached & ~world.crashed[legs.relay, legs.person]
    deeds.effort[~reached] = 0.0
