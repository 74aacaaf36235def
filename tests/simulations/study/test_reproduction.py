"""Whether runs agree with the published numbers."""

from __future__ import annotations

from pathlib import Path

from derelayl_simulations.published.golden import GOLDEN
from derelayl_simulations.scenarios import load
from derelayl_simulations.study.collect import collect
from derelayl_simulations.study.plan import plan
from derelayl_simulations.study.reproduction import comparable, reproduce

from ..fakes import results_of, small


def test_numbers_that_are_off_are_named(tmp_path: Path) -> None:
    found = reproduce(results_of(tmp_path / "out", plan(small(), range(12))), judged=True)
    complaint = found.complaint()
    assert complaint is not None
    assert "gini at round 1" in complaint


def test_a_network_that_dies_before_it_can_be_compared_is_not_called_a_success(tmp_path: Path) -> None:
    hopeless = small(rounds=5, published={"p": 0.0, "N": 24})
    found = reproduce(collect(plan(hopeless, range(10)), tmp_path / "out"), judged=True)
    due = sum(len(row) for number, row in GOLDEN.items() if number <= 5)
    assert (
        found.complaint() == f"{due} published numbers cannot be compared: fewer than 10 of 10 seeds survive that long"
    )


def test_few_seeds_are_not_judged(tmp_path: Path) -> None:
    found = reproduce(results_of(tmp_path / "out"), judged=True)
    assert (found.checked, found.complaint()) == (0, None)


def test_only_the_unchanged_published_scenario_is_compared(tmp_path: Path) -> None:
    scenario = load("published").with_values({"rounds": 2})
    assert comparable(results_of(tmp_path / "a", plan(scenario, range(2), {"rounds": 2})))
    assert not comparable(results_of(tmp_path / "b", plan(scenario, range(2), {"published.test_fee": 0.002})))
    assert not comparable(results_of(tmp_path / "c"))


def test_the_published_scenario_agrees(tmp_path: Path) -> None:
    found = reproduce(collect(plan(load("published"), range(12)), tmp_path / "out"), judged=True)
    assert (found.complaint(), found.checked, found.due) == (None, 44, 44)
