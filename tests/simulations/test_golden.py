"""The published numbers, and the judgement about them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derelayl_simulations.golden import GOLDEN, Golden, Verdict, parse_golden
from derelayl_simulations.parameters import PublishedParameters
from derelayl_simulations.report import Summary, summarise
from derelayl_simulations.runner import run
from derelayl_simulations.scenarios import SCENARIOS, Scenario, published, published_scarce


@pytest.fixture(scope="module")
def reproduction() -> Summary:
    scenario = published()
    return summarise(scenario, [run(scenario.parameters, 100, seed) for seed in range(20)])


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
    scenario = replace(published(), parameters=PublishedParameters(**change))  # type: ignore[arg-type]
    assert summarise(scenario, [run(scenario.parameters, 100, seed) for seed in range(20)]).off


def test_numbers_that_no_survivor_can_be_compared_with_are_counted_as_unjudged() -> None:
    scenario = replace(published(), parameters=PublishedParameters(success_probability=0.0))
    summary = summarise(scenario, [run(scenario.parameters, 100, seed) for seed in range(10)])
    assert (summary.checked, summary.unjudged, len(summary.died_out)) == (0, 44, 10)


def test_twenty_seeds_reproduce_every_published_number(reproduction: Summary) -> None:
    assert reproduction.off == ()
    assert reproduction.checked == sum(len(row) for number, row in GOLDEN.items() if number <= 100) == 44


def test_the_steady_state_is_much_tighter_than_the_check(reproduction: Summary) -> None:
    error = {(row.round, row.column): row.standard_error for row in reproduction.measured}
    assert error[100, "owners"] is not None
    assert error[100, "owners"] < 0.6


@pytest.mark.slow
def test_the_supply_after_a_thousand_rounds_is_the_published_one() -> None:
    scenario = published()
    summary = summarise(scenario, [run(scenario.parameters, 1000, seed) for seed in range(10)])
    assert [row.verdict for row in summary.measured if row.round == 1000 and row.golden] == [Verdict.OK] * 2


def test_a_single_seed_has_no_error_and_no_verdict() -> None:
    summary = summarise(published(), [run(PublishedParameters(), 5, 0)])
    assert {row.standard_error for row in summary.measured} == {None}
    assert {row.verdict for row in summary.measured} == {None, Verdict.TOO_FEW_SEEDS}
    assert summary.checked == 0


def test_three_places_per_owner_die_out_although_kps_exceeds_one() -> None:
    scenario = published_scarce()
    rule = scenario.parameters
    assert rule.trainers_per_owner * rule.success_probability * rule.selected_share > 1
    summary = summarise(scenario, [run(rule, 300, seed) for seed in range(5)])
    assert sorted(summary.died_out) == [0, 1, 2, 3, 4]
    assert max(row.mean for row in summary.measured if row.column == "owners") == 1.0
    assert not [row for row in summary.measured if row.round == 300]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_called_what_the_registry_calls_it(name: str) -> None:
    scenario: Scenario = SCENARIOS[name]()
    assert scenario.name == name
