"""Does cheating pay, and where does a world settle when people try? Ours.

Deviations, best response and the replicator all compare worlds with the same people and the same luck (`parallel`).
Payoffs are money a round and person, in all roles together, after costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..world.people import Bools, Floats
from ..world.strategies import code_of, name_of
from .arena import Arena, Change, arena, chosen, mean_of

if TYPE_CHECKING:
    from ..scenarios.load import Scenario

ROLES = ("trainer", "validator")
SEEDS_AT_ONCE = 5  # more side by side are no faster, and take more memory


@dataclass(frozen=True, slots=True)
class Deviation:
    """What a small group earns that deviates from honesty together; money a round and person."""

    strategy: str
    roles: tuple[str, ...]
    people: int  # who deviate in each relay
    profit: float  # of those who deviate
    honest: float  # of the honest people of the same roles in the same world
    before: float  # of the same people, being honest, with the same luck

    @property
    def gain(self) -> float:
        """What deviating changes for those who deviate: the measure of whether it pays."""
        return self.profit - self.before


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the people that found something better."""

    number: int
    block: str  # which part: role and number
    before: str  # its strategy
    after: str
    gain: float  # money a round and person that the change brings it
    shares: Mapping[str, float]  # "role/strategy" → share of the people of that role who play it after the step


@dataclass(frozen=True, slots=True)
class BestResponse:
    """The way to where nobody finds anything better."""

    start: Mapping[str, float]  # shares before the first step
    steps: tuple[Step, ...]
    settled: bool  # no tested deviation pays any more; else the search ran out of steps

    @property
    def strategies(self) -> tuple[str, ...]:
        """Return every "role/strategy" that was played, in the order in which they appeared."""
        return tuple(dict.fromkeys(name for shares in (self.start, *(s.shares for s in self.steps)) for name in shares))

    def shares(self) -> Floats:
        """Return the shares over the steps, (steps + 1, strategies)."""
        rows = [self.start, *(step.shares for step in self.steps)]
        return np.array([[row.get(name, 0.0) for name in self.strategies] for row in rows])


@dataclass(frozen=True, slots=True)
class Replicator:
    """How strategies of trainers spread when those that earn more are imitated."""

    strategies: tuple[str, ...]
    shares: Floats  # (steps + 1, strategies), each row adds up to 1
    payoffs: Floats  # (steps, strategies) money a round and person, NaN where nobody played it


def deviations(scenario: Scenario, seed: int) -> dict[str, Deviation]:
    """Try each deviation and control of `[search]` with a small group of honest people, each in a world of its own.

    Raises LocalFault if the scenario's rules are the published ones, which know no strategies.
    """
    return deviations_of(scenario, [seed])[0]


def deviations_of(scenario: Scenario, seeds: Sequence[int]) -> list[dict[str, Deviation]]:
    """Do the same with several seeds, some at a time side by side, which is faster than one after the other."""
    groups = _groups(scenario)
    everyone = np.any([who for who, _ in groups.values()], axis=0) if groups else None
    changes: list[Change] = [{}, *({name: who} for name, (who, _) in groups.items())]
    found = []
    for start in range(0, len(seeds), SEEDS_AT_ONCE):
        field = arena(scenario, seeds[start : start + SEEDS_AT_ONCE], everyone)
        payoffs = field.payoffs(changes)
        found += [_compared(field, groups, part) for part in np.split(payoffs, len(field.seeds), axis=1)]
    return found


def best_response(scenario: Scenario, seed: int) -> BestResponse:
    """Let parts of the people in turn try every deviation and control and keep the one that brings them most.

    While nobody finds anything, the tries of ever more parts are played side by side: what the first of them finds
    counts, as if they had been played in turn.

    A part is one of `search.agents` of its role, which changes strategy as a whole; a part of the trainers may also
    form a ring with the part of the validators that has its number. Ends when no part finds anything that brings it
    more than `search.tolerance`, or after `search.steps` changes.
    """
    field, search = arena(scenario, [seed]), scenario.search
    blocks = _blocks(field)
    current = dict.fromkeys(blocks, "honest")
    start, steps = _mix(field, blocks, current), list[Step]()
    quiet, names, ahead = 0, list(blocks), 1
    turn = 0
    while quiet < len(names) and len(steps) < search.steps:
        ahead = min(ahead, len(names) - quiet)
        turns = [names[(turn + each) % len(names)] for each in range(ahead)]
        found = _improve(field, blocks, current, turns)
        if found is None:
            quiet, turn, ahead = quiet + ahead, turn + ahead, 2 * ahead
            continue
        name, change, gain = found
        quiet, turn, ahead = 0, turn + turns.index(name) + 1, 1
        before = current[name]
        current |= change
        steps.append(Step(len(steps) + 1, name, before, current[name], gain, _mix(field, blocks, current)))
    return BestResponse(start, tuple(steps), settled=quiet >= len(names))


