"""The published numbers, and the judgement about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from derelayl_simulations.published import PublishedParameters
from derelayl_simulations.published.golden import GOLDEN, MINIMUM_SEEDS, Golden, Verdict, parse_golden

from .playing import play

Table = Mapping[str, NDArray[np.float64]]


def judge(tables: Sequence[Table], last: int) -> dict[tuple[int, str], Verdict]:
    """Judge every published number up to a round over the runs still alive then."""
    verdicts = {}
    for number in (number for number in GOLDEN if number <= last):
        alive = [table for table in tables if table["live_tips"][number - 1] > 0]
        for name, golden in GOLDEN[number].items():
            column = {"coins": "supply"}.get(name, name if name in tables[0] else f"share_{name}")
            values = np.array([table[column][number - 1] for table in alive])
            deviation = values.std(ddof=1) if len(values) > 1 else 0.0
            mean = values.mean() if len(values) else math.nan
            verdicts[number, name] = golden.judge(float(mean), float(deviation), len(values))
    return verdicts


def test_a_mean_far_from_the_published_number_is_off() -> None:
    golden = Golden(10.0, 0.05)
    assert golden.judge(16.5, 2.0, 20) is Verdict.OFF
    assert golden.judge(16.0, 2.0, 20) is Verdict.OK  # 3 · 2 · sqrt(1 + 1/20) = 6.15
    assert golden.judge(10.06, 0.0, 20) is Verdict.OFF
    assert golden.judge(10.04, 0.0, 20) is Verdict.OK


def test_a_few_seeds_are_not_enough_to_judge() -> None:
    assert Golden(10.0, 0.05).judge(1e9, 1.0, 9) is Verdict.TOO_FEW_SEEDS


@pytest.mark.parametrize(
    ("text", "value", "rounding"),
    [("20.3", 20.3, 0.05), ("14", 14.0, 0.5), ("1.97e7", 1.97e7, 5e4), ("0.940", 0.94, 5e-4)],
)
def test_the_digits_of_a_published_number_say_how_it_was_rounded(text: str, value: float, rounding: float) -> None:
    golden = parse_golden(text)
    assert golden.value == pytest.approx(value)
    assert golden.rounding == pytest.approx(rounding)


@pytest.mark.parametrize(
    "change",
    [
        {"success_probability": 0.7},
        {"selected_share": 0.4},
        {"active_share": 0.55},
        {"ranking_fee": 0.02},
        {"trainers_per_owner": 6},
    ],
)
def test_a_mechanism_that_differs_is_found_to_be_off(change: dict[str, float]) -> None:
    parameters = PublishedParameters(**change)  # type: ignore[arg-type]
    assert Verdict.OFF in judge([play(parameters, 100, seed) for seed in range(20)], 100).values()


def test_numbers_that_no_survivor_can_be_compared_with_are_not_judged() -> None:
    tables = [play(PublishedParameters(success_probability=0.0), 100, seed) for seed in range(MINIMUM_SEEDS)]
    assert set(judge(tables, 100).values()) == {Verdict.TOO_FEW_SEEDS}


def test_twenty_seeds_reproduce_every_published_number() -> None:
    verdicts = judge([play(PublishedParameters(), 100, seed) for seed in range(20)], 100)
    assert len(verdicts) == 44
    assert set(verdicts.values()) == {Verdict.OK}


@pytest.mark.slow
def test_the_supply_after_a_thousand_rounds_is_the_published_one() -> None:
    verdicts = judge([play(PublishedParameters(), 1000, seed) for seed in range(10)], 1000)
    assert [verdict for (number, _), verdict in verdicts.items() if number == 1000] == [Verdict.OK] * 2


def test_three_places_per_owner_die_out_although_kps_exceeds_one() -> None:
    rule = PublishedParameters(trainers_per_owner=3)
    assert rule.trainers_per_owner * rule.success_probability * rule.selected_share > 1
    for seed in range(5):
        table = play(rule, 300, seed)
        assert table["live_tips"][-1] == 0
        assert table["owners"].max() == 1  # floor(3 · 0.5) = 1: there is never a second owner
