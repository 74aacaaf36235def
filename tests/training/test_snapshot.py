"""A leg that was interrupted goes on to the very same child."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from derelayl_protocol.errors import LocalFault
from derelayl_training import snapshot
from derelayl_training.data import Split
from derelayl_training.jobs import LegJob
from derelayl_training.recipe import parse_recipe
from derelayl_training.resources import Pause, Resources
from derelayl_training.train import run_leg

from .tiny import Crash, crash_at, silent, tiny_leg


@pytest.fixture(autouse=True)
def _every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot.Snapshots.__init__, "__defaults__", (0.0, lambda: 0.0))


def interrupted(job: LegJob, split: Split) -> None:
    with pytest.raises(Crash):
        run_leg(job, split, crash_at(0.5))
    assert stat.S_IMODE(snapshot_of(job).stat().st_mode) == 0o600


def snapshot_of(job: LegJob) -> Path:
    return job.child.with_name(job.child.name + snapshot.SUFFIX)


def test_a_damaged_snapshot_is_named_and_removed(tmp_path: Path, parent: Path, split: Split) -> None:
    job = tiny_leg(parent, tmp_path / "child")
    snapshot_of(job).write_bytes(b"\xff" * 100)
    with pytest.raises(LocalFault, match=r"is damaged .* and was removed; train again"):
        run_leg(job, split, silent)
    run_leg(job, split, silent)


def test_a_snapshot_of_another_leg_is_left_alone(tmp_path: Path, parent: Path, split: Split) -> None:
    job = tiny_leg(parent, tmp_path / "child")
    interrupted(job, split)
    other = replace(job, seed=4)
    fresh = replace(other, child=tmp_path / "fresh")
    assert (
        run_leg(other, split, silent).weights.path.read_bytes()
        == run_leg(fresh, split, silent).weights.path.read_bytes()
    )


@pytest.mark.parametrize(
    "recipe", ["", "optimiser=adamw,schedule=cosine", "method=sparse,keep=0.5", "distil=0.5,prox=0.1,merge=true"]
)
def test_an_interrupted_leg_gives_the_bytes_of_one_that_was_not(
    tmp_path: Path, parent: Path, split: Split, recipe: str
) -> None:
    whole = replace(tiny_leg(parent, tmp_path / "whole"), recipe=parse_recipe(recipe))
    job = replace(whole, child=tmp_path / "child")
    interrupted(job, split)
    steps: list[float] = []
    result = run_leg(job, split, steps.append)
    assert min(steps) > 0.5  # it did go on, and not begin anew
    assert result.samples == run_leg(whole, split, silent).samples
    assert job.child.read_bytes() == whole.child.read_bytes()
    assert not snapshot_of(job).exists()


def test_a_disk_that_refuses_a_snapshot_does_not_end_the_leg(tmp_path: Path, parent: Path, split: Split) -> None:
    job = tiny_leg(parent, tmp_path / "child")
    (tmp_path / f"child{snapshot.SUFFIX}.partial").mkdir()
    assert run_leg(job, split, silent, Resources(pause=Pause())).steps == 20
