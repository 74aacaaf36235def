from __future__ import annotations

import numpy as np
import pytest
from tests.simulations.world.builders import HONEST, played, scenario

from derelayl_simulations.columns import COLUMNS, strategy_columns
from derelayl_simulations.ledger import NOBODY
from derelayl_simulations.measures import gini
from derelayl_simulations.world.observe import ancestor_depth, observe, people_coins, strategies_of
from derelayl_simulations.world.play import circulating
from derelayl_simulations.world.state import NO_MODEL

ROLES = [*HONEST, {"name": "riders", "strategy": "free-rider", "count": 4}]


def test_a_row_has_every_column_but_those_of_other_rule_sets() -> None:
    world, rounds = played(scenario(groups=ROLES))
    names = strategies_of(world)
    assert names == ["honest", "free-rider"]
    assert set(observe(world, rounds[-1], names)) == set(COLUMNS) | set(strategy_columns(names))


def test_the_common_ancestor_is_as_far_as_walking_says() -> None:
    world, _ = played(scenario(people=60, relays=5, rounds=25, learning={"start": "tip"}))
    parent, expected = world.book.checkpoints.parent, []
    for tips in world.book.tips:
        line, depth = set(tips[tips != NOBODY].tolist()), 0
        while len(line) > 1:
            line, depth = {int(parent[number]) for number in line}, depth + 1
        expected.append(depth)
    assert ancestor_depth(world).tolist() == expected
    assert max(expected) > 0


def test_coins_of_people_and_what_waits_add_up_to_the_supply() -> None:
    world, rounds = played(scenario(people=60, relays=2, churn=False))
    coin = world.ledger.wei_per_coin
    waiting = (world.book.carry.sum() + world.book.checkpoints.pending.sum()) / coin
    row = observe(world, rounds[-1], ["honest"])
    assert people_coins(world).sum() + waiting == pytest.approx(row["supply"])
    assert row["supply"] == pytest.approx(circulating(world) / coin)
    assert row["inflation"] == pytest.approx(row["minted"] / (row["supply"] - row["minted"]), rel=1e-6)


def test_versions_are_counted_from_the_newest_of_their_own_relay() -> None:
    world, rounds = played(scenario(people=4, relays=2, groups=[{"name": "t", "share": 1}], rounds=1))
    world.held[:] = [[7, 6, 5, NO_MODEL], [20, 20, 19, 3]]
    row = observe(world, rounds[-1], ["honest"])
    shares = {name: value for name, value in row.items() if name.startswith("share_") and value}
    assert shares == {
        "share_latest": 37.5, "share_behind_1": 25.0, "share_behind_2": 12.5, "share_older": 12.5, "share_none": 12.5,
        "share_honest": 100.0,
    }  # fmt: skip


def test_the_median_counts_only_who_plays_the_role() -> None:
    world, rounds = played(scenario(people=30, rounds=30))
    row = observe(world, rounds[-1], ["honest"])
    recent = world.leased[0] > 30 - world.settings.window
    assert recent.sum() > 0
    assert row["profit_trainer"] == pytest.approx(np.median(world.income.profit[0, 0, recent & world.present[0]]))
    validators = ~world.trainers & world.present[0]
    assert row["profit_validator"] == pytest.approx(np.median(world.income.profit[2, 0, validators]))


def test_free_riders_use_the_newest_model_as_far_as_it_leaks() -> None:
    for leak, earns in ((0.0, False), (1.0, True)):
        world, rounds = played(
            scenario(groups=ROLES, ledger={"access_fee": 5.0}, demand={"usage": 1.0, "leak": leak}, churn=False)
        )
        riders = world.people.places.group == 2
        assert rounds[-1].earned.usage[:, riders].all() == earns
        assert (world.held[:, riders] > NO_MODEL).any() == earns


def test_washing_costs_the_owner_what_does_not_come_back() -> None:
    washers = [{**HONEST[0], "strategy": "wash"}, HONEST[1]]
    spent = []
    for fee in (0.0, 5.0):
        _, rounds = played(scenario(groups=washers, ledger={"access_fee": fee}, churn=False, rounds=10))
        spent.append(sum(float(each.earned.wei[1].sum()) for each in rounds))
    assert spent[1] < spent[0]


@pytest.mark.parametrize(
    ("amounts", "expected"), [([0.0, 0.0], 0.0), ([1.0, 1.0, 1.0], 0.0), ([0, 0, 0, 8.0], 0.75), ([1.0, 3.0], 0.25)]
)
def test_gini(amounts: list[float], expected: float) -> None:
    assert gini(np.array(amounts)) == pytest.approx(expected)


def test_a_member_is_compared_with_the_best_that_its_own_data_can_teach() -> None:
    for fee in (0.0, 1.0):
        given = scenario(people=20, rounds=10, ledger={"access_fee": fee}, demand={"usage": 2.0}, churn=False)
        world, rounds = played(given)
        row = observe(world, rounds[-1], ["honest"])
        alone = 3.0 * world.people.traits.quality
        best = world.book.checkpoints.note[world.book.tips[world.book.tips >= 0]].max()
        reached = np.maximum(best, world.held_level) if fee == 0 else world.held_level
        assert row["beyond_alone_nats"] == pytest.approx(np.median(reached - alone))
        assert row["beyond_alone_money"] == pytest.approx(np.median(world.income.total - 2.0 * alone))


def test_nobody_knows_what_one_has_alone_where_data_teach_no_level() -> None:
    world, rounds = played(scenario(people=20, rounds=2, learning={"model": "normal"}))
    assert np.isnan(observe(world, rounds[-1], ["honest"])["beyond_alone_nats"])
