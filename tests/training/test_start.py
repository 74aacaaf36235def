"""A leg starts from the average of the tips, as far as its lease allows it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training import snapshot
from derelayl_training.architectures import build
from derelayl_training.compute import Compute
from derelayl_training.data import Split
from derelayl_training.engine import Engine
from derelayl_training.job_lines import TrainDone, TrainJob
from derelayl_training.jobs import LegJob, LegResult, TipFile
from derelayl_training.judge import judge, losses_of_files
from derelayl_training.own_data import OwnData
from derelayl_training.recipe import parse_recipe
from derelayl_training.resources import CPU
from derelayl_training.start import SUFFIX, choose_start
from derelayl_training.train import run_leg

from .tiny import ARCHITECTURE, Crash, crash_at, judging, silent, tiny_leg

SECONDS = 100.0

LAST = 1
"""The tiny network's last segment, which holds its classifier."""


def skewed(split: Split, label: int) -> Split:
    """Of one class only."""
    kept = split.train_y == label
    return replace(split, train_x=split.train_x[kept], train_y=split.train_y[kept])


@pytest.fixture
def siblings(tmp_path: Path, parent: Path, split: Split) -> tuple[Path, Path]:
    """Two tips of one parent, each trained by a peer that has nothing but one class."""
    paths = tmp_path / "tip-0", tmp_path / "tip-1"
    for label, path in enumerate(paths):
        job = replace(tiny_leg(parent, path, steps=20, rate=0.01), recipe=parse_recipe("balanced=false"))
        run_leg(job, skewed(split, label), silent)
    return paths


def leg_on(siblings: tuple[Path, Path], child: Path, segment: int = WHOLE_MODEL) -> LegJob:
    """A short leg on the first of two tips, which may start from the other, too."""
    job = tiny_leg(siblings[0], child, segment, steps=2, rate=0.01)
    return replace(job, tips=[TipFile(siblings[1])], choosing_seconds=SECONDS)


def run(job: LegJob, split: Split, progress: Callable[[float], None] = silent) -> LegResult:
    choose_start(job, split, CPU.device)
    return run_leg(job, split, progress)


def test_a_leg_on_skewed_siblings_starts_from_their_average_and_beats_the_bar(
    tmp_path: Path, siblings: tuple[Path, Path], split: Split
) -> None:
    started = leg_on(siblings, tmp_path / "started")
    plain = replace(started, child=tmp_path / "plain", tips=())
    assert run(started, split).record["start"] == "average of 2"
    assert "start" not in run(plain, split).record
    job = judging(siblings[0], plain.child, started.child, tips=[siblings[1]])
    judged = judge(build(ARCHITECTURE), job, split.held_x, split.held_y)
    behind, above = judged.children
    assert behind is not None
    assert above is not None
    assert judged.bar.tips == (0, 1)
    assert above.loss < judged.bar.loss < behind.loss
    assert not list(tmp_path.glob(f"*{SUFFIX}"))


def test_a_lease_of_one_segment_keeps_the_parents_bytes_in_the_others(
    tmp_path: Path, siblings: tuple[Path, Path], split: Split
) -> None:
    job = leg_on(siblings, tmp_path / "child", segment=LAST)
    places = build(ARCHITECTURE).segment_of()
    assert run(job, split).record["start"] == "average of 2"
    before, after = load_file(job.parent), load_file(job.child)
    assert {places[name] for name in before if before[name].tobytes() != after[name].tobytes()} == {LAST}


def test_an_average_that_is_surely_worse_than_the_parent_is_left_alone(
    tmp_path: Path, parent: Path, split: Split
) -> None:
    ruin = {name: (-50 * tensor).astype(tensor.dtype) for name, tensor in load_file(parent).items()}
    save_file(ruin, tmp_path / "ruin")
    job = replace(tiny_leg(parent, tmp_path / "child"), tips=[TipFile(tmp_path / "ruin")], choosing_seconds=SECONDS)
    plain = replace(job, child=tmp_path / "plain", tips=())
    assert run(job, split).record["start"] == "parent"
    run(plain, split)
    assert job.child.read_bytes() == plain.child.read_bytes()


