"""The empirical game: parts of the people as players, simulated profiles as its payoffs.

Players of a role are interchangeable, so a profile is how many of them play each strategy, and a table of what each
strategy earns in each profile says all (a heuristic payoff table). Here is the table and what follows from it exactly;
`equilibria` says what people would do.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

from ..study.statistics import Floats
from ..world.people import Bools
from ..world.strategies import check_strategy
from .arena import Arena, Change, arena, mean_of

if TYPE_CHECKING:
    from ..scenarios.load import Scenario

Ints = NDArray[np.int64]

BOTH = "both"
"""The role of a player that has a part of the trainers and a part of the validators."""

MAX_PROFILES = 2_000  # that are simulated with every seed


@dataclass(frozen=True, slots=True)
class Role:
    """Interchangeable players and what each of them can do."""

    name: str
    players: int
    strategies: tuple[str, ...]


@dataclass(frozen=True)
class Game:
    """The roles of a game and its profiles, all that there are."""

    roles: tuple[Role, ...]

    @cached_property
    def strategies(self) -> tuple[tuple[str, str], ...]:
        """Return role and name of each strategy, role after role: what every array here has a column for."""
        return tuple((role.name, name) for role in self.roles for name in role.strategies)

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Return the columns of each role."""
        ends = np.cumsum([0, *(len(role.strategies) for role in self.roles)]).tolist()
        return tuple(slice(start, end) for start, end in itertools.pairwise(ends))

    @cached_property
    def profiles(self) -> Ints:
        """Return how many players play each strategy, (profiles, strategies)."""
        each = [_dealt(role.players, len(role.strategies)) for role in self.roles]
        return np.array([np.concatenate(parts) for parts in itertools.product(*each)], np.int64)

    @cached_property
    def number(self) -> dict[tuple[int, ...], int]:
        """Return the number of each profile by its counts."""
        return {tuple(row): place for place, row in enumerate(self.profiles.tolist())}

    def pure(self, strategies: Sequence[int]) -> Floats:
        """Return the mixture in which each role plays one strategy, given by its place in the role, (strategies,)."""
        mixture = np.zeros(len(self.strategies))
        for place, strategy in zip(self.places, strategies, strict=True):
            mixture[place.start + strategy] = 1.0
        return mixture

    def expected(self, payoffs: Floats, mixture: Floats) -> Floats:
        """Return what a player earns by each strategy while all others draw theirs from a mixture, (strategies,).

        `payoffs` are (profiles, strategies), of which those of strategies that nobody plays are not read; `mixture` is
        (strategies,), and adds up to 1 in each role.
        """
        found = np.empty(len(self.strategies))
        for place, (rows, others, ways) in enumerate(self._against):
            found[place] = (ways * np.prod(mixture**others, axis=1)) @ payoffs[rows, place]
        return found

    def regret(self, payoffs: Floats, mixture: Floats) -> float:
        """Return the most that a player of any role gains by leaving a mixture alone."""
        earned = self.expected(payoffs, mixture)
        return max(float(earned[place].max() - mixture[place] @ earned[place]) for place in self.places)

    @cached_property
    def _against(self) -> tuple[tuple[Ints, Ints, Floats], ...]:
        """Return for each strategy the profiles in which it is played, the others' counts, and in how many ways."""
        tables = []
        for place in range(len(self.strategies)):
            rows = np.flatnonzero(self.profiles[:, place])
            others = self.profiles[rows].copy()
            others[:, place] -= 1
            tables.append((rows, others, np.array([self._ways(row) for row in others.tolist()])))
        return tuple(tables)

    def _ways(self, counts: Sequence[int]) -> float:
        ways = 1
        for place in self.places:
            ways *= math.factorial(sum(counts[place])) // math.prod(map(math.factorial, counts[place]))
        return float(ways)


