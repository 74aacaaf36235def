"""One run: a scenario and a seed in, a table out. The same seed gives the same result in any process.

Both rule sets give the same columns (`columns.COLUMNS`); what one of them does not have is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

from ..columns import COLUMNS, strategy_columns
from ..published import Network, draw_chance
from ..published import play_round as play_published
from ..published.observe import Record
from ..world.luck import draw
from ..world.observe import observe, people_coins, profits, strategies_of
from ..world.opening import open_world
from ..world.play import play_round
from ..world.state import World
from ..world.strategies import name_of

if TYPE_CHECKING:
    from ..scenarios.load import Scenario

MAX_COIN_SAMPLES = 1_000  # rounds at which everybody's coins are kept: finer than a figure can show
MAX_COIN_VALUES = 4_000_000  # 32 MB: with very many participants, fewer rounds are kept

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CoinHistory:
    """Every participant's coins, at a sample of the rounds."""

    rounds: Ints  # (samples,) from 1
    coins: Floats  # (samples, participants)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one seed."""

    scenario: str
    seed: int
    rounds: int
    table: dict[str, Floats]  # column → (rounds,), NaN where there is no such thing
    people: dict[str, NDArray[Any]]  # one entry a participant at the end, see `PEOPLE`
    coins: CoinHistory | None
    extinct_round: int | None  # the first round of the stretch without a selected leg that the run ends in


PEOPLE: dict[str, str] = {
    "coins": "coins held at the end",
    "profit": "coins a round earned in all roles, after costs, over the window (published: coins held per round)",
    "role": "trainer or validator (published: participant)",
    "strategy": "name of the strategy (published: published)",
    "relay": "number of the relay",
    "present": "still there",
}


def run(scenario: Scenario, seed: int, keep_history: bool = False) -> Run:
    """Play a scenario with one seed; `keep_history` also keeps everybody's coins over the rounds.

    Raises LocalFault if the seed is negative or the scenario's money does not fit the ledger.
    """
    if seed < 0:
        raise LocalFault(f"seed is {seed}, allowed is 0 or more")
    return (_run_published if scenario.rules == "published" else _run_ledger)(scenario, seed, keep_history)


# --- Inside: published ------------------------------------------------------------------------------------------------


def _run_published(scenario: Scenario, seed: int, keep_history: bool) -> Run:
    parameters, rounds = scenario.published, scenario.rounds
    rng = np.random.default_rng(seed)
    network = Network(parameters.participants)
    record = Record(rounds, parameters.participants)
    history = _History(rounds, parameters.participants, keep_history)
    for row in range(rounds):
        outcome = play_published(network, draw_chance(rng, parameters.participants), parameters)
        record.add(network, outcome)
        history.keep(row + 1, network.coins)
    table = {name: np.full(rounds, np.nan) for name in COLUMNS} | record.table()
    table["round"] = np.arange(1.0, rounds + 1)
    table["participants"] = np.full(rounds, float(parameters.participants))
    table["relays_alive"] = (table["live_tips"] > 0).astype(np.float64)
    table["participation_owner"] = 100.0 * table["owners"] / parameters.participants
    table["inflation"] = _share_of_supply(table["minted"], table["supply"])
    dead = np.flatnonzero(table["live_tips"] == 0)
    return Run(
        scenario=scenario.name,
        seed=seed,
        rounds=rounds,
        table=table,
        people={
            "coins": network.coins.copy(),
            "profit": network.coins / rounds,
            "role": np.full(parameters.participants, "participant"),
            "strategy": np.full(parameters.participants, "published"),
            "relay": np.zeros(parameters.participants, np.int64),
            "present": np.ones(parameters.participants, np.bool_),
        },
        coins=history.kept(),
        extinct_round=int(dead[0]) + 1 if len(dead) else None,
    )


def _share_of_supply(minted: Floats, supply: Floats) -> Floats:
    """Return what was minted as a share of the supply of the round before; NaN where that was 0."""
    before = np.concatenate([[0.0], supply[:-1]])
    return np.asarray(np.divide(minted, before, out=np.full(len(minted), np.nan), where=before > 0))


# --- Inside: ledger ---------------------------------------------------------------------------------------------------


def _run_ledger(scenario: Scenario, seed: int, keep_history: bool) -> Run:
    world, rng = open_world(scenario, seed)
    places, rounds = world.people.places, scenario.rounds
    strategies = strategies_of(world)
    names = [*COLUMNS, *strategy_columns(strategies)]
    table = {name: np.full(rounds, np.nan) for name in names}
    history = _History(rounds, world.people.relays * places.people, keep_history)
    for number in range(rounds):
        luck = draw(rng, world.people.relays, places.accounts, places.people, scenario.ledger.committee_size)
        happened = play_round(world, luck, scenario.event)
        for name, value in observe(world, happened, strategies).items():
            table[name][number] = value
        history.keep(number + 1, people_coins(world))
    return Run(
        scenario=scenario.name,
        seed=seed,
        rounds=rounds,
        table=table,
        people=_people_at_the_end(world),
        coins=history.kept(),
        extinct_round=extinct_round(table["selected"], scenario.world.dead_after),
    )


def extinct_round(selected: Sequence[float] | Floats, dead_after: int) -> int | None:
    """Return the first round of the final stretch without a selected leg, None if it is shorter than `dead_after`."""
    alive = np.flatnonzero(np.asarray(selected) > 0)
    last = int(alive[-1]) + 1 if len(alive) else 0
    return last + 1 if len(selected) - last >= dead_after else None


def _people_at_the_end(world: World) -> dict[str, NDArray[Any]]:
    codes = world.people.strategy.ravel()
    return {
        "coins": people_coins(world).ravel(),
        "profit": profits(world).ravel(),
        "role": np.where(np.broadcast_to(world.trainers, world.present.shape), "trainer", "validator").ravel(),
        "strategy": np.array([name_of(code) for code in range(world.strategies[-1] + 1)])[codes],
        "relay": np.repeat(np.arange(world.people.relays), world.people.places.people),
        "present": world.present.ravel().copy(),
    }


# --- Inside: history --------------------------------------------------------------------------------------------------


class _History:
    """Keeps everybody's coins at evenly spaced rounds, few enough to fit."""

    def __init__(self, rounds: int, participants: int, wanted: bool) -> None:
        samples = max(1, min(MAX_COIN_SAMPLES, MAX_COIN_VALUES // participants, rounds))
        self._stride = math.ceil(rounds / samples)
        self._rounds: list[int] = []
        self._coins: list[Floats] = []
        self._wanted = wanted

    def keep(self, number: int, coins: Floats) -> None:
        if self._wanted and number % self._stride == 0:
            self._rounds.append(number)
            self._coins.append(coins.ravel().copy())

    def kept(self) -> CoinHistory | None:
        return CoinHistory(np.array(self._rounds), np.array(self._coins)) if self._wanted else None
