"""Arrival and exit by expected profit. Ours."""

from __future__ import annotations

import numpy as np

from derelayl_protocol.ledger.experience import TRIALS

from . import bidding
from .luck import Luck
from .people import Floats
from .state import World
from .training import leg_cost


def come_and_go(world: World, luck: Luck) -> None:
    """Let people leave whose patience is at an end, let others come who expect to earn, and settle the leavers' debts.

    Of those who look in and expect nothing, the curious come all the same: else a relay that lost its validators, and
    so cannot show anybody what they would earn, could never come back.
    """
    if world.settings.churn:
        below = world.present & (world.income.total < world.settings.outside)
        world.losing = np.where(below, world.losing + 1, 0)
        world.dismiss(world.present & (world.losing > world.people.traits.patience))
        looks = ~world.present & (luck.decide < world.settings.look)
        tries = luck.decide < world.settings.look * world.settings.curiosity
        world.admit(looks & (tries | (prospects(world) >= world.settings.outside)))
    world.settle_debts()


def prospects(world: World) -> Floats:
    """Return the money a round that an absent person expects, (R, P).

    What those who are there in its role earn before costs, which everybody can see on the ledger, less what the same
    work would cost this person, less its risk aversion times that cost. Where nobody is left to look at, nothing is
    expected.
    """
    places = np.where(world.trainers, 0, 1)
    gross, work = world.income.gross[places].T, world.income.work[places].T
    cost = leg_cost(world) * work
    others = gross - cost * (1 + world.people.traits.risk)
    own = bidding.worth_of_a_leg(world)
    return np.where(world.trainers & (world.income.legs >= TRIALS), own, others)
