"""One run of a scenario: both rule sets, the same columns, the same bits from the same seed."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest
from tests.simulations.world.builders import HONEST, scenario

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.columns import COLUMNS, strategy_columns
from derelayl_simulations.scenarios.load import Scenario, load, names
from derelayl_simulations.study.run import PEOPLE, Run, extinct_round, run

MIXED = [*HONEST, {"name": "lazy", "strategy": "lazy", "share": 0.2}]


def short(name: str) -> Scenario:
    """Return a scenario that comes with the package, played for a few rounds only."""
    return load(name).with_values({"rounds": 3})


def same(one: Run, other: Run) -> bool:
    """Tell whether two runs are the same to the last bit."""
    tables = one.table.keys() == other.table.keys() and all(
        np.array_equal(one.table[name], other.table[name], equal_nan=True) for name in one.table
    )
    people = all(np.array_equal(one.people[name], other.people[name]) for name in one.people)
    return tables and people and one.extinct_round == other.extinct_round


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(LocalFault, match="seed is -1"):
        run(scenario(), -1)


def test_money_that_does_not_fit_the_ledger_is_refused() -> None:
    rich = [{**each, "capital": 1e8} for each in HONEST]
    with pytest.raises(LocalFault, match="wei, allowed is"):
        run(scenario(groups=rich), 1)


@pytest.mark.parametrize("name", names())
def test_every_scenario_of_the_package_can_be_played(name: str) -> None:
    given = short(name)
    found = run(given, 1)
    assert set(COLUMNS) <= set(found.table)
    assert all(column.shape == (3,) and column.dtype == np.float64 for column in found.table.values())
    assert list(found.people) == list(PEOPLE)
    assert (found.table["round"] == [1, 2, 3]).all()
    assert (found.table["supply"] >= 0).all()


@pytest.mark.parametrize("name", ["published", "honest", "strategies"])
def test_the_same_seed_gives_the_same_bits_and_another_one_others(name: str) -> None:
    given = short(name)
    assert same(run(given, 5), run(given, 5))
    assert not same(run(given, 5), run(given, 6))


def test_another_process_gives_the_same_bits() -> None:
    given = short("strategies")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert same(pool.submit(run, given, 5).result(), run(given, 5))


def test_what_is_recorded_changes_nothing() -> None:
    given = scenario(rounds=8)
    plain, kept = run(given, 2), run(given, 2, keep_history=True)
    assert same(plain, kept)
    assert plain.coins is None
    assert kept.coins is not None
    assert kept.coins.rounds.tolist() == list(range(1, 9))
    assert (kept.coins.coins[-1] == kept.people["coins"]).all()


def test_every_strategy_in_the_world_has_its_two_columns() -> None:
    table = run(scenario(groups=MIXED), 1).table
    assert set(table) == set(COLUMNS) | set(strategy_columns(["honest", "lazy"]))
    assert table["share_honest"] + table["share_lazy"] == pytest.approx(np.full(20, 100.0))


def test_columns_add_up() -> None:
    table = run(scenario(people=60, relays=2, rounds=40, groups=MIXED), 1).table
    shares = sum(table[name] for name in COLUMNS if name.startswith("share_"))
    assert shares == pytest.approx(np.full(40, 100.0))
    assert (table["selected"] <= table["models"]).all()
    assert (table["models"] <= table["matched"]).all()
    assert (table["live_tips"][table["selected"] > 0] >= 1).all()
    assert table["inflation"][1:] == pytest.approx(table["minted"][1:] / table["supply"][:-1])
    assert (table["coins_min"] <= table["coins_mean"]).all()
    assert (table["coins_mean"] <= table["coins_max"]).all()


def test_emission_ends_with_the_budget() -> None:
    table = run(scenario(rounds=12, ledger={"emission": 10.0, "budget": 45.0}), 1).table
    assert table["minted"].sum() == pytest.approx(45)
    assert table["minted"][table["selected"] > 0][:5].tolist() == [10.0] * 4 + [5.0]


def test_extinction_is_an_outcome_under_both_rule_sets() -> None:
    published = load("published-scarce")
    assert run(published, 1).extinct_round is not None
    nobody = [{"name": "trainers", "share": 1.0}]
    assert run(scenario(rounds=30, groups=nobody, dead_after=20), 1).extinct_round == 1
    assert run(scenario(rounds=30, dead_after=20), 1).extinct_round is None


EXTREMES: list[dict[str, Any]] = [
    {"people": 2, "groups": [{"name": "t", "count": 1}, {"name": "v", "role": "validator", "count": 1}],
     "ledger": {"quorum": 1, "committee_size": 1}},
    {"people": 2, "groups": [{"name": "v", "role": "validator", "count": 2}]},
    {"people": 5, "groups": [{"name": "t", "share": 1, "present": 0}]},
    {"window": 1, "bid_step": 0.5, "bid_share": 10},
    {"ledger": {"wei_per_coin": 1, "min_bid": 1, "validator_stake": 1, "emission": 1, "offer_deposit": 0}},
    {"ledger": {"legs_per_tip": 16, "selected_share": 1.0, "committee_size": 15, "quorum": 15}},
    {"ledger": {"emission": 0, "budget": 0}},
    {"groups": [{"name": "t", "share": 0.7, "capital": 0}, {"name": "v", "role": "validator", "share": 0.3}]},
    {"groups": [{"name": "t", "share": 0.7}, {"name": "v", "role": "validator", "share": 0.3, "stake": 0}]},
    {"costs": {"leg_hours": 0, "leg_energy": 0}},
    {"costs": {"window_hours": 1e-6}},
    {"ledger": {"access_fee": 1}, "demand": {"consumers": 1e6, "valuation": "demand", "adjustment": 0.5}},
    {"learning": {"ceiling": 20, "rate": 1, "noise": 10, "roughness": 10, "drift": 0.9}},
    {"judging": {"noise": 10, "partiality": 10, "caution": 10}},
    {"groups": [{"name": "t", "share": 0.9, "strategy": "sybil", "identities": 10},
                {"name": "v", "role": "validator", "share": 0.1, "identities": 3, "stake": 3}]},
]  # fmt: skip


@pytest.mark.parametrize("extreme", EXTREMES, ids=str)
def test_every_legal_world_plays_to_its_end(extreme: dict[str, Any]) -> None:
    with np.errstate(all="raise", under="ignore"):
        found = run(scenario(rounds=30, dead_after=10, **extreme), 3)
    assert not any(np.isinf(column).any() for column in found.table.values())
    assert not np.isnan(found.table["supply"]).any()
    assert (found.extinct_round is None) == (found.table["selected"][-10:].sum() > 0)


def test_a_quiet_stretch_is_extinction_only_if_it_is_long_and_the_last() -> None:
    assert extinct_round([1, 0, 0, 0], 3) == 2
    assert extinct_round([1, 0, 0, 0], 4) is None
    assert extinct_round([0, 0, 0, 1], 3) is None
    assert extinct_round([0, 0, 0], 3) == 1


def test_published_numbers_of_the_ledgers_world_do_not_exist() -> None:
    table = run(short("published"), 1).table
    assert np.isnan(table["demand"]).all()
    assert np.isnan(table["profit_trainer"]).all()
    assert not np.isnan(table["quality"]).any()