def game(names: Sequence[str], players: int, apart: bool = False) -> Game:
    """Return the game in which `players` parts choose among these strategies and honesty.

    A part has trainers and validators, of whom those with the strategy's role play it and the others are honest;
    `apart` makes two roles of them, each with that many players. Raises LocalFault for names that are no strategies,
    too few players or strategies, or too many profiles.
    """
    wanted = tuple(dict.fromkeys(("honest", *names)))
    roles_of = {name: _roles_of(name) for name in wanted}
    if apart:
        offered = {
            role: tuple(name for name, those in roles_of.items() if role in those) for role in ("trainer", "validator")
        }
        roles = [Role(name, players, strategies) for name, strategies in offered.items() if len(strategies) > 1]
    else:
        roles = [Role(BOTH, players, wanted)]
    if players < 2 or len(wanted) < 2:
        raise LocalFault(
            f"{players} players and {len(wanted)} strategies, honest among them, are no game: 2 are needed"
        )
    count = math.prod(math.comb(role.players + len(role.strategies) - 1, role.players) for role in roles)
    if count > MAX_PROFILES:
        raise LocalFault(f"these strategies and players have {count} profiles, allowed is {MAX_PROFILES}: take fewer")
    return Game(tuple(roles))


def simulate(of: Game, scenario: Scenario, seeds: Sequence[int]) -> Floats:
    """Return what a person of a player earns in each profile, money a round, (seeds, profiles, strategies).

    NaN where nobody plays the strategy. With every seed all profiles have the same people and luck; which player plays
    what is dealt out anew, and what its people earn in the honest world beyond the others is taken off, as players are
    interchangeable. Raises LocalFault where a role has fewer honest people than players.
    """
    return np.array([_simulated(of, arena(scenario, [seed]), seed) for seed in seeds])


# --- Inside -----------------------------------------------------------------------------------------------------------


def _dealt(players: int, strategies: int) -> list[tuple[int, ...]]:
    """Return the ways to share players out over strategies."""
    if strategies == 1:
        return [(players,)]
    return [(own, *rest) for own in range(players, -1, -1) for rest in _dealt(players - own, strategies - 1)]


def _roles_of(name: str) -> tuple[str, ...]:
    found = []
    for role in ("trainer", "validator"):
        try:
            check_strategy(role, name)
        except ValueError:
            continue
        found.append(role)
    if not found:
        raise LocalFault(f"{name} is no strategy; `derelayl sim strategies` lists them")
    return tuple(found)


def _simulated(of: Game, field: Arena, seed: int) -> Floats:
    parts = [_parts(field, role, seed) for role in of.roles]
    changes, playing = [], []
    for counts in of.profiles:
        who = np.zeros((len(of.strategies), field.people.places.people), np.bool_)
        for place, masks in zip(of.places, parts, strict=True):
            strategies = np.repeat(np.arange(place.start, place.stop), counts[place])
            for strategy, mask in zip(strategies.tolist(), masks, strict=True):
                who[strategy] |= mask
        playing.append(who)
        changes.append(_change(of, who, field))
    payoffs = field.payoffs(changes)
    everybody = [
        np.any(masks, axis=0) for place, masks in zip(of.places, parts, strict=True) for _ in of.strategies[place]
    ]
    usual = [mean_of(payoffs[0], who) for who in everybody]  # profile 0: all play the first strategy, honesty
    return np.array(
        [
            [mean_of(paid - payoffs[0], who) + same for who, same in zip(masks, usual, strict=True)]
            for paid, masks in zip(payoffs, playing, strict=True)
        ]
    )


def _parts(field: Arena, role: Role, seed: int) -> list[Bools]:
    """Divide the honest people into players of nearly equal means, in an order that the seed decides."""
    parts = [np.zeros(field.people.places.people, np.bool_) for _ in range(role.players)]
    for name in ("trainer", "validator") if role.name == BOTH else (role.name,):
        places = np.flatnonzero(field.honest(name))
        if len(places) < role.players:
            raise LocalFault(f"{len(places)} honest {name}s a relay are fewer than {role.players} players")
        for number, part in enumerate(parts):
            part[places[number :: role.players]] = True
    order = np.random.default_rng(seed).permutation(role.players)
    return [parts[number] for number in order.tolist()]


def _change(of: Game, who: Bools, field: Arena) -> Change:
    change: dict[str, Bools] = {}
    for (role, name), mask in zip(of.strategies, who, strict=True):
        if name == "honest":
            continue
        mine = np.any([field.role(each) for each in _roles_of(name) if role in (BOTH, each)], axis=0) & mask
        if mine.any():
            change[name] = change.get(name, np.zeros_like(mask)) | mine
    return change
