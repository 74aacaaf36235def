"""Who bids what, and which tips are offered.

People decide as the node's trainers do: `derelayl_protocol.ledger.experience`, which has the reasons, for many at once.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from derelayl_protocol.ledger.experience import EAGERNESS, LONGEST_PAUSE, RELIEF, TRIALS
from derelayl_protocol.limits import MAX_BIDS

from ..ledger import NOBODY, Bids
from .luck import Luck
from .people import Bools, Floats, Ints
from .state import World
from .strategies import role_of, trainer_of
from .strategies.port import Market, Trainer


def willing(world: World) -> Bools:
    """Say who wants a leg, (R, P): trainers whose legs have paid, newcomers, and after a pause those whose have not.

    A leg pays when its average profit, less the person's risk aversion times the standard deviation, is at least 0.
    """
    income = world.income
    pays = worth_of_a_leg(world) >= 0
    tries = (income.legs < TRIALS) | (world.round - world.leased >= _pause(income.lost, world.settings.curiosity))
    still_down = (world.crash_from < world.round) & (world.round <= world.crash_until)
    return np.asarray(world.present & world.trainers & (pays | tries) & ~still_down)


def worth_of_a_leg(world: World) -> Floats:
    """Return what each has found a leg to bring, less its risk aversion times the deviation, (R, P) money."""
    return np.asarray(world.income.leg - world.people.traits.risk * world.income.leg_deviation)


def place_bids(world: World, wants: Bools, luck: Luck) -> Bids:
    """Return the bids of the round, (R, at most MAX_BIDS).

    A round has MAX_BIDS places and a higher bid displaces the lowest, so only the highest are handed in.
    """
    amounts = _amounts(world, wants, luck)
    key = np.where(amounts > 0, amounts + luck.bid, 0.0)  # of equal bids, luck says which arrived first
    width = min(MAX_BIDS, key.shape[1])
    columns = np.argsort(-key, axis=1, kind="stable")[:, :width]  # a partition leaves ties to the processor
    columns.sort(axis=1)
    lines = np.arange(len(key))[:, None]
    amount = amounts[lines, columns]
    return Bids(account=np.where(amount > 0, columns, NOBODY), amount=amount)


def learn_to_bid(world: World, wanted: Bools, leased: Bools) -> None:
    """Move bids by experience: up for who wanted a leg, got none and has found that legs pay; down for who got one,
    a little while legs pay, else as much; both masks (R, P).
    """
    step, pays = world.settings.bid_step, world.income.leg > 0
    missed = wanted & ~leased
    factor = np.where(missed & pays, 1 + step, np.where(leased, np.where(pays, 1 - step * RELIEF, 1 - step), 1.0))
    world.eagerness = np.clip(world.eagerness * factor, *EAGERNESS)


def offers(world: World) -> Bools:
    """Say which tips are offered, (R, T): those of present owners, unless their strategy is to keep them."""
    owners = owner_people(world)
    lines = np.arange(len(owners))[:, None]
    codes = world.people.strategy[lines, np.maximum(owners, 0)]
    there = (owners != NOBODY) & world.present[lines, np.maximum(owners, 0)]
    made: Bools = there & allowed("offers", world.strategies)[codes]
    return made


def serving(world: World) -> Bools:
    """Say which tips are served by their owners, (R, T)."""
    owners = owner_people(world)
    lines = np.arange(len(owners))[:, None]
    codes = world.people.strategy[lines, np.maximum(owners, 0)]
    up = (world.present & ~world.crashed)[lines, np.maximum(owners, 0)]
    serves: Bools = (owners != NOBODY) & up & allowed("serves", world.strategies)[codes]
    return serves


def owner_people(world: World) -> Ints:
    """Return who owns each tip, (R, T), NOBODY where there is none."""
    tips = world.book.tips
    owners = world.people.places.person[world.book.checkpoints.owner[np.maximum(tips, 0)]]
    return np.where(tips == NOBODY, NOBODY, owners)


@cache
def allowed(attribute: str, strategies: tuple[int, ...]) -> Bools:
    """Return a trainers' attribute by code, of these codes, not to be changed; judges, who own nothing, are honest."""
    found = np.zeros(strategies[-1] + 1, np.bool_)
    for code in strategies:
        honest = attribute in ("offers", "serves")
        found[code] = getattr(trainer_of(code), attribute) if role_of(code) == "trainer" else honest
    return found


# --- Inside -----------------------------------------------------------------------------------------------------------


def _pause(lost: Ints, curiosity: float) -> Floats:
    """Return after how many rounds people try again who have lost so many legs in a row, (R, P); inf is never."""
    if curiosity == 0:
        return np.where(lost > 0, np.inf, 1.0)
    grown = np.exp(np.minimum(-np.log(curiosity) * lost / TRIALS, np.log(LONGEST_PAUSE)))
    return np.asarray(np.rint(grown))


def _amounts(world: World, wants: Bools, luck: Luck) -> Ints:
    """Return what each account bids in wei, (R, A)."""
    places, rules = world.people.places, world.book.rules
    purse = world.book.free.astype(np.float64)
    boldness = places.spread(world.people.traits.boldness)
    reward = world.reward[:, None]  # more than that nobody bids
    eagerness = places.spread(world.eagerness)
    usual = np.minimum(world.settings.bid_share * eagerness * boldness * (0.5 + luck.bid), 1.0) * reward
    usual = np.minimum(np.maximum(usual, rules.min_bid), purse)
    able = places.spread(wants) & world.used & (purse >= rules.min_bid)
    usual = np.where(able, usual, 0.0)
    bids = usual.copy()
    codes = places.spread(world.people.strategy)
    for late in (False, True):
        others = [code for code in world.codes("trainer") if trainer_of(code).late is late and not _bids_as_usual(code)]
        if not others:
            continue
        if late:
            bids[np.isin(codes, others)] = 0.0  # they have waited
        market = Market(usual=usual, purse=purse, placed=bids.copy(), floor=rules.min_bid, places=rules.legs_per_tip)
        for code in others:
            relay, account = np.nonzero((codes == code) & world.used)
            mine = relay, account
            bids[mine] = trainer_of(code).bid(market, mine)
    return np.floor(bids).astype(np.int64)


@cache
def _bids_as_usual(code: int) -> bool:
    return type(trainer_of(code)).bid is Trainer.bid