def replicator(scenario: Scenario, seed: int, start: Mapping[str, float] | None = None) -> Replicator:
    """Let shares of trainers' strategies grow with what they earn, relative to the average.

    Strategies are honest and those of `search.trainer`; `start` gives their first shares (default: mostly honest), all
    of which stay above `search.floor`. Each step plays one world of that mix with luck of its own.
    """
    return replicators(scenario, seed, [start])[0]


def replicators(scenario: Scenario, seed: int, starts: Sequence[Mapping[str, float] | None]) -> list[Replicator]:
    """Do the same from several starts side by side."""
    names = ("honest", *(name for name in scenario.search.trainer if name != "honest"))
    field, search = arena(scenario, [seed]), scenario.search
    shares = [[_above_floor(_first_shares(names, start), search.floor)] for start in starts]
    payoffs: list[list[Floats]] = [[] for _ in starts]
    who = field.honest("trainer")
    for step in range(search.steps):
        world = Arena(scenario, (_seed_of(seed, step),), field.people)
        dealt = [_parts(who, way[-1]) for way in shares]
        mixes = [{name: part for name, part in zip(names, parts, strict=True) if part.any()} for parts in dealt]
        for place, earned in enumerate(world.payoffs(mixes)):
            paid = np.array([mean_of(earned, part) for part in dealt[place]])
            payoffs[place].append(paid)
            shares[place].append(_above_floor(_imitate(shares[place][-1], paid, search.speed), search.floor))
    return [Replicator(names, np.array(way), np.array(paid)) for way, paid in zip(shares, payoffs, strict=True)]


# --- Inside: deviations -----------------------------------------------------------------------------------------------


def _compared(
    field: Arena, groups: Mapping[str, tuple[Bools, tuple[str, ...]]], payoffs: Floats
) -> dict[str, Deviation]:
    """Compare the payoffs (worlds, relays, people) of the honest world and those of the groups in turn."""
    found = {}
    for number, (name, (who, roles)) in enumerate(groups.items(), start=1):
        others = np.any([field.honest(role) for role in roles], axis=0) & ~who
        found[name] = Deviation(
            strategy=name,
            roles=roles,
            people=int(who.sum()),
            profit=mean_of(payoffs[number], who),
            honest=mean_of(payoffs[number], others),
            before=mean_of(payoffs[0], who),
        )
    return found


def _groups(scenario: Scenario) -> dict[str, tuple[Bools, tuple[str, ...]]]:
    """Return who tries each deviation, and their roles; deviations that nobody could try are left out."""
    field, search = arena(scenario, [0]), scenario.search  # who plays what is the same with every seed
    small = {role: _small_group(field.honest(role), search.share) for role in ROLES}
    groups: dict[str, tuple[Bools, tuple[str, ...]]] = {}
    trained = dict.fromkeys((*search.trainer, *search.control))
    groups |= {name: (small["trainer"], ("trainer",)) for name in trained if name != "honest"}
    groups |= {name: (small["validator"], ("validator",)) for name in search.validator if name != "honest"}
    groups |= dict.fromkeys(search.rings, (small["trainer"] | small["validator"], ROLES))
    return {name: group for name, group in groups.items() if group[0].any()}


def _small_group(honest: Bools, share: float) -> Bools:
    return chosen(honest, max(1, round(share * int(honest.sum())))) if honest.any() else honest


# --- Inside: best response --------------------------------------------------------------------------------------------


def _blocks(field: Arena) -> dict[str, Bools]:
    """Divide the scenario's honest people of each role into parts of nearly equal size."""
    blocks = {}
    for role in ROLES:
        places = np.flatnonzero(field.honest(role))
        for number in range(min(field.scenario.search.agents, len(places))):
            mask = np.zeros(field.people.places.people, np.bool_)
            mask[places[number :: field.scenario.search.agents]] = True
            blocks[f"{role} {number + 1}"] = mask
    return blocks


