"""The worker without torch answers as the real one does, and what it trained outlives it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from tests.training.tiny import judging

from derelayl_node.ports import TrainingFailed
from derelayl_node.training import worker_process
from derelayl_node.training.process import SubprocessTrainer, open_trainer
from derelayl_training.jobs import LegJob

from .node import WORKER
from .worker import ARCHITECTURE, Dials, trained_steps

STEPS = 20
DEADLINE_SECONDS = 30.0


async def _job(trainer: SubprocessTrainer, home: Path) -> LegJob:
    (home / "scratch").mkdir()
    parent = home / "parent.safetensors"
    await trainer.genesis(ARCHITECTURE, 1, parent)
    child = home / "scratch" / "child-3-1.safetensors"
    return LegJob(ARCHITECTURE, parent, child, segment=0, steps=STEPS, batch=4, learning_rate=0.01, seed=5)


async def test_a_file_of_another_kind_has_no_loss_and_cannot_be_a_parent(tmp_path: Path) -> None:
    async with open_trainer(Dials().spec(), worker=WORKER) as trainer:
        job = await _job(trainer, tmp_path)
        tip = Path(shutil.copy(job.parent, tmp_path / "tip"))
        job.parent.write_bytes(b"no safetensors")
        judged = await trainer.judge(judging(tip, job.parent, architecture=ARCHITECTURE), seconds=DEADLINE_SECONDS)
        assert judged.children == (None,)
        with pytest.raises(TrainingFailed, match="not a weights file"):
            await trainer.train(job)


async def test_a_leg_lowers_the_loss_of_every_judge(tmp_path: Path) -> None:
    async with open_trainer(Dials().spec(), worker=WORKER) as trainer:
        job = await _job(trainer, tmp_path)
        await trainer.train(job)
    for seed in (1, 2):
        async with open_trainer(Dials(seed).spec(), worker=WORKER) as judge:
            judged = await judge.judge(
                judging(job.parent, job.child, architecture=ARCHITECTURE), seconds=DEADLINE_SECONDS
            )
            (child,) = judged.children
            assert child is not None
            assert child.loss < judged.bar.loss
    assert trained_steps(tmp_path) == {(3, 1): STEPS}


async def test_pings_are_answered_while_a_leg_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "PING_SECONDS", 0.4)
    async with open_trainer(Dials(leg_seconds=4.0).spec(), worker=WORKER) as trainer:
        await trainer.train(await _job(trainer, tmp_path))  # twice what a silent worker is given


async def test_a_killed_leg_goes_on_from_its_snapshot_and_its_steps_stay_counted(tmp_path: Path) -> None:
    async with open_trainer(Dials(leg_seconds=4.0).spec(), worker=WORKER) as trainer:
        job = await _job(trainer, tmp_path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trainer.train, job)
            with trio.fail_after(DEADLINE_SECONDS):
                while trained_steps(tmp_path).get((3, 1), 0) < STEPS // 2:  # noqa: ASYNC110 - a file has no events
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert not job.child.exists()
    async with open_trainer(Dials(leg_seconds=0.0).spec(), worker=WORKER) as trainer:
        await trainer.train(job)
    assert STEPS <= trained_steps(tmp_path)[3, 1] <= STEPS + 2  # a snapshot each two steps
