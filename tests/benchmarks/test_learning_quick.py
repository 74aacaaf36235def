"""The tables of `make bench-learning` in their smallest configuration, and what the harness does around them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from benchmarks.learning import __main__ as command
from benchmarks.learning import flower, harness, report
from benchmarks.learning.harness import (
    TABLES,
    Job,
    Measured,
    Partial,
    find_table,
    jobs_of,
    measure_all,
    rows_of,
)
from benchmarks.rows import RESULTS, Row, row

from derelayl_training.loaders import image_sets


@pytest.fixture(autouse=True)
def only_data_from_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every machine is as bare as a newcomer's: Debian's Fashion-MNIST is not there."""
    monkeypatch.setattr(image_sets, "FASHION_FOLDER", tmp_path / "not installed")


def quick_rows(name: str, left_out: str = "nothing") -> list[Row]:
    """Measure a table quickly with one seed, but for the cases whose name ends so."""
    table = find_table(name)
    jobs = [job for job in jobs_of(table, 1, True) if not job.case.endswith(left_out)]
    done: dict[Job, Measured] = dict(measure_all(jobs, {}, lambda _text: None))
    json.dumps([done[job] for job in jobs])  # what is written to the partial file
    return rows_of(table, jobs, done)


def values(rows: Sequence[Row], metric: str) -> Mapping[str, float]:
    return {str(one["case"]): float(str(one["value"])) for one in rows if one["metric"] == metric}


class Squares:
    """A table whose cases are numbers, measured as their square plus the seed."""

    name = "memory"

    def __init__(self) -> None:
        self.measured: list[str] = []

    def cases(self, quick: bool) -> Sequence[str]:
        return ("2",) if quick else ("2", "3")

    def seeds(self, case: str, seeds: int) -> int:
        return 1 if case == "2" else seeds

    def measure(self, case: str, seed: int, quick: bool, log: harness.Log) -> Measured:
        self.measured.append(f"{case}/{seed}")
        return {"square": int(case) ** 2 + seed}

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        return [row(case, "square", "", [run["square"] for run in runs]) for case, runs in measured.items()]


def test_an_unknown_table_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(["memoir"])
    assert "memory" in capsys.readouterr().err


def test_a_half_written_line_is_measured_again(tmp_path: Path) -> None:
    partial = Partial(tmp_path / "partial.jsonl")
    job = Job("memory", "2", 0, False)
    partial.add(job, {"square": 4})
    with (tmp_path / "partial.jsonl").open("a") as file:
        file.write('{"job": {"table": "mem')
    assert partial.read() == {job: {"square": 4}}


def test_cases_of_another_commit_are_not_mixed_in_unless_asked_for(tmp_path: Path) -> None:
    partial = Partial(tmp_path / "partial.jsonl")
    partial.add(Job("memory", "2", 0, False), {"square": 4})
    assert not partial.read(lambda commit: commit == "another")
    assert partial.read(lambda _commit: True)


def test_a_new_run_forgets_its_own_tables_only(tmp_path: Path) -> None:
    partial = Partial(tmp_path / "partial.jsonl")
    kept = Job("relay", "IID", 0, False)
    partial.add(Job("memory", "2", 0, False), {"square": 4})
    partial.add(kept, {})
    partial.forget(["memory"])
    assert list(partial.read()) == [kept]


def test_a_resumed_run_measures_only_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Squares()
    monkeypatch.setattr(harness, "find_table", lambda _name: table)
    jobs = jobs_of(table, 3, False)
    done: dict[Job, Measured] = {job: {"square": 9} for job in jobs if job.case == "3" and job.seed != 1}
    done.update(measure_all(jobs, done, lambda _text: None))
    assert table.measured == ["2/0", "3/1"]
    found = {one["case"]: (one["value"], one["n"]) for one in rows_of(table, jobs, done)}
    assert found == {"2": (4, 1), "3": (9, 3)}


def test_the_document_keeps_what_stands_outside_the_markers() -> None:
    text = report.between_markers("# Title\n\nsaid by hand\n", "memory", "first")
    text = report.between_markers(text, "memory", "second")
    assert "said by hand" in text
    assert "second" in text
    assert "first" not in text


def test_pictures_and_tables_come_from_the_results(tmp_path: Path) -> None:
    rows = [row("a", "peak", "MiB", [2.0], "b", [4.0]), row("a", "accuracy", "share", [0.7, 0.8, 0.9])]
    (tmp_path / "learning-memory.json").write_text(json.dumps(rows))
    report.redraw(["memory", "relay"], tmp_path, tmp_path / "TABLES.md", tmp_path / "images")
    text = (tmp_path / "TABLES.md").read_text()
    assert "| a | 2, ×0.5 | 0.8 [0.7 … 0.9] |" in text
    assert "relay" not in text
    assert (tmp_path / "images" / "learning-memory.png").stat().st_size > 0


@pytest.mark.parametrize("name", list(TABLES))
def test_the_committed_table_is_made_of_the_committed_results(name: str) -> None:
    rows = json.loads((RESULTS / f"learning-{name}.json").read_text(encoding="utf-8"))
    assert report.markdown(rows) in report.DOCUMENT.read_text(encoding="utf-8")


def test_a_failed_run_of_flower_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower, "FOLDER", tmp_path)
    monkeypatch.setattr(flower, "FLOWER", "flwr==0.0.0.dev0")
    failed = subprocess.CompletedProcess([], 1, "", "no matching distribution")
    monkeypatch.setattr(subprocess, "run", lambda *_words, **_more: failed)
    with pytest.raises(flower.FlowerFailed, match="no matching distribution"):
        flower.install()


@pytest.mark.slow
def test_the_memory_table_shows_segments_below_end_to_end() -> None:
    rows = quick_rows("memory")
    peaks = values(rows, "peak, batch 16")
    assert peaks["ResNet-14, DGL, K = a block each"] < peaks["ResNet-14, end to end"]
    assert peaks["ResNet-14, end to end, checkpointed, K = a block each"] < peaks["ResNet-14, end to end"]
    assert set(values(rows, "test accuracy")) >= {"ResNet-14, end to end", "ResNet-14, MLAAN + SGR, K = a block each"}


@pytest.mark.slow
def test_the_relay_table_tells_accuracy_and_bytes_of_every_split() -> None:
    rows = quick_rows("relay", left_out="Flower")  # that one needs an environment of its own
    accuracies, moved = values(rows, "test accuracy"), values(rows, "bytes moved")
    assert {case.partition(":")[0] for case in accuracies} == {
        "IID",
        "Dirichlet 0.5",
        "Dirichlet 0.1",
        "label-disjoint",
    }
    assert all(moved[case] > 0 for case in moved)
    assert moved["IID: relay, default recipe"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TABLES if name not in ("memory", "relay")])
def test_every_other_table_gives_rows(name: str) -> None:
    assert quick_rows(name)
