"""The verdict: what each answer takes, and that nothing is claimed that was not measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derelayl_simulations.scenarios.load import Scenario, check
from derelayl_simulations.show.presentation import sweep_document
from derelayl_simulations.study.collect import collect
from derelayl_simulations.study.plan import plan
from derelayl_simulations.study.results import Results
from derelayl_simulations.study.run import Run
from derelayl_simulations.study.statistics import Interval
from derelayl_simulations.study.verdict import (
    RULES,
    WORLD,
    Answer,
    Statement,
    above,
    below,
    decided,
    judge,
    last_quarter,
    overall,
)

from ..fakes import fake_run, results_of, small

LEDGER = {"name": "small", "question": "?", "rules": "ledger", "rounds": 4}


def claims(results: Results, deviations: dict[str, list[float]] | None = None) -> dict[str, Statement]:
    return {statement.claim.split(" (")[0]: statement for statement in judge(results, deviations)}


def statement(answer: Answer) -> Statement:
    return Statement("it holds", "by definition", "1", None, answer)


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [(1.0, 2.0, Answer.NO), (-1.0, 0.4, Answer.YES), (0.0, 1.0, Answer.UNDECIDED), (np.nan, np.nan, Answer.UNDECIDED)],
)
def test_an_answer_takes_the_whole_interval_on_one_side(low: float, high: float, answer: Answer) -> None:
    found = Interval(0.5, low, high, 5)
    assert below(found, 0.5) is answer
    opposite = {Answer.YES: Answer.NO, Answer.NO: Answer.YES}
    assert above(found, 0.5) is opposite.get(answer, answer)


def test_what_was_not_measured_is_not_answered(tmp_path: Path) -> None:
    found = claims(results_of(tmp_path / "out"))
    assert found["no tested deviation pays"].answer is Answer.NOT_MEASURED
    assert found["honest work pays the median trainer"].answer is Answer.NOT_MEASURED
    assert found["quality does not fall"].found is None


def test_one_no_decides_and_one_doubt_leaves_it_open() -> None:
    yes, no, open_, silent = (
        statement(answer) for answer in (Answer.YES, Answer.NO, Answer.UNDECIDED, Answer.NOT_MEASURED)
    )
    assert overall([yes, open_, no]) is Answer.NO
    assert overall([yes, open_]) is Answer.UNDECIDED
    assert overall([yes, silent]) is Answer.YES
    assert overall([silent]) is Answer.UNDECIDED


def test_seeds_that_died_out_count_against_being_alive(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out", plan(small(verdict={"alive_share": 0.99}), range(40)))
    alive = claims(results)["alive after 3 rounds"]
    assert alive.found is not None
    assert alive.found.estimate == pytest.approx(39 / 40)
    assert alive.answer is Answer.UNDECIDED
    assert claims(results_of(tmp_path / "some", plan(small(), range(40))))["alive after 3 rounds"].answer is Answer.YES
    assert claims(results_of(tmp_path / "dead", plan(small(), [1])))["alive after 3 rounds"].found.estimate == 0.0  # type: ignore[union-attr]


def test_inflation_is_judged_by_the_scenarios_own_threshold(tmp_path: Path) -> None:
    strict = small(verdict={"inflation_below": 0.001})
    loose = small(verdict={"inflation_below": 0.5})
    for place, (scenario, answer) in enumerate(((strict, Answer.NO), (loose, Answer.YES))):
        results = results_of(tmp_path / str(place), plan(scenario, range(3)))
        threshold = scenario.verdict.inflation_below
        assert claims(results)[f"inflation stays below {threshold:g}"].answer is answer


@pytest.mark.parametrize(("emission", "by", "answer"), [(1.0, 1_000, Answer.YES), (1_000.0, 900, Answer.NO)])
def test_inflation_on_a_ledger_is_judged_by_the_schedule_of_emission(
    tmp_path: Path, emission: float, by: int, answer: Answer
) -> None:
    given = check(LEDGER | {"ledger": {"emission": emission, "budget": 1e6}, "verdict": {"inflation_by": by}})
    how = with_columns(supply=[1_000.0 + emission] * 4, minted=[emission] * 4)
    found = claims(collect(plan(given, range(2)), tmp_path / "out", how=how))
    claim = found[f"inflation is below 0.001 for good within {by:,} rounds"]
    assert claim.answer is answer
    assert claim.found is not None
    assert claim.found.estimate == {1.0: 1, 1_000.0: 1_000}[emission]


def test_a_single_deviation_that_pays_decides_and_is_named(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out")
    gains = {"lazy": [-3.0, -3.1, -2.9], "copier": [2.0, 2.1, 1.9], "sniper": [-5.0, 9.0, 9.0]}
    found = next(each for each in judge(results, gains) if each.claim.startswith("no tested deviation"))
    assert (found.answer, found.claim) == (Answer.NO, "no tested deviation pays (best: copier)")
    del gains["copier"]
    assert claims(results, gains)["no tested deviation pays"].answer is Answer.UNDECIDED
    del gains["sniper"]
    assert claims(results, gains)["no tested deviation pays"].answer is Answer.YES


def test_who_needs_several_accounts_is_compared_with_honest_work_with_as_many(tmp_path: Path) -> None:
    gains = {"multi": [2.0, 2.1, 1.9], "half-sybil": [1.0, 1.2, 1.1], "copier": [-1.0, -1.1, -1.2]}
    results = results_of(tmp_path / "out")
    found = claims(results, gains)["no tested deviation pays"]
    assert (found.answer, found.bound) == (Answer.YES, "several accounts bring an honest person 2.00")
    gains["multi"] = [-0.5, -0.4, -0.6]  # then one account is the better honest work
    found = claims(results, gains)["no tested deviation pays"]
    assert (found.answer, found.bound) == (Answer.NO, "")


def test_a_ring_that_pays_is_told_with_how_far_it_can_move_a_score(tmp_path: Path) -> None:
    results = collect(plan(check(LEDGER), range(3)), tmp_path / "out", how=fake_run)
    found = claims(results, {"nudging-ring": [0.3, 0.31, 0.32], "lazy": [-1.0, -1.1, -1.2]})
    assert found["no tested deviation pays"].answer is Answer.YES
    ring = found["no tested ring pays"]
    assert (ring.answer, ring.claim) == (Answer.NO, "no tested ring pays (best: nudging-ring)")
    assert ring.bound.startswith("5 of 51 validators move a leg's score by at most 0.15 of a judge's error")


def test_what_the_rules_decide_is_told_apart_from_what_the_world_does() -> None:
    rules, world = (
        replace(statement(answer), decided_by=who) for answer, who in ((Answer.YES, RULES), (Answer.NO, WORLD))
    )
    assert decided([rules, world]) == {RULES: Answer.YES, WORLD: Answer.NO}
    assert overall([rules, world]) is Answer.NO


def test_what_a_control_earns_is_no_deviation(tmp_path: Path) -> None:
    gains = {"lazy": [-3.0, -3.1, -2.9], "multi": [2.0, 2.1, 1.9]}
    assert claims(results_of(tmp_path / "out"), gains)["no tested deviation pays"].answer is Answer.YES


def with_columns(**columns: list[float]) -> Any:
    """Return a way to play that gives these columns, whatever is played."""

    def play(scenario: Scenario, seed: int, keep_history: bool = False) -> Run:
        run = fake_run(scenario, seed, keep_history)
        return replace(run, table=run.table | {name: np.array(values) for name, values in columns.items()})

    return play


@pytest.mark.parametrize(
    ("budget", "alive", "answer"),
    [
        ([5.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], Answer.YES),
        ([5.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.5], Answer.NO),
        ([5.0, 5.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.5], Answer.NOT_MEASURED),
    ],
)
def test_a_relay_without_subsidy_is_judged_when_it_has_had_the_time_to_die(
    tmp_path: Path, budget: list[float], alive: list[float], answer: Answer
) -> None:
    scenario = check({
        "name": "spent", "question": "?", "rules": "ledger", "rounds": 4, "world": {"dead_after": 2}
    })  # fmt: skip
    how = with_columns(budget=budget, relays_alive=alive)
    results = collect(plan(scenario, range(3)), tmp_path / "out", how=how)
    assert claims(results)["alive on consumers' fees alone"].answer is answer


def test_the_median_member_is_better_off_than_alone_in_money_or_not_and_in_nats_or_not(tmp_path: Path) -> None:
    how = with_columns(beyond_alone_money=[0.0, 0.0, -1.0], beyond_alone_nats=[0.0, 0.0, 0.1])
    found = claims(collect(plan(small(), range(3)), tmp_path / "out", how=how))
    assert found["the median member is better off than alone, in money"].answer is Answer.NO
    assert found["the median member is better off than alone, in nats"].answer is Answer.YES


def test_the_last_quarter_leaves_out_what_does_not_exist() -> None:
    table = np.array([[9.0] * 6 + [1.0, 3.0], [9.0] * 6 + [np.nan, 5.0], [np.nan] * 8])
    np.testing.assert_array_equal(last_quarter(table), [2.0, 5.0, np.nan])


def test_a_sweep_in_which_the_subsidy_ends_says_what_was_paid_and_whether_relays_live_on(tmp_path: Path) -> None:
    world = {"dead_after": 2, "relays": 2, "participants": 20}
    scenario = check(LEDGER | {"world": world})
    spent = {"budget": [5.0, 0.0, 0.0, 0.0], "relays_alive": [1.0, 1.0, 1.0, 1.0], "revenue": [0.0, 9.0, 4.0, 6.0]}
    results = collect(plan(scenario, range(3)), tmp_path / "out", how=with_columns(**spent))
    (point,) = sweep_document(results)["points"]
    assert (point["fees"], point["on_fees_alone"]["estimate"], point["answer"]) == (3.0, 1.0, Answer.YES)
    going_on = collect(plan(scenario, range(3)), tmp_path / "on", how=with_columns(budget=[5.0] * 4))
    (point,) = sweep_document(going_on)["points"]
    assert not {"fees", "on_fees_alone", "answer"} & set(point)
