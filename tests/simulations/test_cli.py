"""`derelayl sim`: its output, its files and its exit statuses."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from derelayl_simulations.cli import app
from derelayl_simulations.published.golden import Golden
from derelayl_simulations.scenarios import names
from derelayl_simulations.scenarios.load import Scenario, load
from derelayl_simulations.study import collect, execute, reproduction
from derelayl_simulations.study.run import Run

from .fakes import Counting, files, results_of

SMALL = ("--set", "N=24", "--rounds", "4", "--jobs", "1")
RUN_KEYS = [
    "seed", "rounds", "extinct_round", "supply", "minted", "burned", "gini", "owners", "trainers", "models",
    "share_latest", "share_behind_1", "share_behind_2",
]  # fmt: skip


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
        ("run", "published", "--set", "k"),
        ("run",),
        ("sweep", "published"),
        ("sweep", "published", "--out", "x", "--method", "guess"),
        ("compare", "published"),
        ("no-such-command",),
    ],
)
def test_wrong_usage_exits_with_two(arguments: tuple[str, ...]) -> None:
    status, out, err = sim(*arguments)
    assert (status, out) == (2, "")
    assert err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("run", "published", "--set", "k=0"),
            "published.trainers_per_owner is 0, allowed is whole numbers 1 … 100000",
        ),
        (("run", "published", "--set", "s=1.5"), "published.selected_share is 1.5, allowed is 0 … 1"),
        (
            ("run", "honest", "--set", "world.costs.energy_price=-1"),
            "world.costs.energy_price is -1, allowed is 0 … 1e+06",
        ),
        (("run", "published", "--set", "foo=1"), "foo is unknown"),
        (("run", "published", "--rules", "standard"), "published plays the published mechanism, which has no rules"),
        (
            ("run", "honest", "--rules", "standart"),
            "standart is no preset (minimal, devnet, standard, shared, winner, strict) and",
        ),
        (("sweep", "honest", "--out", "x", "--rules", "minimal"), "min_bid is 10 wei, which simulated coins of"),
        (("compare", "honest", "whale", "--rules", "absent.toml"), "absent.toml is no preset"),
        (("run", "absent.toml"), "cannot read the scenario absent.toml: No such file or directory"),
        (("run", "published", "--seeds", "1", "--search"), "the published rules know no strategies"),
        (("sweep", "published", "--out", "x"), "the scenario published has no [sweep]: say what to vary with --over"),
        (("sweep", "published", "--out", "x", "--over", "k"), "--over k has no values; write KEY=LOW:HIGH"),
        (("sweep", "published", "--out", "x", "--over", "k=1:2:3:4"), "has more than LOW:HIGH:STEPS"),
        (("sweep", "published", "--out", "x", "--over", "kk=1,2"), "kk is no key of the scenario published"),
        (("report", "nowhere"), "nowhere holds no results"),
        (("compare", "published", "nowhere"), "no scenario is called 'nowhere'"),
    ],
)
def test_bad_input_is_one_sentence_and_makes_no_folder(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = sim(*arguments)
    assert status in (1, 2)
    assert out == ""
    assert sentence in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_model_s_rules_are_played_and_what_is_not_is_said(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('preset = "devnet"\nlegs_per_tip = 4\nmin_bid = 1_000_000_000_000\n')
    out = tmp_path / "out"
    arguments = ("run", "honest", "--rules", file, *SMALL, "--seeds", "1", "--out", out)
    status, _, err = sim(*arguments, "--set", "ledger.wei_per_coin=1_000_000", "--set", "ledger.gamma=0.25")
    assert status == 0
    assert err.startswith("note: the simulator has neither segments nor a clock: segments, bid_seconds")
    meta = json.loads((out / "meta.json").read_text())
    told = {name: value for name, value in meta["changed"].items() if name.startswith("ledger.")}
    assert told == {
        "ledger.wei_per_coin": 10**6,
        "ledger.gamma": 0.25,
        "ledger.legs_per_tip": 4,
        "ledger.min_bid": 1e-6,
        "ledger.committee_size": 3,
        "ledger.quorum": 2,
        "ledger.unbonding_rounds": 1,
    }


def test_an_unknown_key_of_a_file_is_told_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nquestion = "?"\nrules = "published"\nrounds = 3\nseed = 4\n')
    assert sim("run", file) == (1, "", f"error: {file}: seed is unknown, did you mean seeds?\n")


def test_a_file_where_the_folder_should_be_is_one_sentence(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    assert sim("run", "published", *SMALL, "--out", taken) == (1, "", f"error: {taken} is a file; name a folder\n")
    assert taken.read_text() == "mine"


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out")
    meta = results.folder / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"results": 99}))
    status, _, err = sim("report", results.folder)
    assert status == 1
    assert "holds results of version 99" in err


def test_an_interruption_says_what_is_kept_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("run", "published", *SMALL, "--seeds", "4", "--out", tmp_path / "out", "--json")
    fake_everywhere(monkeypatch, Counting(interrupted_at=2))
    status, out, err = sim(*command)
    assert (status, out) == (130, "")
    assert err.startswith("error: interrupted after 2 of 4 runs; they are kept in ")
    rest = Counting()
    fake_everywhere(monkeypatch, rest)
    assert sim(*command)[0] == 0
    assert rest.played == [2, 3]


def test_a_full_disk_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(scenario: Scenario, seed: int, keep_history: bool) -> Run:
        raise OSError(28, "No space left on device")

    fake_everywhere(monkeypatch, full)
    status, _, err = sim("run", "published", *SMALL, "--seeds", "2", "--out", tmp_path / "out")
    assert (status, err) == (1, f"error: No space left on device; 0 of 2 runs are kept in {tmp_path / 'out'}\n")


def test_a_number_that_is_off_is_named_and_exits_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduction, "GOLDEN", {1: {"owners": Golden(2.0, 0.5)}})
    status, out, err = sim("run", "published", "--seeds", "10", "--rounds", "1", "--jobs", "1")
    assert status == 1
    assert "off" in out
    assert err == "error: 1 of 1 published numbers are off: owners at round 1\n"


def test_a_changed_parameter_is_not_compared_with_the_published_numbers() -> None:
    status, out, _ = sim("run", "published", "--seeds", "10", "--rounds", "5", "--jobs", "1", "--set", "p=0.3")
    assert status == 0
    assert "published numbers" not in out


def test_json_has_one_entry_a_seed_with_the_stated_keys() -> None:
    status, out, err = sim(
        "run", "published", "--set", "k=3", "--set", "s=0.75", "--rounds", "8", "--seeds", "3", "--json"
    )
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert list(document) == ["scenario", "not_run", "parameters", "runs"]
    assert document["parameters"]["trainers_per_owner"] == 3
    assert document["parameters"]["selected_share"] == 0.75
    assert [run["seed"] for run in document["runs"]] == [0, 1, 2]
    assert all(list(run) == RUN_KEYS for run in document["runs"])
    first = document["runs"][0]
    assert first["minted"] - first["burned"] == pytest.approx(first["supply"])
    assert isinstance(first["owners"], int)


def test_what_the_contract_does_not_run_is_marked_wherever_it_is_shown(tmp_path: Path) -> None:
    mark = "the published mechanism"
    folder = tmp_path / "out"
    run = ("run", "published", *SMALL, "--seeds", "1", "--out", folder)
    shown = sim(*run)[1]
    assert shown.count("NOT WHAT THE CONTRACT RUNS") == 2  # the table and the verdict
    assert json.loads(sim(*run, "--json")[1])["not_run"] == [mark]
    report = json.loads(sim("report", folder, "--json")[1])
    assert report["verdict"]["not_run"] == [mark]
    assert f"Not what the contract runs: {mark}." in Path(report["report"]).read_text(encoding="utf-8")
    assert json.loads(sim("compare", folder, folder, "--json")[1])["not_run"] == {"first": [mark], "second": [mark]}
    assert "NOT WHAT THE CONTRACT RUNS" in sim("compare", folder, folder)[1]


def test_a_dead_network_says_in_which_round_it_died() -> None:
    document = json.loads(sim("run", "published", *SMALL, "--set", "p=0", "--seeds", "1", "--json")[1])
    assert document["runs"][0]["extinct_round"] == 1
    assert (
        "1 of 1 seeds died out (seed 0 in round 1)"
        in sim("run", "published", *SMALL, "--set", "p=0", "--seeds", "1")[1]
    )


def test_a_ledger_scenario_runs_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "mine"\nquestion = "?"\nrules = "ledger"\nrounds = 3\nseeds = 2\n[world]\nparticipants = 24\n'
    )
    status, out, err = sim("run", file, "--jobs", "1", "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["parameters"]["world"]["participants"] == 24
    assert document["runs"][0]["share_latest"] is not None


def test_the_list_names_every_scenario_and_its_question() -> None:
    status, out, _ = sim("list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == names()
    assert all("?" in line for line in out.splitlines())
    assert [row["name"] for row in json.loads(sim("list", "--json")[1])] == names()


def test_the_rules_of_a_mechanism_are_listed_and_marked_in_a_run() -> None:
    rows = json.loads(sim("rules", "--json")[1])
    assert {"kind": "payment", "name": "best"}.items() <= next(row for row in rows if row["name"] == "best").items()
    assert all(row["summary"] for row in rows)
    document = json.loads(
        sim("run", "honest", "--rounds", "2", "--seeds", "1", "--set", "mechanism.payment=best", "--json")[1]
    )
    assert document["not_run"][0].startswith("payment = best: ")
    assert document["parameters"]["mechanism"]["payment"] == "best"
    status, _, err = sim("run", "honest", "--set", "mechanism.payment=most")
    assert (status, "mechanism.payment: most is no rule of payment, which are proportional" in err) == (1, True)


def test_a_sweep_prints_its_points_and_resumes(tmp_path: Path) -> None:
    command = (
        "sweep",
        "published",
        *SMALL,
        "--seeds",
        "2",
        "--over",
        "k=3,4",
        "--over",
        "s=0.5:0.75:2",
        "--out",
        tmp_path / "out",
    )
    status, out, err = sim(*command, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["not_run"] == ["the published mechanism"]
    points = json.loads(out)["points"]
    assert [point["values"]["published.trainers_per_owner"] for point in points] == [3, 3, 4, 4]
    assert all(point["seeds"] == 2 for point in points)
    before = files(tmp_path / "out")
    assert sim(*command)[0] == 0
    assert files(tmp_path / "out") == before


def test_the_smallest_coalition_that_pays_is_told() -> None:
    world = (
        "--set",
        "world.participants=120",
        "--set",
        "search.rounds=12",
        "--set",
        "verdict.confidence=0.5",
        "--seeds",
        "3",
    )
    status, out, _ = sim("coalition", "crowded", "--strategy", "ring", "--shares", "0.1,0.9", *world)
    assert status == 0
    assert "The smallest of these that pays more than 0.05 for certain: 90%." in out
    status, out, _ = sim("coalition", "crowded", "--strategy", "lazy", "--shares", "0.2", *world, "--json")
    found = json.loads(out)
    assert (status, found["strategies"]) == (0, {"trainers": "lazy", "validators": "honest"})
    assert (found["smallest_that_pays"], found["coalitions"][0]["validators"]) == (None, 0)
    status, out, err = sim("coalition", "crowded", "--strategy", "lazy", "--shares", "some")
    assert (status, out) == (2, "")
    assert "--shares some are not numbers" in err


def test_two_scenarios_or_folders_are_compared(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert sim("run", "published", *SMALL, "--seeds", "3", "--out", folder)[0] == 0
    status, out, err = sim("compare", folder, "published", "--rounds", "4", "--seeds", "3", "--jobs", "1", "--json")
    assert (status, err) == (0, "")
    rows = {row["column"]: row for row in json.loads(out)["columns"]}
    assert rows["supply"]["paired"]
    assert sim("compare", folder, folder)[0] == 0


def test_a_report_is_one_page_and_its_figures(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert sim("run", "published", *SMALL, "--seeds", "2", "--out", folder)[0] == 0
    status, out, err = sim("report", folder, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert Path(document["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in document["figures"])
    assert document["verdict"]["claims"][0]["claim"] == "alive after 4 rounds"


def test_learning_is_fitted_to_reports_of_real_relays_and_goes_into_a_scenario(tmp_path: Path) -> None:
    reports = sorted((Path(__file__).parent / "calibration" / "reports").glob("*.json"))
    status, out, err = sim("calibrate", *reports)
    assert (status, err) == (0, "")
    file = tmp_path / "fitted.toml"
    file.write_text(f'name = "fitted"\nquestion = "?"\nrules = "ledger"\nrounds = 5\n{out}', encoding="utf-8")
    assert load(file).world.learning.rate == load("calibrated").world.learning.rate


def test_a_file_that_is_no_report_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("[]", encoding="utf-8")
    status, _, err = sim("calibrate", tmp_path / "report.json")
    assert status == 1
    assert "report.json is no report of a relay" in err


def fake_everywhere(monkeypatch: pytest.MonkeyPatch, how: execute.Play) -> None:
    monkeypatch.setattr(collect, "collect", partial(collect.collect, how=how))