def test_an_average_that_may_be_worse_by_chance_is_taken(tmp_path: Path, parent: Path, split: Split) -> None:
    rng = np.random.default_rng(2)
    weights = load_file(parent)
    near = {name: (tensor + rng.normal(0, 0.02, tensor.shape)).astype(tensor.dtype) for name, tensor in weights.items()}
    save_file(near, tmp_path / "alike")
    here, there = losses_of_files(build(ARCHITECTURE), [parent, tmp_path / "alike"], split.held_x, split.held_y)
    assert here is not None
    assert there is not None
    assert there.mean > here.mean
    job = replace(tiny_leg(parent, tmp_path / "child"), tips=[TipFile(tmp_path / "alike")], choosing_seconds=SECONDS)
    assert run(job, split).record["start"] == "average of 2"


def test_a_tip_that_does_not_load_is_left_out(tmp_path: Path, siblings: tuple[Path, Path], split: Split) -> None:
    (tmp_path / "broken").write_bytes(b"\xff" * 100)
    job = leg_on(siblings, tmp_path / "child")
    assert run(replace(job, tips=[TipFile(tmp_path / "broken"), *job.tips]), split).record["start"] == "average of 2"


def test_without_time_to_compare_a_leg_starts_from_the_average(
    tmp_path: Path, siblings: tuple[Path, Path], split: Split
) -> None:
    job = replace(leg_on(siblings, tmp_path / "child"), choosing_seconds=0.0)
    assert run(job, split).record["start"] == "average of 2"


@pytest.mark.parametrize("recipe", ["method=sparse", "privacy=dp"])
def test_what_is_a_change_to_the_parent_or_a_secret_starts_from_it(
    tmp_path: Path, siblings: tuple[Path, Path], split: Split, recipe: str
) -> None:
    job = replace(leg_on(siblings, tmp_path / "child"), recipe=parse_recipe(recipe))
    choose_start(job, split, CPU.device)
    assert not list(tmp_path.glob(f"*{SUFFIX}"))


def test_few_held_out_samples_are_replaced_by_those_to_train_on(
    tmp_path: Path, siblings: tuple[Path, Path], split: Split
) -> None:
    few = replace(split, held_x=split.held_x[:3], held_y=split.held_y[:3])
    assert run(leg_on(siblings, tmp_path / "child"), few).record["start"] == "average of 2"


@pytest.mark.parametrize("recipe", ["", "prox=0.1,merge=true,distil=0.5"])
def test_an_interrupted_leg_goes_on_from_the_start_that_it_chose_whatever_tips_there_are_now(
    tmp_path: Path, siblings: tuple[Path, Path], split: Split, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot.Snapshots.__init__, "__defaults__", (0.0, lambda: 0.0))
    whole = replace(leg_on(siblings, tmp_path / "whole"), steps=20, recipe=parse_recipe(recipe))
    job = replace(whole, child=tmp_path / "child")
    run(whole, split)
    with pytest.raises(Crash):
        run(job, split, crash_at(0.5))
    steps: list[float] = []
    result = run(replace(job, tips=()), split, steps.append)
    assert min(steps) > 0.5
    assert result.record["start"] == "average of 2"
    assert job.child.read_bytes() == whole.child.read_bytes()


def test_a_damaged_start_is_named_and_removed(tmp_path: Path, siblings: tuple[Path, Path], split: Split) -> None:
    job = leg_on(siblings, tmp_path / "child")
    (tmp_path / f"child{SUFFIX}").write_bytes(b"\xff" * 100)
    with pytest.raises(LocalFault, match=r"is damaged .* and was removed; train again"):
        run(job, split)
    assert run(job, split).record["start"] == "average of 2"


def test_a_start_of_another_leg_is_left_alone(tmp_path: Path, siblings: tuple[Path, Path], split: Split) -> None:
    job = leg_on(siblings, tmp_path / "child")
    choose_start(job, split, CPU.device)
    assert "start" not in run_leg(replace(job, seed=4), split, silent).record


def test_the_worker_chooses_before_it_trains(tmp_path: Path, siblings: tuple[Path, Path], split: Split) -> None:
    engine = Engine(OwnData(f"shard:{tmp_path / 'shard.safetensors'}"), Compute(device="cpu"))
    line = TrainJob.of(leg_on(siblings, tmp_path / "child"))
    done = engine.run(TrainJob.model_validate_json(line.model_dump_json()), silent, lambda: None)
    assert isinstance(done, TrainDone)
    assert done.record["start"] == "average of 2"
    assert math.isfinite(done.loss_after)
