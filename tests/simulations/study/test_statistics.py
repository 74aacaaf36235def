"""Intervals over seeds, against textbook numbers and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from SALib.sample import sobol  # type: ignore[import-untyped]
from scipy import stats  # type: ignore[import-untyped]

from derelayl_simulations.study.sampling import problem
from derelayl_simulations.study.statistics import (
    BOOTSTRAP_SEED,
    RESAMPLES,
    alive_band,
    difference,
    lorenz,
    mean,
    mean_band,
    median,
    proportion,
    sobol_indices,
)


def test_nothing_at_all_has_no_mean_and_one_value_no_interval() -> None:
    assert mean([np.nan, np.nan]).count == 0
    assert np.isnan(mean([np.nan]).estimate)
    single = mean([3.0])
    assert (single.estimate, single.count) == (3.0, 1)
    assert np.isnan([single.low, single.high, median([3.0]).low]).all()
    assert median([]).count == proportion(0, 0).count == 0


def test_an_outcome_that_is_missing_has_no_sobol_indices() -> None:
    with pytest.raises(ValueError, match="missing"):
        sobol_indices(["a"], np.array([1.0, np.nan, 2.0]))


def test_an_outcome_that_never_changes_has_no_variance_to_explain() -> None:
    assert [index.total.estimate for index in sobol_indices(["a", "b"], np.ones(16))] == [0.0, 0.0]


def test_the_mean_of_five_numbers_has_the_textbook_interval() -> None:
    found = mean([4.0, 5.0, 6.0, 7.0, 8.0])  # t(0.975, 4) = 2.776, s = 1.5811
    assert found.estimate == 6.0
    assert found.high - 6.0 == pytest.approx(2.776 * 1.5811 / 5**0.5, rel=1e-3)
    assert 6.0 - found.low == pytest.approx(found.high - 6.0)


def test_what_does_not_exist_counts_neither_in_the_mean_nor_in_its_error() -> None:
    assert mean([1.0, np.nan, 3.0]) == mean([1.0, 3.0])
    band = mean_band(np.array([[1.0, np.nan], [3.0, 5.0]]))
    assert band.centre.tolist() == [2.0, 5.0]
    assert np.isnan(band.low[1])


def test_an_interval_of_the_mean_holds_the_truth_as_often_as_it_says() -> None:
    samples = np.random.default_rng(0).normal(7.0, 2.0, (2000, 6))
    held = [found.low <= 7.0 <= found.high for found in map(mean, samples)]
    assert abs(np.mean(held) - 0.95) < 0.015


def test_the_bootstrap_of_the_median_says_the_same_again() -> None:
    values = np.random.default_rng(1).exponential(1.0, 40)
    assert median(values) == median(values)
    assert median(values).low < np.log(2) < median(values).high


def test_a_share_has_wilsons_interval() -> None:
    found = proportion(19, 20)
    assert (found.low, found.high) == pytest.approx((0.7639, 0.9911), abs=1e-4)
    assert proportion(20, 20).high == pytest.approx(1.0)


def test_pairs_tell_a_difference_that_apart_drowns_in_the_spread() -> None:
    luck = np.random.default_rng(2).normal(0.0, 10.0, 12)
    first, second = luck, luck + 1.0 + 0.01 * np.arange(12)
    together, apart = difference(first, second, paired=True), difference(first, second, paired=False)
    assert together.low > 0
    assert apart.low < 0 < apart.high
    assert together.estimate == pytest.approx(apart.estimate)


def test_two_groups_have_welchs_interval() -> None:
    """The standard error is sqrt(1/3 + 5/3), the degrees of freedom (1/3 + 5/3)² / (1/18 + 25/27) = 216/53."""
    found = difference(np.array([1.0, 2.0, 3.0]), np.array([10.0, 12.0, 14.0, 16.0]), paired=False)
    half = float(stats.t.ppf(0.975, 216 / 53)) * 2**0.5
    assert found.estimate == 11.0
    assert (found.low, found.high) == pytest.approx((11.0 - half, 11.0 + half))


@pytest.mark.parametrize("constant", [0.1, 1e9])
def test_a_group_that_never_varies_is_compared_without_a_warning(constant: float) -> None:
    same, other = np.full(5, constant), constant + np.array([1.0, 2.0, 3.0])
    found = difference(same, other, paired=False)
    alone = mean(other - constant)  # all the spread is the other's
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))
    assert difference(same, same + 1, paired=False).low == pytest.approx(1.0)


def test_the_median_has_the_percentiles_of_its_resamples() -> None:
    values = np.random.default_rng(3).normal(size=30)
    picks = np.random.default_rng(BOOTSTRAP_SEED).integers(30, size=(RESAMPLES, 30))
    known = np.quantile(np.median(values[picks], axis=1), [0.025, 0.975])
    assert (median(values).low, median(values).high) == pytest.approx(tuple(known))


def test_the_share_alive_falls_when_a_seed_dies_and_never_rises() -> None:
    band = alive_band([None, 2, 4, None], 5)
    assert band.centre.tolist() == [1.0, 0.75, 0.75, 0.5, 0.5]
    assert (band.low <= band.centre).all()
    assert (band.high >= band.centre - 1e-12).all()


def test_the_lorenz_curve_of_equals_is_the_diagonal_and_of_a_monopoly_the_corner() -> None:
    people, held = lorenz(np.full(4, 2.0))
    np.testing.assert_allclose(held, people)
    assert lorenz(np.array([0.0, 8.0, 0.0]))[1].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_the_indices_of_ishigamis_function_are_the_known_ones() -> None:
    unit = sobol.sample(problem(["x1", "x2", "x3"]), 1024, calc_second_order=False, seed=1)
    x = (2 * unit - 1) * np.pi
    y = np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])
    found = {index.key: index for index in sobol_indices(["x1", "x2", "x3"], y)}
    known = {"x1": (0.3139, 0.5576), "x2": (0.4424, 0.4424), "x3": (0.0, 0.2437)}
    for key, (first, total) in known.items():
        assert found[key].first.estimate == pytest.approx(first, abs=0.03)
        assert found[key].total.low - 0.02 <= total <= found[key].total.high + 0.02
    assert list(found) == ["x1", "x2", "x3"]  # most influential first
