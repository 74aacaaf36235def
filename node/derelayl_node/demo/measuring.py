"""The demo's measurements: accuracies on the set that no peer trains on, and the centralised rival."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from derelayl_protocol.types import WHOLE_MODEL, Root
from derelayl_training.jobs import LegJob

from ..devnet.world import World
from ..handoff import Handoff
from ..training.process import SubprocessTrainer, open_trainer
from .options import DemoOptions

FETCH_SECONDS = 30.0
"""Any peer has the checkpoints that are measured."""


class Laboratory:
    """Measures checkpoints that it takes over from the peers, as any stranger could."""

    def __init__(self, world: World, options: DemoOptions, handoff: Handoff, trainer: SubprocessTrainer) -> None:
        self._world = world
        self._options = options
        self._handoff = handoff
        self._trainer = trainer

    async def warm_up(self) -> None:
        """Load torch and the data while there is time."""
        await self._trainer.samples()

    async def accuracy(self, root: Root) -> float:
        """Accuracy of a checkpoint, in [0, 1]. Raises FetchFailed, TrainingFailed."""
        await self._handoff.take(root, FETCH_SECONDS)
        return await self._accuracy_of(await self._handoff.weights(root))

    async def centralised(self, genesis: Root, steps: int) -> float:
        """Accuracy of the same network trained from the same genesis in one place, on the union of the peers' data."""
        child = self._world.home("observer") / "centralised.safetensors"
        job = LegJob(
            architecture=self._world.architecture,
            parent=await self._handoff.weights(genesis),
            child=child,
            segment=WHOLE_MODEL,
            steps=steps,
            batch=self._options.batch,
            learning_rate=self._options.learning_rate,
            seed=self._options.seed,
        )
        await self._trainer.train(job)
        return await self._accuracy_of(child)

    async def _accuracy_of(self, weights: Path) -> float:
        return await self._trainer.accuracy(self._world.architecture, weights, self._world.test_data)


@asynccontextmanager
async def open_laboratory(world: World, options: DemoOptions, handoff: Handoff) -> AsyncIterator[Laboratory]:
    """Open a laboratory with a worker of its own on the union of the peers' data."""
    async with open_trainer(world.union_data) as trainer:
        yield Laboratory(world, options, handoff, trainer)
