"""Pareto fronts against the definition, point by point."""

from __future__ import annotations

import numpy as np
import pytest

from derelayl_simulations.search.pareto import distance, front


def dominates(first: list[float], second: list[float]) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True)) and first != second


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("levels", [3, 1_000])
def test_the_front_is_what_nothing_allowed_dominates(objectives: int, levels: int) -> None:
    rng = np.random.default_rng(objectives)
    costs = rng.integers(levels, size=(60, objectives)).astype(np.float64)
    allowed = rng.random(60) < 0.8
    rows = costs.tolist()
    brute = [
        bool(allowed[here]) and not any(allowed[there] and dominates(rows[there], rows[here]) for there in range(60))
        for here in range(60)
    ]
    assert front(costs, allowed).tolist() == brute


def test_what_is_not_allowed_or_not_known_is_on_no_front_and_keeps_nothing_off_it() -> None:
    costs = np.array([[0.0, 0.0], [np.nan, -1.0], [1.0, 1.0], [2.0, 0.5]])
    assert front(costs, np.array([False, True, True, True])).tolist() == [False, False, True, True]
    assert not front(costs, np.zeros(4, np.bool_)).any()


def test_equals_are_both_on_the_front() -> None:
    assert front(np.array([[1.0, 2.0], [1.0, 2.0]]), np.ones(2, np.bool_)).all()


def test_a_dominated_point_is_behind_by_its_least_disadvantage_in_parts_of_the_range() -> None:
    costs = np.array([[8.0, 30.0], [4.0, 20.0], [0.0, 29.0], [10.0, 10.0]])
    found = distance(costs, np.ones(4, np.bool_), 0)
    assert (found.dominators, found.nearest) == (2, 1)
    assert found.lead == pytest.approx(min(4 / 10, 10 / 20))


def test_a_point_of_the_front_is_told_which_other_gives_up_least() -> None:
    costs = np.array([[0.0, 10.0], [1.0, 9.0], [10.0, 0.0]])
    found = distance(costs, np.ones(3, np.bool_), 0)
    assert (found.dominators, found.nearest) == (0, 1)
    assert found.lead == pytest.approx(-0.1)


def test_without_another_point_or_with_an_unknown_cost_there_is_no_distance() -> None:
    assert distance(np.array([[1.0, 1.0]]), np.ones(1, np.bool_), 0).nearest is None
    assert distance(np.array([[np.nan, 1.0], [1.0, 1.0]]), np.ones(2, np.bool_), 0).nearest is None
