"""Timed events do what they say, for as long as they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.simulations.world.builders import HONEST, played, scenario

from derelayl_simulations.ledger import Ending
from derelayl_simulations.world.observe import people_coins


def happened(events: list[dict[str, Any]], rounds: int = 12, **world: Any):  # type: ignore[no-untyped-def]
    return played(scenario(people=40, relays=2, rounds=rounds, churn=False, events=events, **world))


def test_without_events_every_round_settles() -> None:
    _, rounds = happened([])
    assert all((each.outcome.ending == Ending.SETTLED).all() for each in rounds)


def test_costs_rise_for_as_long_as_the_event_lasts() -> None:
    _, rounds = happened([{"round": 4, "kind": "cost", "amount": 3.0, "rounds": 2}])
    _, plain = happened([])
    ratio = [
        round(float(dear.earned.cost.sum() / usual.earned.cost.sum()), 6)
        for dear, usual in zip(rounds[:6], plain[:6], strict=True)
    ]
    assert ratio[:3] == [1, 1, 1]
    assert ratio[3] == 3
    assert 2.5 < ratio[4] <= 3  # somebody has learnt that legs do not pay
    assert ratio[5] < 2


def test_events_of_a_kind_multiply_and_one_without_a_length_lasts_for_good() -> None:
    events = [{"round": 2, "kind": "cost", "amount": 2.0}, {"round": 3, "kind": "cost", "amount": 5.0, "rounds": 1}]
    world, _ = happened(events, rounds=3)
    assert world.cost_factor == 10
    assert happened(events, rounds=9)[0].cost_factor == 2


def test_demand_without_consumers_brings_no_fees_and_comes_back() -> None:
    _, rounds = happened(
        [{"round": 4, "kind": "demand", "amount": 0.0, "rounds": 3}],
        ledger={"access_fee": 1.0},
        demand={"consumers": 40},
    )
    assert [bool(each.consumers.sum()) for each in rounds] == [True] * 3 + [False] * 3 + [True] * 6


def test_a_crash_of_all_trainers_forfeits_their_bids_once_and_then_nobody_bids() -> None:
    _, rounds = happened([{"round": 6, "kind": "crash", "role": "trainer", "amount": 1.0, "rounds": 3}])
    endings = [set(each.outcome.ending.tolist()) for each in rounds]
    assert endings[5] == {Ending.NOTHING_SUBMITTED}
    assert (rounds[5].outcome.forfeited > 0).any()
    assert endings[6:8] == [{Ending.IDLE}] * 2
    assert endings[8] == {Ending.SETTLED}


def test_a_crash_of_validators_costs_them_stake_and_voids_rounds() -> None:
    _, rounds = happened([{"round": 6, "kind": "crash", "role": "validator", "amount": 1.0, "rounds": 2}])
    assert [set(each.outcome.ending.tolist()) for each in rounds[5:7]] == [{Ending.TOO_FEW_COMMITS}] * 2
    assert (rounds[5].outcome.slashed.sum(axis=1) > 0).all()
    assert set(rounds[7].outcome.ending.tolist()) == {Ending.SETTLED}


def test_a_partition_loses_reveals_while_it_lasts() -> None:
    _, rounds = happened([{"round": 6, "kind": "partition", "amount": 1.0, "rounds": 2}])
    assert [set(each.outcome.ending.tolist()) for each in rounds[5:7]] == [{Ending.TOO_FEW_REVEALS}] * 2
    assert set(rounds[7].outcome.ending.tolist()) == {Ending.SETTLED}


NOTHING_TO_LEARN = {"rate": 0.0, "noise": 0.0, "roughness": 0.0, "drift": 0.0, "averaging": 0.0}


def test_quality_drops_by_so_many_nats_and_the_price_by_its_factor() -> None:
    usual, _ = happened([], rounds=8, learning=NOTHING_TO_LEARN)
    hit, _ = happened(
        [{"round": 8, "kind": "quality", "amount": 1.0}, {"round": 8, "kind": "price", "amount": 0.5}],
        rounds=8,
        learning=NOTHING_TO_LEARN,
    )
    notes = [world.book.checkpoints.note[world.book.tips[:, 0]] for world in (usual, hit)]
    assert np.allclose(notes[0] - notes[1], 1.0)
    assert hit.price.tolist() == [0.5, 0.5]


def test_when_the_subsidy_ends_the_rest_of_the_budget_is_gone_and_nothing_is_minted() -> None:
    world, rounds = happened([{"round": 4, "kind": "budget", "amount": 0.0}], rounds=6)
    assert [bool(each.outcome.emission.any()) for each in rounds] == [True] * 3 + [False] * 3
    assert (world.book.budget == 0).all()
    assert int(world.book.total().sum()) == world.book.deposited
    half, _ = happened([{"round": 1, "kind": "budget", "amount": 0.5}], rounds=1)
    usual, _ = happened([], rounds=1)
    assert half.book.budget.sum() < 0.51 * usual.book.budget.sum()


def test_a_whale_comes_with_its_money_and_takes_it_away_again() -> None:
    groups = [
        *HONEST,
        {"name": "whale", "strategy": "whale", "count": 1, "identities": 4, "present": 0, "capital": 5000},
    ]
    events = [
        {"round": 3, "kind": "enter", "group": "whale", "amount": 1.0},
        {"round": 6, "kind": "leave", "group": "whale", "amount": 1.0},
    ]
    coins = []
    for rounds in (2, 3, 8):
        world, _ = happened(events, rounds=rounds, groups=groups)
        whale = world.settings.group.index(next(each for each in world.settings.group if each.name == "whale"))
        coins.append(people_coins(world)[:, world.people.places.group == whale].ravel())
    assert (coins[0] == 0).all()
    assert (coins[1] > 4000).all()
    assert (coins[2] < 100).all()  # royalties that came after it had left


def test_an_event_meets_only_the_role_or_group_it_names() -> None:
    world, _ = happened([{"round": 2, "kind": "leave", "role": "trainer", "amount": 1.0}], rounds=2)
    assert not world.present[:, world.trainers].any()
    assert world.present[:, ~world.trainers].all()
