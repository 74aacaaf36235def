"""Random worlds with every strategy and event: no wei is made or lost, nothing is negative, nothing is NaN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.simulations.world.builders import generator, scenario

from derelayl_simulations.ledger import Ending
from derelayl_simulations.scenarios.load import Scenario
from derelayl_simulations.world.luck import draw
from derelayl_simulations.world.observe import observe, strategies_of
from derelayl_simulations.world.opening import open_world
from derelayl_simulations.world.play import Round, play_round
from derelayl_simulations.world.state import World
from derelayl_simulations.world.strategies import NAMES

WORLDS = 12
ROUNDS = 40


def random_scenario(seed: int) -> Scenario:
    """Draw a world: five strategies, in turn, beside honest people, a random ledger, events of every kind."""
    rng = generator(seed)
    groups: list[dict[str, Any]] = [
        {
            "name": "trainers",
            "share": 0.5,
            "present": float(rng.uniform(0.3, 1)),
            "capital": float(rng.choice([2, 200])),
        },
        {"name": "validators", "role": "validator", "share": 0.5, "patience": 3},
    ]
    for code in np.arange(5 * seed, 5 * seed + 5) % len(NAMES):
        role, name = NAMES[code]
        groups.append({
            "name": f"{role}-{name}", "role": role, "strategy": name, "count": 3,
            "identities": int(rng.integers(1, 4)), "stake": float(rng.uniform(0.5, 4)),
        })  # fmt: skip
    kinds = ("cost", "demand", "price", "enter", "leave", "crash", "partition", "quality", "budget")
    events = [
        {"round": int(rng.integers(1, ROUNDS)), "kind": kind, "amount": float(rng.uniform(0, 1)), "rounds": 4}
        for kind in kinds
    ]
    seats = int(rng.integers(1, 8))
    return scenario(
        people=50,
        relays=3,
        rounds=ROUNDS,
        groups=groups,
        events=events,
        ledger={
            "committee_size": seats, "quorum": int(rng.integers(1, seats + 1)),
            "budget": float(rng.choice([500, 5000])),
            "legs_per_tip": int(rng.integers(1, 6)), "selected_share": float(rng.uniform(0.1, 1)),
            "access_fee": float(rng.choice([0, 1.2345])), "gamma": float(rng.uniform()),
            "slash_share": float(rng.uniform()), "unbonding_rounds": int(rng.integers(0, 6)),
            "validator_stake": float(rng.uniform(1, 60)), "min_bid": 0.7,
        },
        demand={"consumers": 10, "valuation": str(rng.choice(["fixed", "demand"])), "usage": 0.1, "leak": 0.3},
        costs={"window_hours": 1.1, "presence": 0.1},
        learning={"model": str(rng.choice(["saturating", "normal"]))},
        seeders=float(rng.uniform()),
        look=0.3,
        dead_after=5,
    )  # fmt: skip


def rounds_of(given: Scenario, seed: int) -> Iterator[tuple[World, Round]]:
    world, rng = open_world(given, seed)
    places = world.people.places
    for _ in range(given.rounds):
        luck = draw(rng, world.people.relays, places.accounts, places.people, given.ledger.committee_size)
        yield world, play_round(world, luck, given.event)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_every_round_of_a_random_world_keeps_every_wei_and_makes_no_nonsense(seed: int) -> None:
    given = random_scenario(seed)
    with np.errstate(all="raise", under="ignore"):
        for world, happened in rounds_of(given, seed):
            book = world.book
            assert int(book.total().sum()) == book.deposited
            for amounts in (book.free, book.stake, book.unbonding, book.budget, book.carry, book.checkpoints.pending):
                assert amounts.min(initial=0) >= 0
            assert (book.locked == 0).all()
            assert (book.free[~world.used] == 0).all()
            memory = world.income
            for known in (
                memory.profit,
                memory.usage,
                memory.leg,
                memory.gross,
                world.price,
                world.reward,
                world.score,
            ):
                assert np.isfinite(known).all()
            assert np.isfinite(happened.earned.wei).all()
            assert (happened.earned.cost >= 0).all()
            row = observe(world, happened, strategies_of(world))
            shares = sum(value for name, value in row.items() if name.startswith(("share_latest", "share_behind")))
            shares += row["share_older"] + row["share_none"]
            assert shares == pytest.approx(100) or row["participants"] == 0
            assert row["supply"] >= 0


def test_the_random_worlds_have_seen_every_ending_of_a_round_and_every_strategy() -> None:
    endings, strategies = set[int](), set[int]()
    for seed in range(WORLDS):
        for world, happened in rounds_of(random_scenario(seed), seed):
            endings |= set(happened.outcome.ending.tolist())
            strategies |= set(world.strategies)
    assert endings >= {Ending.IDLE, Ending.SETTLED, Ending.COMMITTEE_TOO_SMALL, Ending.TOO_FEW_REVEALS}
    assert len(strategies) == len(NAMES)


def test_what_people_are_said_to_have_earned_is_what_the_ledger_moved() -> None:
    """Without newcomers, consumers and purchases the free money and stakes change by earnings alone."""
    given = scenario(people=40, relays=2, rounds=30, churn=False)
    world, rng = open_world(given, 3)
    places = world.people.places
    for _ in range(given.rounds):
        before = world.people.places.fold(world.book.free + world.book.stake)
        luck = draw(rng, 2, places.accounts, places.people, given.ledger.committee_size)
        happened = play_round(world, luck)
        moved = world.people.places.fold(world.book.free + world.book.stake) - before
        assert (happened.earned.wei.sum(axis=0) == moved).all()
