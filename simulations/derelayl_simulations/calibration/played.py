"""Histories of simulated relays, in the form in which a ledger's events are read."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.types import TOKEN, UNAVAILABLE

from ..ledger import NOBODY, Bids
from ..ledger.settings import AMOUNTS
from ..ledger.settling import Ending
from ..world import bidding
from ..world.luck import Luck, draw
from ..world.opening import open_world
from ..world.people import Ints
from ..world.play import Round as Played
from ..world.play import play_round
from ..world.state import World
from .history import History, Round

if TYPE_CHECKING:
    from ..scenarios.load import Scenario


def play_history(scenario: Scenario, seed: int) -> History:
    """Play a scenario and return what an observer of its first relay sees.

    Raises LocalFault where the scenario plays the published mechanism, or its money does not fit the ledger.
    """
    if scenario.rules != "ledger":
        raise LocalFault(f"{scenario.name} plays the published mechanism, which has no legs to see; try honest")
    world, rng = open_world(scenario, seed)
    places, coin = world.people.places, scenario.ledger.wei_per_coin
    rounds, tips, gone = [], np.array(["genesis"], object), np.zeros(places.people, np.bool_)
    for number in range(1, scenario.rounds + 1):
        luck = draw(rng, world.people.relays, places.accounts, places.people, scenario.ledger.committee_size)
        bids = _bids(world, luck)
        there = world.present[0].copy()
        happened = play_round(world, luck, scenario.event)
        gone |= there & ~world.present[0]
        if happened.outcome.ending[0] != Ending.IDLE:
            seen = _seen(number, happened, bids, tips, coin)
            seen = replace(seen, withdrew=tuple(np.flatnonzero(places.spread(gone)).tolist()))
            gone[:] = False
            rounds.append(seen)
            tips = _new_tips(world, happened, seen, tips)
    played = scenario.ledger.rules()
    amounts: dict[str, Any] = {name: getattr(played, name) * TOKEN // coin for name in AMOUNTS}
    return History(replace(played, **amounts), scenario.ledger.budget, tuple(rounds))


# --- Inside -----------------------------------------------------------------------------------------------------------


def _bids(world: World, luck: Luck) -> Bids:
    """Return the bids that the next round will have: a round tells no more of them than who got a leg."""
    world.round += 1
    bids = bidding.place_bids(world, bidding.willing(world), luck)
    world.round -= 1
    return bids


def _seen(number: int, happened: Played, bids: Bids, tips: Ints, coin: int) -> Round:
    leases, verdicts, outcome = happened.leases, happened.verdicts, happened.outcome
    legs, seats = np.flatnonzero(leases.is_leg[0]), np.flatnonzero(leases.is_seat[0])
    submitted = happened.training.mask(happened.training.deeds.submitted)[0, legs]
    score = outcome.score[0, legs].astype(np.float64)
    revealed = verdicts.revealed[0, seats]
    scores = verdicts.scores[0][np.ix_(seats, legs)].astype(np.float64)
    scores[(scores == UNAVAILABLE) | ~revealed[:, None]] = np.nan
    named = (verdicts.originals[0][np.ix_(seats, legs)] != legs) & revealed[:, None]
    placed = np.flatnonzero(bids.account[0] != NOBODY)
    return Round(
        number=number,
        settled=bool(outcome.ending[0] == Ending.SETTLED),
        bidders=tuple(bids.account[0, placed].tolist()),
        bids=bids.amount[0, placed] / coin,
        trainers=tuple(leases.trainer[0, legs].tolist()),
        parents=tuple(tips[leases.tip[0, legs]].tolist()),
        children=tuple((number, leg) if there else None for leg, there in enumerate(submitted.tolist())),
        score=np.where(score == UNAVAILABLE, np.nan, score / PPM),
        selected=outcome.selected[0, legs],
        reward=outcome.reward[0, legs] / coin,
        seats=tuple(leases.seats[0, seats].tolist()),
        scores=scores / PPM,
        revealed=revealed,
        copies=named.sum(axis=0) > revealed.sum() / 2,
    )


def _new_tips(world: World, happened: Played, seen: Round, tips: Ints) -> Ints:
    """Return the names of the tips by their place; checkpoints are renumbered now and then, but keep their order."""
    selected = np.flatnonzero(seen.selected)
    if not len(selected):
        return tips
    order = np.argsort(happened.outcome.child[0, np.flatnonzero(happened.leases.is_leg[0])][selected])
    named: list[Hashable] = [seen.children[leg] for leg in selected[order].tolist()]
    found = np.empty(len(named), object)
    for place, rank in enumerate(np.argsort(np.argsort(world.book.tips[0][world.book.tips[0] != NOBODY])).tolist()):
        found[place] = named[rank]
    return found
