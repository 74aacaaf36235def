"""Rules that are looked for: the points, what each comes to in the worst world, the front, and going on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.simulations.world.builders import FEW_SEATS, scenario

from derelayl_simulations.choosing import COMMANDS
from derelayl_simulations.scenarios.load import Scenario, SweepSettings, check, load
from derelayl_simulations.search.objectives import (
    CONSTRAINTS,
    OBJECTIVES,
    Measure,
    constraint,
    gain_column,
    measure,
    probe,
    score,
    top_share,
)
from derelayl_simulations.search.optimise import POINTS, Optimised, Task, optimise, settle
from derelayl_simulations.show.figures.front import draw_front
from derelayl_simulations.show.optimised import optimised_document, standing
from derelayl_simulations.study.collect import collect
from derelayl_simulations.study.plan import Study
from derelayl_simulations.study.results import Results, open_results
from derelayl_simulations.study.run import Run

from ..fakes import files
from ..test_cli import sim

SHARE, QUALITY = "ledger.selected_share", "world.learning.ceiling"


def world(name: str, **values: Any) -> Scenario:
    text = {"name": name, "question": "?", "rules": "ledger", "rounds": 4, "ledger": FEW_SEATS}
    search = {"trainer": ["lazy", "copier"], "validator": [], "rings": [], "control": ["multi"], "rounds": 4}
    return check(text | {"world": {"participants": 24, "churn": False}, "search": search} | values)


def played(given: Scenario, seed: int, keep_history: bool = False) -> Run:
    """Return a run in which a larger share makes quality and the gain of a copier, half as much in the world `b`."""
    share = given.ledger.selected_share * (0.5 if given.name == "b" else 1.0)
    table = {
        "round": np.arange(1.0, 5.0),
        "quality": np.array([9.0, 9.0, 9.0, share]),
        "profit_trainer": np.full(4, share + seed),
        "profit_validator": np.full(4, 1.0 - share),
        "relays_alive": np.ones(4),
        "top_tenth": np.array([np.nan, np.nan, np.nan, 0.5]),
        gain_column("copier"): np.array([np.nan, np.nan, np.nan, share]),
        gain_column("lazy"): np.array([np.nan, np.nan, np.nan, -1.0]),
        gain_column("multi"): np.array([np.nan, np.nan, np.nan, 5.0]),
    }
    return Run(given.name, seed, 4, table, people={}, coins=None, extinct_round=None)


def task(over: Mapping[str, Any], objectives: tuple[str, ...] = ("deviation", "quality"), **more: Any) -> Task:
    worlds = (world("a"), world("b"))
    sweep = SweepSettings.model_validate({"over": over, "method": "latin", "samples": 6})
    measures = tuple(measure(name, worlds[0]) for name in objectives)
    asked = Task(worlds, ({}, {}), sweep, measures, (constraint("validator>0.2", worlds[0]),), (0, 1), refine=1)
    return replace(asked, **more)


def found(given: Task, folder: Path) -> Optimised:
    return optimise(given, folder, lambda study, place: collect(study, place, how=played))


def test_the_default_is_the_first_point_and_the_worst_world_counts(tmp_path: Path) -> None:
    result = found(task({SHARE: {"low": 0.1, "high": 1.0}}), tmp_path)
    assert result.points[0] == {}
    assert result.values(0) == {SHARE: world("a").ledger.selected_share}
    assert result.generations.count(0) == 7
    assert result.generations.count(1) == 3
    for point, row in enumerate(result.scores):
        share = result.values(point)[SHARE]
        assert (row["deviation"].world, row["deviation"].column) == ("a", "gain_copier")
        assert row["deviation"].estimate == pytest.approx(share)
        assert row["quality"].world == "b"
        assert row["quality"].estimate == pytest.approx(share / 2)
        assert bool(result.allowed[point]) == (1.0 - share > 0.2)
    assert (result.front == result.allowed).all()  # each is better in one of the two and worse in the other


def test_finished_points_are_kept_and_the_same_call_goes_on(tmp_path: Path) -> None:
    given = task({SHARE: {"low": 0.1, "high": 1.0}})
    told: list[int] = []

    def interrupted(study: Study, place: Path) -> Results:
        told.append(study.runs)
        if len(told) == 4:
            raise KeyboardInterrupt
        return collect(study, place, how=played)

    with pytest.raises(KeyboardInterrupt):
        optimise(given, tmp_path / "out", interrupted)
    again: list[str] = []

    def counting(which: Scenario, seed: int, keep_history: bool = False) -> Run:
        again.append(which.name)
        return played(which, seed, keep_history)

    result = optimise(given, tmp_path / "out", lambda study, place: collect(study, place, how=counting))
    assert again == ["b"] * 6  # three refined points with two seeds
    whole = found(given, tmp_path / "whole")
    assert result.points == whole.points
    assert (result.costs == whole.costs).all()
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_list_of_names_is_varied_as_it_is(tmp_path: Path) -> None:
    result = found(task({"mechanism.base": ["parent", "public"], "ledger.legs_per_tip": [1, 4]}), tmp_path)
    kinds = {(each["mechanism.base"], each["ledger.legs_per_tip"]) for each in result.points[1:]}
    assert kinds <= {(base, legs) for base in ("parent", "public") for legs in (1, 4)}
    assert len(kinds) > 1
    assert result.not_run
    assert optimised_document(result)["not_run"] == list(result.not_run)


def test_shares_of_the_pot_and_the_quorum_fit_what_is_swept() -> None:
    pot = ("ledger.trainer_share", "ledger.royalty_share", "ledger.validator_share")
    given = task({pot[1]: {"low": 0.1, "high": 0.3}})
    known = given.worlds[0].values()
    settled = settle(given, {pot[1]: 0.123456})
    assert settled[pot[1]] == 0.1235
    assert sum(settled[key] for key in pot) == pytest.approx(1.0)
    assert settled[pot[0]] / settled[pot[2]] == pytest.approx(known[pot[0]] / known[pot[2]])
    assert settle(given, dict.fromkeys(pot, 0.5)) == pytest.approx(dict.fromkeys(pot, 1 / 3))
    assert settle(given, {"ledger.committee_size": 9})["ledger.quorum"] == 5
    both = {"ledger.committee_size": 9, "ledger.quorum": 7}
    assert settle(given, both) == both


def test_the_points_are_kept_as_a_table(tmp_path: Path) -> None:
    result = found(task({SHARE: {"low": 0.1, "high": 1.0}}), tmp_path)
    table = pl.read_parquet(tmp_path / POINTS)
    assert table["front"].to_list() == result.front.tolist()
    assert table[SHARE].to_list() == [result.values(point)[SHARE] for point in range(len(result.points))]
    assert {"deviation", "deviation_low", "deviation_high", "deviation_world", "validator"} <= set(table.columns)


def test_a_broken_constraint_is_said_with_where_and_what_the_front_changes(tmp_path: Path) -> None:
    given = task({SHARE: {"low": 0.1, "high": 1.0}})
    strict = replace(given, constraints=(constraint("validator>0.5", given.worlds[0]),))
    result = found(strict, tmp_path)
    said = standing(result)
    assert said.startswith("The default breaks a constraint: validator > 0.5 (0.")
    assert "in a)" in said
    assert "Against the default: deviation 0." in said
    drawing = draw_front(open_results(tmp_path / "0" / "a"), result, said)
    assert drawing.png.startswith(b"\x89PNG")
    nothing = found(replace(given, constraints=(constraint("alive>2", given.worlds[0]),)), tmp_path / "none")
    assert not nothing.front.any()
    assert "there is no front" in standing(nothing)


def test_a_default_on_the_front_and_one_behind_it_are_told_apart(tmp_path: Path) -> None:
    over = {SHARE: {"low": 0.1, "high": 1.0}}
    assert standing(found(task(over), tmp_path / "on")).startswith("The default is on the front, one of ")
    behind = standing(found(task(over, ("quality", "median")), tmp_path / "behind"))
    assert "The default is not on the front: 1 of its 1 points are at least as good in everything" in behind


def test_controls_are_no_deviation_and_a_strategy_is_an_objective_of_its_own() -> None:
    given = world("a")
    assert measure("deviation", given).columns == ("gain_lazy", "gain_copier")
    assert measure("multi", given).columns == ("gain_multi",)
    assert [measure(name, given).name for name in OBJECTIVES] == list(OBJECTIVES)
    assert [constraint(text, given).sign for text in CONSTRAINTS] == [">=", ">"]


def test_what_one_world_cannot_measure_is_the_worst_there_is() -> None:
    quality = Measure("quality", ("quality",), "", "", lower=False)
    values = {"a": {"quality": np.array([1.0, 2.0])}, "b": {"quality": np.full(2, np.nan)}}
    assert score(quality, values).world == "b"
    assert np.isnan(score(quality, values).estimate)
    assert not constraint("quality>0", world("a")).holds(score(quality, values).estimate)


@pytest.mark.parametrize(
    ("profits", "share"), [([1.0] * 10, 0.1), ([0.0] * 9 + [5.0], 1.0), ([-9.0, 1.0, 3.0], 0.75), ([-1.0, 0.0], None)]
)
def test_concentration_is_the_part_of_the_profits_that_the_top_tenth_makes(
    profits: list[float], share: float | None
) -> None:
    found = top_share(np.array(profits))
    assert np.isnan(found) if share is None else found == pytest.approx(share)


def test_a_probe_plays_the_run_and_its_deviations_with_the_same_seed() -> None:
    given = scenario(people=24, search={"rounds": 4, "trainer": ["lazy"], "validator": [], "rings": []})
    first, second = probe(given, 3), probe(given, 3)
    assert first.table["gain_lazy"][-1] < 0
    assert np.isnan(first.table["gain_lazy"][:-1]).all()
    assert 0 <= first.table["top_tenth"][-1] <= 1
    for name, values in first.table.items():
        assert np.array_equal(values, second.table[name], equal_nan=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("honest", "honest", "--over", "s=0.1:1"), "two worlds have one name in honest, honest"),
        (("published", "--over", "s=0.1:1"), "published has the published rules, which know no strategies"),
        (("honest",), "the scenario honest has no [sweep]: say what to vary with --over"),
        (("honest", "--over", "zz=1,2"), "zz is no key of the scenario honest"),
        (("honest", "--over", "s=0.1:1", "--objective", "luck"), "luck is nothing that rules are judged by; there are"),
        (("honest", "--over", "s=0.1:1", "--constraint", "alive"), "alive is no constraint; write NAME>=NUMBER"),
    ],
)
def test_what_cannot_be_optimised_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = sim("optimise", *arguments, "--out", "out")
    assert (status, out) == (1, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_front_and_draws_it(tmp_path: Path) -> None:
    assert "optimise" in COMMANDS
    small = ("--set", "search.rounds=3", "--set", 'search.trainer=["lazy"]', "--set", "search.rings=[]", "--jobs", "1")
    command = ("optimise", "roomy", "--over", "s=0.3,0.9", *small, "--rounds", "4", "--seeds", "1", "--points", "2")
    status, out, err = sim(*command, "--out", tmp_path / "out", "--constraint", "alive>=0", "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["worlds"] == ["roomy"]
    assert document["default"]["values"] == {SHARE: load("roomy").ledger.selected_share}
    assert document["front"]
    assert (tmp_path / "out" / "front.png").read_bytes().startswith(b"\x89PNG")
    assert document["standing"] in " ".join(
        sim(*command, "--out", tmp_path / "out", "--constraint", "alive>=0")[1].split()
    )
