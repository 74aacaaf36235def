from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulations.world.builders import generator, scenario

from derelayl_simulations.world.people import head_counts, sample, settle_down
from derelayl_simulations.world.section import Spread
from derelayl_simulations.world.strategies import code_of

GROUPS = [
    {"name": "trainers", "share": 0.6},
    {"name": "judges", "role": "validator", "share": 0.4},
    {"name": "whale", "strategy": "whale", "count": 1, "identities": 3},
    {"name": "ring", "role": "validator", "strategy": "ring", "of": "judges", "share": 0.25},
]


def test_counts_come_first_then_shares_then_groups_out_of_groups() -> None:
    assert head_counts(scenario(people=41, groups=GROUPS).world) == [24, 12, 1, 4]


def test_a_group_cannot_take_more_people_out_of_another_than_there_are() -> None:
    groups = [*GROUPS, {"name": "rest", "role": "validator", "of": "judges", "count": 50}]
    assert head_counts(scenario(people=41, groups=groups).world) == [24, 0, 1, 4, 12]


@given(people=st.integers(2, 300), weights=st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
@settings(deadline=None)
def test_everybody_is_in_a_group_and_shares_are_kept_to_one_person(people: int, weights: list[float]) -> None:
    groups = [{"name": f"g{number}", "share": weight} for number, weight in enumerate(weights)]
    sizes = head_counts(scenario(people=people, groups=groups).world)
    assert sum(sizes) == people
    exact = np.array(weights) / sum(weights) * people
    assert np.abs(np.array(sizes) - exact).max() < 1


def test_trainers_sit_first_and_a_sybils_accounts_follow_each_other() -> None:
    world = scenario(people=41, groups=GROUPS).world
    people = settle_down(world, 2, generator())
    places = people.places
    assert places.accounts == 43
    assert places.trainer.tolist() == [True] * 25 + [False] * 16
    whale = int(np.flatnonzero(people.strategy[0] == code_of("trainer", "whale"))[0])
    assert np.flatnonzero(places.person == whale).tolist() == [whale, whale + 1, whale + 2]


def test_spreading_to_accounts_and_folding_back_counts_each_account() -> None:
    people = settle_down(scenario(people=41, groups=GROUPS).world, 1, generator())
    of_people = np.arange(41, dtype=np.int64)[None]
    counts = people.places.fold(np.ones((1, 43), np.int64))
    assert (people.places.fold(people.places.spread(of_people)) == of_people * counts).all()
    assert counts.sum() == 43


def test_places_kept_for_sybils_change_nobodys_traits() -> None:
    world = scenario(people=41, groups=GROUPS).world
    plain = settle_down(world, 2, generator())
    roomy = settle_down(world, 2, generator(), np.full(41, 5))
    assert roomy.places.accounts == 205
    assert (plain.traits.cost == roomy.traits.cost).all()
    assert (plain.identities == roomy.identities).all()


@pytest.mark.parametrize(
    "spread",
    [
        Spread(mean=3, deviation=0.5),
        Spread(mean=3, deviation=2.0),
        Spread(mean=3, deviation=0.3, shape="uniform"),
        Spread(mean=3),
        Spread(mean=0, deviation=1),
    ],
)
def test_a_spread_has_its_mean_and_deviation_and_is_never_negative(spread: Spread) -> None:
    drawn = sample(spread, (400, 500), generator())
    error = 6 * spread.mean * max(spread.deviation, 1e-9) * (1 + spread.deviation) / np.sqrt(drawn.size)
    assert drawn.min() >= 0
    assert drawn.mean() == pytest.approx(spread.mean, abs=error + 1e-9)
    assert drawn.std() == pytest.approx(spread.mean * spread.deviation, rel=0.1, abs=1e-9)


def test_the_share_that_is_there_from_the_start_is_the_same_in_every_relay() -> None:
    groups = [{"name": "trainers", "share": 1, "present": 0.3}]
    people = settle_down(scenario(people=40, groups=groups).world, 5, generator())
    assert people.founding.sum(axis=1).tolist() == [12] * 5
    assert len({tuple(row) for row in people.founding.tolist()}) > 1