def _improve(
    field: Arena, blocks: Mapping[str, Bools], current: Mapping[str, str], names: Sequence[str]
) -> tuple[str, dict[str, str], float] | None:
    """Return the first of these parts that finds enough, the change that brings it most, and what that brings."""
    options = {name: list(_options(field, blocks, current, name)) for name in names}
    worlds = [current, *({**current, **option} for several in options.values() for option in several)]
    if len(worlds) == 1:
        return None
    before, *payoffs = field.payoffs([_change(blocks, world) for world in worlds])
    tried = iter(payoffs)
    for name, several in options.items():
        gains = []
        for option in several:
            who = np.any([blocks[part] for part in option], axis=0)
            gains.append(mean_of(next(tried), who) - mean_of(before, who))
        if gains and max(gains) > field.scenario.search.tolerance:
            best = int(np.argmax(gains))
            return name, several[best], gains[best]
    return None


def _options(
    field: Arena, blocks: Mapping[str, Bools], current: Mapping[str, str], name: str
) -> Iterator[dict[str, str]]:
    """Yield the changes that a part can make: its own, or together with its partner among the validators."""
    search, (role, number) = field.scenario.search, name.split()
    own: tuple[str, ...] = (*search.control, *search.trainer) if role == "trainer" else search.validator
    for strategy in dict.fromkeys(("honest", *own)):
        if strategy != current[name]:
            yield {name: strategy}
    partner = f"validator {number}"
    if role == "trainer" and partner in blocks:
        for ring in search.rings:
            if current[name] != ring or current[partner] != ring:
                yield {name: ring, partner: ring}


def _change(blocks: Mapping[str, Bools], strategies: Mapping[str, str]) -> dict[str, Bools]:
    change: dict[str, Bools] = {}
    for name, strategy in strategies.items():
        if strategy != "honest":
            change[strategy] = change.get(strategy, np.zeros_like(blocks[name])) | blocks[name]
    return change


def _mix(field: Arena, blocks: Mapping[str, Bools], current: Mapping[str, str]) -> dict[str, float]:
    """Return the share of each role's people who play each strategy, "role/strategy" → share."""
    codes = field.people.strategy[0].copy()
    for name, strategy in current.items():
        codes[blocks[name]] = code_of(name.split()[0], strategy)
    mix: dict[str, float] = {}
    for role in ROLES:
        played, counts = np.unique(codes[field.role(role)], return_counts=True)
        mix |= {
            f"{role}/{name_of(code)}": count / counts.sum()
            for code, count in zip(played.tolist(), counts.tolist(), strict=True)
        }
    return mix


# --- Inside: replicator -----------------------------------------------------------------------------------------------


def _first_shares(names: tuple[str, ...], start: Mapping[str, float] | None) -> Floats:
    if start is None:
        return np.array([1.0, *(0.0 for _ in names[1:])])
    given = np.array([start.get(name, 0.0) for name in names])
    return np.asarray(given / given.sum())


def _above_floor(shares: Floats, floor: float) -> Floats:
    """Lift shares to the floor and let what others have above it give proportionally, so that they add up to 1.

    Shares that are all above it stay as they are: mixed a little in every step, they would end near equal.
    """
    floor = min(floor, 1.0 / len(shares))
    above = np.maximum(shares / shares.sum() - floor, 0.0)
    return np.asarray(floor + (1 - floor * len(shares)) * above / max(above.sum(), 1e-12))


def _parts(who: Bools, shares: Floats) -> list[Bools]:
    """Deal places out by shares: by largest remainder, each strategy spread evenly over the places."""
    places = np.flatnonzero(who)
    exact = shares * len(places)
    sizes = np.floor(exact).astype(int)
    for place in np.argsort(-(exact - sizes), kind="stable")[: len(places) - sizes.sum()]:
        sizes[place] += 1
    # Golden-ratio order: any run of it is spread over all places.
    order = np.argsort((np.arange(len(places)) * 0.6180339887498949) % 1.0, kind="stable")
    dealt = np.split(places[order], np.cumsum(sizes)[:-1])
    return [np.isin(np.arange(len(who)), part) for part in dealt]


def _imitate(shares: Floats, payoffs: Floats, speed: float) -> Floats:
    """Take a step of the discrete replicator: a share grows by its strategy's lead over the mean, in widest leads."""
    played = ~np.isnan(payoffs)  # a share may be too small for a single person: it neither grows nor shrinks
    mean = (shares[played] * payoffs[played]).sum() / shares[played].sum()
    lead = np.where(played, payoffs - mean, 0.0)
    widest = float(np.abs(lead).max())
    grown = shares * (1 + speed * lead / widest) if widest > 0 else shares
    return np.asarray(grown / grown.sum())


def _seed_of(seed: int, step: int) -> int:
    """Derive a step's seed."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
