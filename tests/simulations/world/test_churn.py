"""People come and go by what they can expect to earn."""

from __future__ import annotations

import numpy as np
import pytest
from tests.simulations.world.builders import HONEST, generator, played, scenario

from derelayl_protocol.ledger.experience import TRIALS
from derelayl_simulations.world.churn import come_and_go, prospects
from derelayl_simulations.world.luck import draw

FEW = [{**each, "present": 0.3} for each in HONEST]


def test_nobody_comes_or_goes_where_that_is_switched_off() -> None:
    world, _ = played(scenario(groups=FEW, churn=False, outside=100.0, rounds=60))
    assert (world.present == world.people.founding).all()


def test_who_could_earn_more_elsewhere_leaves_once_patience_is_at_an_end() -> None:
    groups = [{**each, "patience": 10} for each in HONEST]
    there = [played(scenario(groups=groups, outside=1000.0, look=0.0, rounds=rounds))[0] for rounds in (10, 11)]
    assert there[0].present.all()
    assert not there[1].present.any()


def test_who_leaves_takes_everything_away_but_royalties_still_to_come() -> None:
    groups = [{**each, "patience": 5} for each in HONEST]
    world, _ = played(scenario(groups=groups, outside=1000.0, look=0.0, rounds=40, ledger={"unbonding_rounds": 4}))
    book = world.book
    assert (book.stake == 0).all()
    assert (book.unbonding == 0).all()
    assert (book.free == 0).all()
    assert book.deposited == int(book.total().sum())


def test_a_relay_that_pays_fills_up() -> None:
    world, _ = played(scenario(people=60, groups=FEW, look=0.2, rounds=60))
    assert np.count_nonzero(world.present) > 1.5 * np.count_nonzero(world.people.founding)


def test_dear_people_expect_less_and_stay_away_first() -> None:
    groups = [{**each, "present": 0.5, "cost": {"mean": 1.0, "deviation": 1.0}} for each in HONEST]
    world, _ = played(scenario(people=200, groups=groups, rounds=30))
    newcomers = world.trainers & (world.income.legs == 0)
    expected, cost = prospects(world)[newcomers], world.people.traits.cost[newcomers]
    assert np.corrcoef(expected.ravel(), cost.ravel())[0, 1] < -0.9


def test_who_comes_back_remembers_what_its_legs_brought() -> None:
    """As a node does, which reads it on the ledger."""
    world, _ = played(scenario(groups=[{**each, "patience": 3} for each in HONEST], look=0.0, rounds=20))
    gone = world.trainers & ~world.present & (world.income.legs >= TRIALS)
    assert gone.any()
    assert (prospects(world)[gone] < 0).all()
    world.income.gross[0] = 1e6  # however much others earn
    assert (prospects(world)[gone] < 0).all()
    before = world.income.legs.copy()
    world.admit(gone)
    assert (world.income.legs == before).all()


@pytest.mark.parametrize("curiosity", [0.0, 0.5])
def test_a_role_that_has_not_paid_is_tried_again_by_the_curious_only(curiosity: float) -> None:
    given = scenario(people=60, rounds=30, look=0.5, curiosity=curiosity)
    world, _ = played(given)
    world.dismiss(np.broadcast_to(~world.trainers, world.present.shape))
    world.income.gross[1] = -1.0
    luck = draw(generator(), 1, world.people.places.accounts, world.people.places.people, 5)
    come_and_go(world, luck)
    assert world.present[:, ~world.trainers].any() == (curiosity > 0)


def test_a_validator_refills_a_stake_that_has_fallen_below_half() -> None:
    events = [{"round": number, "kind": "crash", "role": "validator", "amount": 1.0} for number in range(5, 12)]
    world, _ = played(scenario(rounds=14, churn=False, events=events, ledger={"slash_share": 0.4}))
    assert (2 * world.book.stake[:, ~world.trainers] >= world.book.rules.validator_stake).all()
