"""The folder of results: its table for DuckDB and polars, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.study.outcomes import outcomes
from derelayl_simulations.study.plan import plan
from derelayl_simulations.study.results import META, RESULTS_VERSION, create, open_results, write_whole

from ..fakes import results_of, small


def swept(folder: Path) -> Path:
    scenario = small(sweep={"over": {"k": [2, 3]}})
    return results_of(folder, plan(scenario, range(2), sweep=scenario.sweep)).folder


def edit(folder: Path, **values: Any) -> None:
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    (folder / META).write_text(json.dumps(meta | values), encoding="utf-8")


def test_a_folder_of_another_version_is_refused_for_reading_and_for_writing(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out")
    edit(results.folder, results=RESULTS_VERSION + 1)
    for use in (lambda: open_results(results.folder), lambda: create(results.folder, results.study)):
        with pytest.raises(LocalFault, match=f"holds results of version 2, this is version {RESULTS_VERSION}"):
            use()


def test_runs_of_another_commit_are_not_mixed_with_these(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out")
    edit(results.folder, commit="commit 0123456789ab")
    with pytest.raises(LocalFault, match=r"another commit"):
        create(results.folder, results.study)
    assert open_results(results.folder).commit == "commit 0123456789ab"


def test_what_is_no_folder_of_results_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match=r"holds no results: there is no meta\.json"):
        open_results(tmp_path)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(LocalFault, match="is a file"):
        open_results(file)
    with pytest.raises(LocalFault, match="is a file; name a folder"):
        create(file, plan(small(), [0]))
    (tmp_path / META).write_text("{")
    with pytest.raises(LocalFault, match="not readable as JSON"):
        open_results(tmp_path)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(LocalFault, match="holds other files"):
        create(tmp_path, plan(small(), [0]))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_whole(tmp_path / "taken", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_duckdb_reads_one_tidy_table_with_its_partitions_as_columns(tmp_path: Path) -> None:
    folder = swept(tmp_path / "out")
    table = duckdb.sql(
        f"SELECT * FROM read_parquet('{folder}/rounds/**/*.parquet', hive_partitioning=true) ORDER BY run, round"  # noqa: S608
    )
    assert table is not None
    rows = table.pl()
    assert len(rows) == 4 * 3
    assert rows["scenario"].unique().to_list() == ["small"]
    assert rows["seed"].to_list() == [0] * 3 + [1] * 3 + [0] * 3 + [1] * 3
    assert rows["published.trainers_per_owner"].to_list() == [2] * 6 + [3] * 6
    assert rows["supply"].to_list()[:3] == [2.0, 4.0, 6.0]
    assert rows["extinct_round"].to_list() == [None] * 3 + [2] * 3 + [None] * 3 + [2] * 3


def test_polars_reads_the_same_table_lazily(tmp_path: Path) -> None:
    folder = swept(tmp_path / "out")
    lazy = pl.scan_parquet(folder / "rounds" / "**" / "*.parquet", hive_partitioning=True)
    mean = lazy.filter(pl.col("round") == 3).group_by("published.trainers_per_owner").agg(pl.col("supply").mean())
    assert sorted(mean.collect().rows()) == [(2, 6.5), (3, 9.5)]
    ours = open_results(folder).rounds()
    assert ours["run"].to_list() == sorted(ours["run"].to_list())
    assert set(ours.columns) == set(lazy.collect_schema().names())


def test_what_does_not_exist_is_null_and_never_a_number(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out")
    rounds = results.rounds()
    assert rounds["inflation"].null_count() == 3
    assert rounds["profit_trainer"].null_count() == 9
    assert not rounds["inflation"].is_nan().any()
    assert np.isnan(results.matrix("profit_trainer")).all()
    assert np.isnan(results.matrix("no such column")).all()
    assert not results.has("profit_trainer")


def test_a_column_comes_back_over_seeds_and_rounds(tmp_path: Path) -> None:
    results = open_results(results_of(tmp_path / "out").folder)
    np.testing.assert_array_equal(results.matrix("supply"), [[4, 8, 12], [5, 9, 13], [6, 10, 14]])
    assert results.extinct_rounds() == [None, 2, None]


def test_participants_are_kept_of_every_run_and_coins_of_the_first(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out")
    people = results.people()
    assert people.group_by("seed").len().sort("seed").rows() == [(0, 4), (1, 4), (2, 4)]
    assert people["role"].to_list()[:4] == ["trainer", "trainer", "trainer", "validator"]
    coins = results.coins()
    assert coins["seed"].unique().to_list() == [0]
    assert coins.filter(pl.col("round") == 2)["coins"].to_list() == [0.0, 1.0, 2.0, 3.0]


def test_a_run_comes_to_totals_of_flows_and_the_last_of_everything_else(tmp_path: Path) -> None:
    rows = outcomes(results_of(tmp_path / "out"))
    assert rows["minted"].to_list() == [6.0] * 3
    assert rows["supply"].to_list() == [12.0, 13.0, 14.0]
    assert rows["alive"].to_list() == [1.0, 0.0, 1.0]
    assert rows["rounds"].to_list() == [3] * 3
    assert rows["profit_trainer"].null_count() == 3


def test_the_meta_file_says_what_was_played_and_with_what(tmp_path: Path) -> None:
    results = results_of(tmp_path / "out", plan(small(), range(2), {"published.trainers_per_owner": 4}))
    meta = json.loads((results.folder / META).read_text(encoding="utf-8"))
    assert meta["seeds"] == [0, 1]
    assert meta["changed"] == {"published.trainers_per_owner": 4}
    assert meta["scenario"]["published"]["participants"] == 256
    assert {"python", "numpy", "polars", "SALib"} <= set(meta["dependencies"])
    assert meta["commit"].startswith(("commit ", "release "))
    assert open_results(results.folder).study == results.study
