"""Who is in the relays: what never changes about anybody.

A person has one account or several (a sybil). All relays have the same places for people; who sits there differs.
Arrays are (relays, people) or (relays, accounts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .section import Spread
from .settings import Group, WorldSettings
from .strategies import code_of

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Value = TypeVar("Value", bound=np.generic)

TASTES = 3  # numbers that say what somebody's data are like; more are only slower
DECIMALS = 9  # of a trait: the last bit of an exponential, in which processors differ, must not show


@dataclass(frozen=True, slots=True)
class Places:
    """The seats for people and accounts that every relay has; people of a group sit together, trainers first."""

    group: Ints  # (people,) place of the group in the settings
    trainer: Bools  # (people,) else a validator
    person: Ints  # (accounts,) whose account it is; accounts of a person follow each other
    first: Ints  # (people,) each person's first account

    @property
    def people(self) -> int:
        return len(self.group)

    @property
    def accounts(self) -> int:
        return len(self.person)

    def spread(self, of_people: NDArray[Value]) -> NDArray[Value]:
        """Give each account its person's value: (…, people) to (…, accounts)."""
        return of_people if self.people == self.accounts else of_people[..., self.person]

    def fold(self, of_accounts: Ints) -> Ints:
        """Add up each person's accounts: (…, accounts) to (…, people)."""
        if self.people == self.accounts:
            return of_accounts
        return np.asarray(np.add.reduceat(of_accounts, self.first, axis=-1))


@dataclass(frozen=True, slots=True)
class Traits:
    """What people bring, each (relays, people); see `Group` for the units."""

    cost: Floats
    speed: Floats
    quality: Floats
    skew: Floats
    skill: Floats
    risk: Floats
    patience: Floats
    stake: Floats
    capital: Floats
    boldness: Floats


@dataclass(frozen=True, slots=True)
class People:
    """Everybody who is or could be in the relays."""

    places: Places
    traits: Traits
    strategy: Ints  # (relays, people) codes of `strategies`
    identities: Ints  # (relays, people) accounts that a person uses, at most as many as it has places for
    founding: Bools  # (relays, people) there from the start
    taste: Floats  # (relays, people, TASTES) standard normal: what their data are like

    @property
    def relays(self) -> int:
        return len(self.strategy)

    def tile(self, worlds: int) -> People:
        """Lay that many copies of everybody side by side, world after world."""
        return beside([self] * worlds)

    def playing(self, strategy: Ints, identities: Ints) -> People:
        """Return the same people with other strategies and numbers of accounts."""
        return replace(self, strategy=strategy, identities=identities)


def beside(several: Sequence[People]) -> People:
    """Lay people of the same places side by side, as further relays."""

    def lay(field: str) -> Any:
        return np.concatenate([getattr(people, field) for people in several])

    traits = {
        field.name: np.concatenate([getattr(people.traits, field.name) for people in several])
        for field in fields(Traits)
    }
    return People(
        places=several[0].places,
        traits=Traits(**traits),
        strategy=lay("strategy"),
        identities=lay("identities"),
        founding=lay("founding"),
        taste=lay("taste"),
    )


def head_counts(settings: WorldSettings) -> list[int]:
    """Return the people of each group in a relay, in the order of the settings; they add up to all people.

    Counts come first, shares divide what is left by largest remainder, then groups `of` others are taken out of those.
    """
    groups = settings.group
    sizes = [group.count or 0 if group.of is None else 0 for group in groups]
    weights = [group.share if group.count is None and group.of is None else 0.0 for group in groups]
    left, total = settings.people - sum(sizes), sum(weights)
    if left:
        exact = [left * weight / total for weight in weights]
        sizes = [size + int(part) for size, part in zip(sizes, exact, strict=True)]
        behind = sorted(range(len(groups)), key=lambda place: (int(exact[place]) - exact[place], place))
        for place in behind[: settings.people - sum(sizes)]:
            sizes[place] += 1
    for place, group in enumerate(groups):
        if group.of is not None:
            whole = next(number for number, each in enumerate(groups) if each.name == group.of)
            wanted = group.count if group.count is not None else round(group.share * _whole_size(groups, sizes, whole))
            sizes[place] = min(wanted, sizes[whole])
            sizes[whole] -= sizes[place]
    return sizes


def settle_down(settings: WorldSettings, relays: int, rng: np.random.Generator, spare: Ints | None = None) -> People:
    """Draw everybody for `relays` relays. `spare` (people,) asks for places for that many accounts of each person."""
    order = sorted(range(len(settings.group)), key=lambda place: settings.group[place].role != "trainer")
    sizes = head_counts(settings)
    group = np.repeat(order, [sizes[place] for place in order]).astype(np.int64)
    own = np.array([each.identities for each in settings.group], np.int64)[group]
    accounts = own if spare is None else np.maximum(own, spare)
    first = np.concatenate([[0], np.cumsum(accounts)[:-1]]).astype(np.int64)
    places = Places(
        group=group,
        trainer=np.array([each.role == "trainer" for each in settings.group])[group],
        person=np.repeat(np.arange(len(group)), accounts),
        first=first,
    )
    drawn = [_draw(settings.group[place], (relays, sizes[place]), rng) for place in order]
    traits = Traits(*(np.concatenate(columns, axis=1) for columns in zip(*drawn, strict=True)))
    strategy = np.array([code_of(each.role, each.strategy) for each in settings.group], np.int64)[group]
    return People(
        places=places,
        traits=traits,
        strategy=np.tile(strategy, (relays, 1)),
        identities=np.tile(own, (relays, 1)),
        founding=np.concatenate(
            [_founders(settings.group[place], (relays, sizes[place]), rng) for place in order], axis=1
        ),
        taste=np.round(rng.standard_normal((relays, len(group), TASTES)), DECIMALS),
    )


# --- Inside -----------------------------------------------------------------------------------------------------------


def _whole_size(groups: tuple[Group, ...], sizes: list[int], whole: int) -> int:
    """Return how many people a group had before others were taken out of it."""
    return sizes[whole] + sum(size for group, size in zip(groups, sizes, strict=True) if group.of == groups[whole].name)


def _draw(group: Group, shape: tuple[int, int], rng: np.random.Generator) -> list[Floats]:
    drawn = [sample(getattr(group, field.name), shape, rng) for field in fields(Traits)]
    names = [field.name for field in fields(Traits)]
    drawn[names.index("skew")] = np.minimum(drawn[names.index("skew")], 1.0)
    drawn[names.index("speed")] = np.maximum(drawn[names.index("speed")], 1e-6)
    return drawn


def sample(spread: Spread, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Draw numbers of a spread; always the same amount of luck, whatever the spread."""
    luck = rng.standard_normal(shape) if spread.shape == "lognormal" else rng.random(shape)
    if spread.shape == "uniform":
        return np.asarray(spread.mean * np.maximum(0.0, 1 + spread.deviation * np.sqrt(12.0) * (luck - 0.5)))
    variance = np.log1p(spread.deviation**2)
    return np.asarray(np.round(spread.mean * np.exp(np.sqrt(variance) * luck - variance / 2), DECIMALS))


def _founders(group: Group, shape: tuple[int, int], rng: np.random.Generator) -> Bools:
    """Choose who is there from the start: the same number in each relay."""
    rank = np.argsort(np.argsort(rng.random(shape), axis=1), axis=1)
    return np.asarray(rank < round(group.present * shape[1]))
