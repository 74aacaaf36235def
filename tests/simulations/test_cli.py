"""`derelayl sim`: its output, its files and its exit statuses."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from derelayl_simulations.cli import app
from derelayl_simulations.columns import COLUMNS
from derelayl_simulations.golden import Golden
from derelayl_simulations.output import write_run
from derelayl_simulations.parameters import PublishedParameters
from derelayl_simulations.report import summarise
from derelayl_simulations.runner import run
from derelayl_simulations.scenarios import SCENARIOS, Scenario, published

FILES = ["coins.png", "rounds.csv", "summary.json", "versions.png"]


def sim(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "no-such-scenario"),
        ("run", "published", "--seeds", "0"),
        ("run", "published", "--rounds", "many"),
        ("run", "published", "--jobs", "0"),
        ("run",),
        ("no-such-command",),
    ],
)
def test_wrong_usage_exits_with_two(arguments: tuple[str, ...]) -> None:
    status, out, err = sim(*arguments)
    assert (status, out) == (2, "")
    assert err


def test_a_file_where_the_folder_should_be_is_one_sentence_before_anything_runs(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    status, out, err = sim("run", "published-long", "--seeds", "900", "--out", taken)
    assert (status, out) == (1, "")
    assert err == f"error: {taken} is a file; name a folder\n"
    assert taken.read_text() == "mine"


def test_more_rounds_than_can_be_kept_are_one_sentence(tmp_path: Path) -> None:
    status, _, err = sim("run", "published", "--seeds", "100000", "--out", tmp_path / "out")
    assert status == 1
    assert err.startswith("error: 100000 seeds of 100 rounds")
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_is_off_is_named_and_exits_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> Scenario:
        right = published()
        golden = {1: {"owners": Golden(2.0, 0.5)}}
        return Scenario(name="wrong", summary="", parameters=right.parameters, rounds=1, golden=golden)

    monkeypatch.setitem(SCENARIOS, "wrong", wrong)
    status, out, err = sim("run", "wrong", "--jobs", "1", "--out", tmp_path / "out")
    assert status == 1
    assert "off" in out
    assert err == "error: 1 of 1 published numbers are off: owners at round 1\n"
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["off"] == 1


def test_a_network_that_dies_before_it_can_be_compared_is_not_called_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def hopeless() -> Scenario:
        return replace(published(), parameters=PublishedParameters(success_probability=0.0))

    monkeypatch.setitem(SCENARIOS, "hopeless", hopeless)
    status, _, err = sim("run", "hopeless", "--seeds", "10", "--jobs", "1")
    assert status == 1
    assert err == "error: 44 published numbers cannot be compared: fewer than 10 of 10 seeds survive that long\n"


def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    results = [run(published().parameters, 3, 0, keep_history=True)]
    summary = summarise(published(), results)
    blocked = tmp_path / "out"
    blocked.mkdir()
    (blocked / "summary.json").mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(OSError, match=r"summary\.json"):
        write_run(blocked, results, summary)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_run_writes_its_four_files_and_nothing_else(tmp_path: Path) -> None:
    status, out, err = sim(
        "run", "published", "--seeds", "2", "--rounds", "6", "--jobs", "1", "--out", tmp_path / "a" / "b"
    )
    assert (status, err) == (0, "")
    assert "Too few seeds" in out
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == FILES
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    for name in ("coins.png", "versions.png"):
        assert (tmp_path / "a" / "b" / name).read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "a" / "b" / "rounds.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["seed", *COLUMNS]
    assert [(row["seed"], row["round"]) for row in rows] == [(s, str(r)) for s in "01" for r in range(1, 7)]
    summary = json.loads((tmp_path / "a" / "b" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["scenario"], summary["rounds"], summary["seeds"]) == ("published", 6, [0, 1])
    assert summary["parameters"]["participants"] == 256


def test_a_second_run_replaces_the_first_and_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for rounds in ("4", "3"):
        assert sim("run", "published", "--seeds", "1", "--rounds", rounds, "--out", tmp_path)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "notes.txt"])
    assert json.loads((tmp_path / "summary.json").read_text())["rounds"] == 3


def test_what_does_not_exist_is_an_empty_cell(tmp_path: Path) -> None:
    assert sim("run", "published-scarce", "--seeds", "1", "--rounds", "40", "--out", tmp_path)[0] == 0
    last = (tmp_path / "rounds.csv").read_text().splitlines()[-1]
    assert last.startswith("0,40,0,128,0,0,0,")
    assert last.endswith(",0,")


def test_json_is_what_the_summary_file_says(tmp_path: Path) -> None:
    status, out, _ = sim("run", "published", "--seeds", "1", "--rounds", "2", "--json", "--out", tmp_path)
    assert status == 0
    assert json.loads(out) == json.loads((tmp_path / "summary.json").read_text())


def test_the_list_names_every_scenario() -> None:
    status, out, _ = sim("list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(SCENARIOS)
    assert [row["name"] for row in json.loads(sim("list", "--json")[1])] == list(SCENARIOS)
