"""One leg in two real processes, which share every batch by torchrun and sum their gradients."""

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from derelayl_protocol.errors import LocalFault
from derelayl_training.compute import Compute
from derelayl_training.data import load
from derelayl_training.distributed import run_leg_in_processes
from derelayl_training.job_lines import TrainJob
from derelayl_training.train import run_leg, write_genesis

from .tiny import ARCHITECTURE, silent, tiny_leg, tiny_shard

TWO = Compute(processes=2, device="cpu", precision="float32")


def test_a_fault_in_the_processes_is_told_with_its_reason(tmp_path: Path) -> None:
    parent = write_genesis(ARCHITECTURE, 1, tmp_path / "parent").path
    job = TrainJob.of(tiny_leg(parent, tmp_path / "child", segment=7, steps=3))
    with pytest.raises(LocalFault, match="segment 7 does not exist"):
        run_leg_in_processes(job, f"shard:{tiny_shard(tmp_path)}", TWO, silent)


def test_two_processes_train_the_child_of_one(tmp_path: Path) -> None:
    parent = write_genesis(ARCHITECTURE, 1, tmp_path / "parent").path
    spec = f"shard:{tiny_shard(tmp_path)}"
    alone = run_leg(tiny_leg(parent, tmp_path / "alone", steps=3), load(spec), silent)
    heard: list[float] = []
    job = tiny_leg(parent, tmp_path / "child", steps=3)
    done = run_leg_in_processes(TrainJob.of(job), spec, TWO, heard.append)
    assert (done.steps, done.samples) == (alone.steps, alone.samples)
    assert done.loss_after == pytest.approx(alone.loss_after, rel=1e-4)
    assert heard[-1] == 1.0
    one, two = load_file(tmp_path / "alone"), load_file(job.child)
    assert all(abs(one[name] - two[name]).max() < 1e-5 for name in one)
