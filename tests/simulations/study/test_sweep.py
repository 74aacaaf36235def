"""Which points a sweep tries, who plays them, and what is left when something goes wrong."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.scenarios.load import Scenario
from derelayl_simulations.study.cluster import by_ray
from derelayl_simulations.study.collect import collect
from derelayl_simulations.study.execute import by_processes
from derelayl_simulations.study.plan import Study, plan
from derelayl_simulations.study.results import META
from derelayl_simulations.study.sampling import sample

from ..fakes import Counting, broken_run, dying_process, fake_run, files, small

K, S = "published.trainers_per_owner", "published.selected_share"


def swept(method: str = "grid", samples: int = 8, **over: Any) -> Scenario:
    return small(sweep={"method": method, "samples": samples, "over": over or {"k": [2, 3], "s": [0.5, 0.75]}})


def study(scenario: Scenario | None = None, seeds: int = 2) -> Study:
    scenario = scenario or swept()
    return plan(scenario, range(seeds), sweep=scenario.sweep)


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"tips": [1]}, "tips is no key of the scenario small"),
        ({"k": [4, 0]}, "published.trainers_per_owner is 0, allowed is whole numbers 1 … 100000"),
        ({"s": {"low": 0.5, "high": 2.0}}, "published.selected_share is 1.25, allowed is 0 … 1"),
    ],
)
def test_a_point_that_is_not_allowed_is_refused_before_anything_runs(over: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LocalFault, match=sentence):
        study(swept(**over))


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1]])
def test_no_seeds_or_the_same_one_twice_are_refused(seeds: list[int]) -> None:
    with pytest.raises(LocalFault, match="seeds were given"):
        plan(small(), seeds)


def test_more_runs_than_anybody_means_are_refused() -> None:
    scenario = swept(k=list(range(1, 101)))
    with pytest.raises(LocalFault, match="are 1000100 runs, allowed is 1000000"):
        plan(scenario, range(10_001), sweep=scenario.sweep)


def test_a_sobol_sweep_takes_a_power_of_two_and_makes_keys_plus_two_times_as_many_points() -> None:
    with pytest.raises(LocalFault, match=r"sweep\.samples is 6, a Sobol sweep needs a power of two"):
        study(swept("sobol", 6, s={"low": 0.1, "high": 0.9}))
    assert len(study(swept("sobol", 8, s={"low": 0.1, "high": 0.9}, k={"low": 2, "high": 5})).points) == 8 * (2 + 2)


def test_a_grid_goes_through_every_combination_in_order() -> None:
    points = study().points
    assert points == ({K: 2, S: 0.5}, {K: 2, S: 0.75}, {K: 3, S: 0.5}, {K: 3, S: 0.75})


def test_a_range_of_a_whole_number_has_whole_numbers_and_each_once() -> None:
    points = study(swept(k={"low": 2, "high": 4, "steps": 9})).points
    assert [point[K] for point in points] == [2, 3, 4]
    drawn = [point[K] for point in study(swept("latin", 30, k={"low": 2, "high": 4})).points]
    assert sorted(set(drawn)) == [2, 3, 4]
    assert {drawn.count(value) for value in drawn} == {10}


def test_a_latin_hypercube_has_one_point_in_every_slice_of_every_key() -> None:
    scenario = swept("latin", 20, s={"low": 0.2, "high": 0.8}, p={"low": 0.0, "high": 1.0})
    assert scenario.sweep is not None
    points = sample(scenario, scenario.sweep)
    for key, low, width in ((S, 0.2, 0.6), ("published.success_probability", 0.0, 1.0)):
        slices = np.floor((np.array([point[key] for point in points]) - low) / width * 20).astype(int)
        assert sorted(slices.tolist()) == list(range(20))
    assert points == sample(scenario, scenario.sweep)


def test_one_at_a_time_is_the_scenario_and_the_ends_of_each_key() -> None:
    points = study(swept("one-at-a-time", s={"low": 0.2, "high": 0.8}, k=[2, 3, 6])).points
    assert points == ({}, {S: 0.2}, {S: 0.8}, {K: 2}, {K: 6})


def test_every_point_is_played_with_the_same_seeds() -> None:
    jobs = list(study(seeds=3).jobs())
    assert [job.run for job in jobs] == list(range(12))
    assert [job.seed for job in jobs] == [0, 1, 2] * 4
    assert [job.keep_history for job in jobs] == [True] + [False] * 11
    assert jobs[3].scenario.published.selected_share == 0.75


def test_an_error_in_a_process_reaches_the_caller_and_leaves_no_process(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug"):
        collect(study(), tmp_path / "out", 2, how=broken_run)
    assert multiprocessing.active_children() == []


def test_a_process_that_is_killed_is_one_sentence_and_finished_runs_are_kept(tmp_path: Path) -> None:
    scenario = small()
    with pytest.raises(LocalFault, match="a process of the sweep was killed"):
        collect(plan(scenario, range(6)), tmp_path / "out", 2, how=dying_process)
    results = collect(plan(scenario, range(6)), tmp_path / "out", how=fake_run)
    assert results.finished() == set(range(6))


def test_no_processes_are_refused() -> None:
    with pytest.raises(LocalFault, match="jobs is 0"):
        list(by_processes(study().jobs(), 0, fake_run))


def test_an_interrupted_sweep_keeps_what_is_finished_and_plays_only_the_rest(tmp_path: Path) -> None:
    first = Counting(interrupted_at=3)
    with pytest.raises(KeyboardInterrupt):
        collect(study(), tmp_path / "out", how=first)
    second, told = Counting(), list[int]()
    results = collect(study(), tmp_path / "out", advance=told.append, how=second)
    assert first.played + second.played == [0, 1] * 4
    assert told == [3, 4, 5, 6, 7, 8]
    assert results.finished() == set(range(8))
    whole = collect(study(), tmp_path / "whole", how=fake_run)
    assert files(results.folder) == files(whole.folder)


def test_a_finished_sweep_is_not_played_again(tmp_path: Path) -> None:
    collect(study(), tmp_path / "out", how=fake_run)
    again = Counting()
    collect(study(), tmp_path / "out", how=again)
    assert again.played == []


def test_another_study_does_not_go_into_the_same_folder(tmp_path: Path) -> None:
    collect(study(), tmp_path / "out", how=fake_run)
    before = files(tmp_path / "out")
    with pytest.raises(LocalFault, match=r"holds results of another study \(another seeds\)"):
        collect(study(seeds=3), tmp_path / "out", how=fake_run)
    with pytest.raises(LocalFault, match=r"another scenario, over, points"):
        collect(study(swept(k=[2, 5])), tmp_path / "out", how=fake_run)
    assert files(tmp_path / "out") == before


def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(tmp_path: Path) -> None:
    # The limit of the operating system on a file's size stands for the full disk: it refuses the same call.
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from tests.simulations.fakes import fake_run, small\n"
        "from derelayl_simulations.study.collect import collect\n"
        "from derelayl_simulations.study.plan import plan\n"
        "def filling(scenario, seed, keep):\n"
        "    if seed == 2: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "    return fake_run(scenario, seed, keep)\n"
        "try: collect(plan(small(), range(4)), Path(sys.argv[1]), how=filling)\n"
        "except OSError as error: print(error.strerror)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert answer.stdout == "File too large\n"
    kept = [name for name in files(tmp_path / "out") if name != META]
    assert sorted(name for name in kept if name.startswith("rounds")) == [
        "rounds/scenario=small/seed=0/run-000000.parquet",
        "rounds/scenario=small/seed=1/run-000001.parquet",
    ]
    assert all(name.endswith(".parquet") for name in kept)
    assert collect(plan(small(), range(4)), tmp_path / "out", how=fake_run).finished() == {0, 1, 2, 3}


def test_the_files_are_the_same_whoever_plays_them(tmp_path: Path) -> None:
    scenario = swept(k=[3, 4]).with_values({"N": 24, "rounds": 12})
    alone = collect(study(scenario), tmp_path / "alone")
    together = collect(study(scenario), tmp_path / "together", 2)
    assert files(alone.folder) == files(together.folder)


def test_ray_that_is_not_installed_is_told_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # what the interpreter finds where there is none
    with pytest.raises(LocalFault, match=r"pip install 'derelayl\[cluster\]'"):
        list(by_ray(study().jobs(), "local"))


def test_an_address_where_no_cluster_answers_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]  # free from here on
    for address, sentence in ((f"127.0.0.1:{port}", "no Ray cluster answers at"), ("somewhere", "is no address")):
        with pytest.raises(LocalFault, match=sentence):
            collect(study(), tmp_path / "never", ray=address)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_ray_cluster_plays_the_same_as_this_process(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    cluster_utils = importlib.import_module("ray.cluster_utils")
    head = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster = collect(study(), tmp_path / "cluster", ray=head.address, how=fake_run)
    finally:
        head.shutdown()
    alone = collect(study(), tmp_path / "alone", how=fake_run)
    assert files(cluster.folder) == files(alone.folder)
