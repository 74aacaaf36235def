"""Runs over rounds and seeds."""

from __future__ import annotations

import numpy as np
import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.columns import COLUMNS, SHARES, gini
from derelayl_simulations.parameters import PublishedParameters
from derelayl_simulations.runner import MAX_COIN_SAMPLES, MAX_ROUNDS, MAX_TOTAL_ROUNDS, run, run_many

SMALL = PublishedParameters(participants=24)


@pytest.mark.parametrize(("rounds", "seed"), [(0, 0), (MAX_ROUNDS + 1, 0), (5, -1)])
def test_rounds_and_seeds_out_of_bounds_are_refused(rounds: int, seed: int) -> None:
    with pytest.raises(LocalFault, match="allowed is"):
        run(SMALL, rounds, seed)


@pytest.mark.parametrize(("seeds", "rounds", "jobs"), [(0, 5, 1), (MAX_TOTAL_ROUNDS // 100 + 1, 100, 1), (2, 5, 0)])
def test_no_seeds_too_much_to_keep_and_no_jobs_are_refused(seeds: int, rounds: int, jobs: int) -> None:
    with pytest.raises(LocalFault):
        list(run_many(SMALL, rounds, range(seeds), jobs))


def test_an_error_in_a_process_reaches_the_caller() -> None:
    with pytest.raises(LocalFault, match="seed is -1"):
        list(run_many(SMALL, 5, [0, -1], 2))


def test_a_seed_gives_the_same_run_in_any_process_and_another_seed_another_run() -> None:
    apart = {result.seed: result for result in run_many(SMALL, 40, [3, 4, 5], 2)}
    together = {result.seed: result for result in run_many(SMALL, 40, [3, 4, 5], 1)}
    for seed in (3, 4, 5):
        np.testing.assert_array_equal(apart[seed].table, together[seed].table)
    assert not np.array_equal(apart[3].table, apart[4].table)


def test_only_the_first_seed_keeps_everybodys_coins() -> None:
    first, second = run_many(SMALL, 30, [8, 9], 1)
    assert second.history is None
    assert first.history is not None
    assert first.history.coins.shape == (30, 24)
    np.testing.assert_allclose(first.history.coins.sum(axis=1), first.column("coins"))


def test_a_long_run_keeps_a_sample_of_the_coins() -> None:
    result = run(PublishedParameters(participants=4), MAX_COIN_SAMPLES + 2, 0, keep_history=True)
    assert result.history is not None
    assert result.history.rounds.tolist() == list(range(2, MAX_COIN_SAMPLES + 3, 2))
    assert len(result.history.coins) == len(result.history.rounds)


def test_a_row_adds_up() -> None:
    result = run(PublishedParameters(), 100, 1)
    shares = sum(result.column(name) for name in SHARES)
    np.testing.assert_allclose(shares, 100.0)
    np.testing.assert_array_equal(result.column("round"), np.arange(1, 101))
    np.testing.assert_array_equal(result.column("owners")[1:], result.column("selected")[:-1])
    np.testing.assert_array_equal(result.column("selected"), result.column("models") // 2)
    np.testing.assert_array_equal(result.column("owners") + result.column("trainers"), 128)
    np.testing.assert_allclose(np.cumsum(result.column("minted") - result.column("burned")), result.column("coins"))
    assert result.table.shape == (100, len(COLUMNS))


def test_a_selected_model_of_version_v_mints_v_plus_one_coins_besides_the_fees() -> None:
    result = run(PublishedParameters(deposit_fee=0, hash_fee=0, test_fee=0, ranking_fee=0), 50, 2)
    np.testing.assert_array_equal(result.column("minted"), result.column("selected") * (result.column("round") + 1))


def test_survival_is_told_per_round() -> None:
    result = run(PublishedParameters(trainers_per_owner=1), 5, 0)  # a single model a round: floor(0.5) selects nobody
    assert not result.survives(1)
    assert np.isnan(result.column("common_ancestor_depth")).all()


def test_gini_is_nought_for_equals_and_nears_one_for_a_monopoly() -> None:
    assert gini(np.zeros(4)) == 0.0
    assert gini(np.full(4, 2.5)) == pytest.approx(0.0)
    assert gini(np.array([0.0, 0.0, 0.0, 8.0])) == pytest.approx(0.75)
