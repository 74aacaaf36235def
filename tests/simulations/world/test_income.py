from __future__ import annotations

import numpy as np
import pytest

from derelayl_simulations.world.income import OWNER, TRAINER, Averages, Ledgered


def remembered(values: list[float], window: int) -> float:
    average = Averages.fresh(1, 1, window)
    for value in values:
        profit = np.zeros((3, 1, 1))
        profit[TRAINER] = value
        average.remember(np.ones((1, 1), bool), profit, np.zeros((1, 1)))
    return float(average.profit[TRAINER, 0, 0])


def test_until_the_window_is_full_all_rounds_count_the_same() -> None:
    assert remembered([3.0, 0.0, 6.0], window=5) == pytest.approx(3.0)


def test_from_then_on_the_old_ones_fade() -> None:
    assert remembered([1.0] * 10 + [0.0], window=10) == pytest.approx(0.9)
    assert remembered([1.0] * 10 + [0.0] * 200, window=10) < 1e-6


def test_who_is_away_remembers_nothing_and_newcomers_start_afresh() -> None:
    average = Averages.fresh(1, 2, 4)
    average.remember(np.array([[True, False]]), np.ones((3, 1, 2)), np.ones((1, 2)))
    assert average.total.tolist() == [[4.0, 0.0]]
    average.forget(np.array([[True, False]]))
    assert average.total.tolist() == [[0.0, 0.0]]
    assert average.rounds.tolist() == [[0, 0]]


def test_the_spread_of_what_legs_bring_is_their_standard_deviation() -> None:
    average, brought = Averages.fresh(1, 1, 100), [1.0, 5.0, -2.0, 4.0]
    for value in brought:
        average.remember_legs(np.ones((1, 1), bool), np.full((1, 1), value))
    assert average.leg[0, 0] == pytest.approx(np.mean(brought))
    assert average.leg_deviation[0, 0] == pytest.approx(np.std(brought))


def test_a_role_is_averaged_over_its_people_and_not_where_there_is_nobody() -> None:
    average = Averages.fresh(2, 1, 10)
    average.remember_roles(np.array([[4, 0], [1, 1]]), np.array([[8.0, 0.0], [3.0, 5.0]]), np.zeros((2, 2)))
    assert average.gross.tolist() == [[2.0, 0.0], [3.0, 5.0]]
    assert average.seen.tolist() == [[1, 0], [1, 1]]


def test_profit_is_coins_at_the_relays_price_less_costs_by_role() -> None:
    earned = Ledgered.fresh(2, 3)
    earned.add(TRAINER, np.array([1, 1, 0]), np.array([2, 2, 0]), np.array([10.0, 20.0, 5.0]))
    earned.add(OWNER, np.array([1]), np.array([2]), np.array([100.0]))
    earned.spend(TRAINER, np.array([1]), np.array([2]), np.array([1.0]))
    profit = earned.profit(np.array([1.0, 2.0]), wei_per_coin=10)
    assert profit[TRAINER].tolist() == [[0.5, 0, 0], [0, 0, 5.0]]
    assert profit[OWNER].tolist() == [[0, 0, 0], [0, 0, 20.0]]
