"""Two studies side by side."""

from __future__ import annotations

from pathlib import Path

from derelayl_simulations.study.comparison import compare
from derelayl_simulations.study.plan import plan

from ..fakes import results_of, small


def test_seeds_that_both_have_are_paired_and_the_others_left_out(tmp_path: Path) -> None:
    first = results_of(tmp_path / "a", plan(small(), range(5)))
    second = results_of(tmp_path / "b", plan(small(published={"k": 5}), range(2, 9)))
    found = {row.column: row for row in compare(first, second)}
    supply = found["supply"]
    assert supply.paired
    assert (supply.difference.estimate, supply.difference.low, supply.difference.high) == (3.0, 3.0, 3.0)
    assert supply.difference.count == 3
    assert supply.clear
    assert not found["gini"].clear


def test_without_a_common_seed_the_groups_are_independent(tmp_path: Path) -> None:
    first = results_of(tmp_path / "a", plan(small(), range(4)))
    second = results_of(tmp_path / "b", plan(small(published={"k": 50}), range(10, 14)))
    supply = next(row for row in compare(first, second) if row.column == "supply")
    assert not supply.paired
    assert supply.clear
    assert supply.difference.low < supply.difference.estimate < supply.difference.high


def test_what_neither_has_is_not_compared(tmp_path: Path) -> None:
    both = [results_of(tmp_path / name) for name in "ab"]
    columns = [row.column for row in compare(both[0], both[1])]
    assert "profit_trainer" not in columns
    assert {"alive", "supply", "minted"} <= set(columns)
