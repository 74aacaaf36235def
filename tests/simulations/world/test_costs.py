"""What work costs, and what people bring."""

from __future__ import annotations

import numpy as np
import pytest
from tests.simulations.world.builders import HONEST, played, scenario

from derelayl_simulations.world.churn import prospects
from derelayl_simulations.world.income import TRAINER, VALIDATOR
from derelayl_simulations.world.opening import open_world
from derelayl_simulations.world.training import leg_cost

PLAIN = [{**each, "cost": 1, "speed": 1} for each in HONEST]
COSTS = {"energy_price": 0.5, "leg_energy": 4.0, "leg_hours": 2.0, "hour_price": 0.25, "delay": 0.0, "judging": 0.1}


def test_a_leg_costs_energy_and_hours_and_faster_hardware_takes_less_of_both() -> None:
    for speed, expected in ((1, 2.5), (2, 1.25)):
        world, _ = open_world(scenario(groups=[{**each, "speed": speed} for each in PLAIN], costs=COSTS), 1)
        assert leg_cost(world) == pytest.approx(np.full((1, 30), expected))


def test_every_leg_is_paid_by_its_trainer_and_every_judged_leg_by_its_seat() -> None:
    _, rounds = played(scenario(groups=PLAIN, costs=COSTS, rounds=5))
    for each in rounds:
        legs, seats = len(each.training.legs.relay), int(each.leases.is_seat.sum())
        assert each.earned.cost[TRAINER].sum() == pytest.approx(2.5 * legs)
        assert each.earned.cost[VALIDATOR].sum() == pytest.approx(2.5 * 0.1 * legs * seats)
        assert seats > 0


def test_a_leg_that_takes_longer_than_the_window_is_lost_and_paid_up_to_the_window() -> None:
    slow = [{**PLAIN[0], "speed": 0.5}, PLAIN[1]]
    _, rounds = played(scenario(groups=slow, costs={**COSTS, "window_hours": 1.0}, rounds=2))
    deeds = rounds[0].training.deeds
    assert not deeds.submitted.any()
    assert deeds.effort == pytest.approx(np.full(len(deeds.effort), 0.25))  # an hour of the four that it would take


def test_being_there_costs_everybody_every_round() -> None:
    still = scenario(groups=PLAIN, costs={**COSTS, "leg_energy": 0.0, "leg_hours": 0.0, "presence": 0.3}, rounds=2)
    _, rounds = played(still)
    assert rounds[0].earned.cost.sum() == pytest.approx(0.3 * 30)


def test_a_persons_money_is_split_over_its_accounts() -> None:
    groups = [*HONEST, {"name": "sybil", "strategy": "sybil", "count": 1, "identities": 4, "capital": 100}]
    world, _ = open_world(scenario(groups=groups), 1)
    place = int(np.flatnonzero(world.people.places.group == 2)[0])
    own = world.people.places.person == place
    assert (world.book.free[0, own] / world.ledger.wei_per_coin).tolist() == [25.0] * 4


def test_validators_stake_what_they_bring_for_it_and_keep_their_capital() -> None:
    groups = [HONEST[0], {**HONEST[1], "stake": 2.5, "capital": 7}]
    world, _ = open_world(scenario(groups=groups), 1)
    judges, coin = ~world.trainers, world.ledger.wei_per_coin
    assert (world.book.stake[0, judges] == 2.5 * world.book.rules.validator_stake).all()
    assert (world.book.free[0, judges] == 7 * coin).all()


def test_the_wary_expect_less_of_coming() -> None:
    expected = []
    for risk in (0.0, 0.5):
        world, _ = played(scenario(groups=[{**each, "risk": risk} for each in PLAIN], churn=False, rounds=1))
        world.income.work[:], world.income.gross[:] = 1.0, 2.0
        expected.append(prospects(world))
        assert prospects(world) == pytest.approx(2.0 - leg_cost(world) * (1 + risk))
    assert (expected[1] < expected[0]).all()
