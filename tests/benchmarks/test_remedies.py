"""The tables of remedies name rules and settings that there are, and give a row a figure."""

from __future__ import annotations

import pytest
from benchmarks.simulation import bends, remedies

from derelayl_simulations.scenarios import load
from derelayl_simulations.world.strategies import code_of, judge_of
from derelayl_simulations.world.strategies.judges import NudgingJudge


@pytest.mark.parametrize("name", remedies.REMEDIES)
def test_every_remedy_can_be_played(name: str) -> None:
    for scenario, otherwise in remedies.WORLDS.values():
        load(scenario).with_values({**otherwise, **remedies.REMEDIES[name], **remedies.TRIED, **remedies.ALONE})


def test_the_best_are_among_the_remedies() -> None:
    assert set(remedies.BEST) <= remedies.REMEDIES.keys()


def test_a_row_has_the_mean_and_an_interval_around_it() -> None:
    row = remedies.mean_row("world: rule", "gain", "money", [1.0, 2.0, 3.0])
    assert row["value"] == 2.0
    assert row["spread"] == [-0.4841, 4.4841]


def test_a_bend_holds_while_it_is_measured() -> None:
    judge = judge_of(code_of("validator", bends.RING))
    assert isinstance(judge, NudgingJudge)
    usual = judge.bend
    with bends._bending(1_234):
        assert judge.bend == 1_234
    assert judge.bend == usual
