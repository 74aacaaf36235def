"""The same people and the same luck in several worlds at once, which differ only in what some of them do.

The worlds lie side by side as further relays of one ledger engine, so a comparison costs less than playing each alone.
Unless the search asks for churn, nobody comes or goes while strategies are compared: what a strategy earns is asked,
not who can bear it. With churn, who is not there earns what it could elsewhere, and a strategy may drive others out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from derelayl_protocol.errors import LocalFault

from ..ledger import MAX_MONEY_WEI
from ..world.bidding import allowed
from ..world.luck import draw, side_by_side
from ..world.opening import check_events, generators
from ..world.people import Bools, Floats, People, beside, settle_down
from ..world.play import play_round
from ..world.state import World
from ..world.strategies import code_of

if TYPE_CHECKING:
    from ..scenarios.load import Scenario

MAX_ACCOUNTS = 200_000  # accounts that are played side by side: a few hundred MB
MAX_MONEY_SHARE = 0.5  # of what the ledger can hold, in all worlds of a batch

Change = Mapping[str, Bools]
"""Who (P,) turns to which strategy, in every relay: trainers to a trainer's, validators to a judge's."""


@dataclass(frozen=True, slots=True)
class Arena:
    """A scenario's people, and what they earn in worlds that are like it but for some of their strategies."""

    scenario: Scenario
    seeds: tuple[int, ...]  # of the luck
    people: People  # the relays of all seeds, seed after seed

    def payoffs(self, changes: Sequence[Change]) -> Floats:
        """Return the money a round that each earns in each world, (worlds, relays, people); {} is the scenario itself.

        Raises LocalFault if the money of the scenario does not fit the ledger.
        """
        each = self.people.relays * self.people.places.accounts
        batch = max(1, min(MAX_ACCOUNTS // each, _affordable(self)))
        parts = [self._play(changes[start : start + batch]) for start in range(0, len(changes), batch)]
        return np.concatenate(parts)

    def role(self, role: str) -> Bools:
        """Return the places of a role, (P,)."""
        trainer: Bools = self.people.places.trainer
        return trainer if role == "trainer" else ~trainer

    def honest(self, role: str) -> Bools:
        """Return the places of a role whose people are honest in the scenario, (P,)."""
        honest: Bools = self.role(role) & (self.people.strategy[0] == code_of(role, "honest"))
        return honest

    def everybody(self, changes: Sequence[Change]) -> People:
        """Lay the people of all worlds side by side; who turns to many accounts has `search.identities` of them."""
        tiled = self.people.tile(len(changes))
        strategy = tiled.strategy.reshape(len(changes), self.people.relays, -1).copy()
        for place, change in enumerate(changes):
            for name, who in change.items():
                for role in ("trainer", "validator"):
                    met = who & self.role(role)
                    if met.any():
                        strategy[place][:, met] = code_of(role, name)
        identities = tiled.identities.reshape(strategy.shape)
        many = allowed("many", tuple(np.unique(strategy).tolist()))[strategy]
        turned = many & (strategy != self.people.strategy)
        identities = np.where(turned, np.maximum(self.scenario.search.identities, identities), identities)
        return tiled.playing(strategy.reshape(-1, strategy.shape[2]), identities.reshape(-1, strategy.shape[2]))

    def _play(self, changes: Sequence[Change]) -> Floats:
        scenario, places = self.scenario, self.people.places
        relays, seats = self.people.relays // len(self.seeds), scenario.ledger.committee_size
        settings = scenario.world.model_copy(update={"churn": scenario.search.churn})
        world = World.open(settings, scenario.ledger, self.everybody(changes), scenario.mechanism.made())
        rngs = [generators(seed)[1] for seed in self.seeds]
        earned = np.zeros(world.present.shape)
        for _ in range(scenario.search.rounds):
            lucks = [draw(rng, relays, places.accounts, places.people, seats) for rng in rngs]
            there = world.present.copy()
            happened = play_round(world, side_by_side(lucks, len(changes)), scenario.event).earned
            profit = happened.profit(world.price, scenario.ledger.wei_per_coin).sum(axis=0) + happened.usage
            earned += np.where(there, profit, profit + settings.outside)
        shape = (len(changes), self.people.relays, places.people)
        return np.asarray(earned.reshape(shape) / scenario.search.rounds)


def arena(scenario: Scenario, seeds: Sequence[int], crowd: Bools | None = None) -> Arena:
    """Draw a scenario's people, once with each seed; `crowd` (P,) may take several accounts in one of the worlds, by
    default all trainers.

    Raises LocalFault if an event names no group, or for published rules, which know no strategies.
    """
    if scenario.rules == "published":
        raise LocalFault(f"{scenario.name} has the published rules, which know no strategies to compare")
    check_events(scenario)
    settle = partial(settle_down, scenario.world, scenario.world.relays)
    who = settle(generators(seeds[0])[0]).places.trainer if crowd is None else crowd
    spare = np.where(who, scenario.search.identities, 1).astype(np.int64)
    return Arena(scenario, tuple(seeds), beside([settle(generators(seed)[0], spare) for seed in seeds]))


def chosen(who: Bools, count: int) -> Bools:
    """Choose the last `count` of these places, (P,): the first is the genesis owner's."""
    places = np.flatnonzero(who)[::-1][:count]
    picked = np.zeros_like(who)
    picked[places] = True
    return picked


def mean_of(payoffs: Floats, who: Bools) -> float:
    """Return the mean over these places (P,) and all relays of payoffs (relays, P); NaN for nobody."""
    return float(payoffs[:, who].mean()) if who.any() else float("nan")


def _affordable(arena: Arena) -> int:
    """Return how many worlds' money the ledger holds together: it counts all relays in one 64-bit sum."""
    ledger, traits = arena.scenario.ledger, arena.people.traits
    coins = arena.people.relays * ledger.budget + float((traits.capital + traits.stake * ledger.validator_stake).sum())
    return int(MAX_MONEY_SHARE * MAX_MONEY_WEI / max(coins * ledger.wei_per_coin, 1.0))
