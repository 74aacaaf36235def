"""Thresholds of exits under a compute budget, on evidence that is made up."""

from itertools import product

import numpy as np
import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_training.exits.thresholds import Evidence, ThresholdSearch, leave_at, weigh


def evidence(exits: int = 3, samples: int = 400, seed: int = 0) -> Evidence:
    """Each exit is right more often than the one before, and says truly how sure it is; equal trunks, cheap heads."""
    rng = np.random.default_rng(seed)
    ease = rng.random(samples)
    chance = np.stack([np.clip(ease + exit / exits, 0.1, 0.99) for exit in range(exits)])
    heads = np.full(exits, 0.01)
    return Evidence(chance, rng.random((exits, samples)) < chance, np.full(exits, (1 - 0.01) / exits), heads)


def test_a_budget_below_the_first_exit_is_refused_with_what_that_costs() -> None:
    with pytest.raises(LocalFault, match=r"too small: the first exit alone costs 0\.340"):
        ThresholdSearch(evidence()).best(0.3)


def test_a_sample_leaves_at_the_first_open_exit_that_is_sure_enough() -> None:
    confidence = np.array([[0.9, 0.6, 0.2, 0.9], [0.5, 0.8, 0.3, 0.9], [0.1, 0.1, 0.1, 0.1]])
    assert leave_at(confidence, (0.9, 0.8)).tolist() == [0, 1, 2, 0]
    assert leave_at(confidence, (None, 0.8)).tolist() == [2, 1, 2, 1]
    assert leave_at(confidence, (None, None)).tolist() == [2, 2, 2, 2]


def test_a_closed_exit_costs_nothing_and_an_open_one_its_head_on_every_way_past_it() -> None:
    found = evidence()
    assert weigh(found, (None, None)).cost == pytest.approx(1.0)
    assert weigh(found, (1.0, None)).cost == pytest.approx(1.01)
    assert weigh(found, (0.0, None)).cost == pytest.approx(0.33 + 0.01)


@pytest.mark.parametrize("exits", [1, 2, 3, 4])
def test_a_whole_budget_is_never_worse_than_the_whole_network(exits: int) -> None:
    found = evidence(exits)
    best = ThresholdSearch(found).best(1.0)
    assert best.accuracy >= found.right[-1].mean()
    assert best.cost <= 1.0 + 1e-9


@pytest.mark.parametrize("budget", [0.35, 0.4, 0.5, 0.6, 0.75, 0.9])
def test_the_search_keeps_within_the_budget_and_comes_near_the_best_of_a_grid(budget: float) -> None:
    found = evidence()
    best = ThresholdSearch(found).best(budget)
    assert weigh(found, best.thresholds).cost == pytest.approx(best.cost)
    assert weigh(found, best.thresholds).accuracy == pytest.approx(best.accuracy)
    assert best.cost <= budget + 1e-9
    bars = [None, *np.linspace(0, 1, 30).tolist()]
    grid = (weigh(found, thresholds) for thresholds in product(bars, bars))
    assert best.accuracy >= max(choice.accuracy for choice in grid if choice.cost <= budget) - 0.005


def test_the_same_evidence_gives_the_same_thresholds() -> None:
    assert ThresholdSearch(evidence()).best(0.5) == ThresholdSearch(evidence()).best(0.5)


def test_exits_that_are_all_certain_are_told_apart_by_none_and_still_give_a_choice() -> None:
    right = np.array([[True, True, False, True], [True, True, True, True]])
    found = Evidence(np.ones((2, 4)), right, np.array([0.5, 0.4]), np.array([0.1, 0.1]))
    assert ThresholdSearch(found).best(1.0).thresholds == (None,)
    assert ThresholdSearch(found).best(0.6).accuracy == 0.75


def test_many_exits_are_thinned_and_searched() -> None:
    found = evidence(exits=12, samples=100)
    best = ThresholdSearch(found).best(0.5)
    assert sum(bar is not None for bar in best.thresholds) <= 7
    assert best.cost <= 0.5
