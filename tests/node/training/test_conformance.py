"""The Trainer port: its fake and its worker process do the same things."""

from pathlib import Path

import pytest

from derelayl_node.testing.trainer import FAKE_ARCHITECTURE, FAKE_DATA, FakeTrainer
from derelayl_node.training.process import open_trainer
from derelayl_training.jobs import Architecture

from ...training.tiny import ARCHITECTURE, OTHER_ARCHITECTURE, tiny_shard
from ..conformance.trainer import CHECKS, Case, Check


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
async def test_the_fake_passes(check: Check, tmp_path: Path) -> None:
    other = Architecture("fake", {"segments": 2, "width": 8})
    await check(Case(FakeTrainer(), tmp_path, FAKE_ARCHITECTURE, other, FAKE_DATA, steps=20, learning_rate=0.05))


@pytest.mark.slow
async def test_the_worker_process_passes(tmp_path: Path) -> None:
    """All checks in one worker, for its start takes seconds."""
    spec = f"shard:{tiny_shard(tmp_path)}"
    async with open_trainer(spec) as trainer:
        for name, check in CHECKS.items():
            folder = tmp_path / name
            folder.mkdir()
            await check(Case(trainer, folder, ARCHITECTURE, OTHER_ARCHITECTURE, spec, steps=20, learning_rate=0.05))
