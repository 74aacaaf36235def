"""The demo's measurements: accuracies on the set that no peer trains on, and the centralised rival."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path

import trio

from derelayl_protocol.types import WHOLE_MODEL, Root
from derelayl_training.jobs import LegJob

from ..devnet.world import World
from ..handoff import Handoff
from ..training.process import SubprocessTrainer, open_trainer
from .request import DemoOptions

FETCH_SECONDS = 30.0
"""Any peer has the checkpoints that are measured."""


class Laboratory:
    """Measures checkpoints that were taken over from the peers, while the relay goes on."""

    def __init__(self, world: World, options: DemoOptions, handoff: Handoff, trainer: SubprocessTrainer) -> None:
        self._world = world
        self._options = options
        self._handoff = handoff
        self._trainer = trainer
        self._seen: set[Root] = set()
        self._wanted, self._queue = trio.open_memory_channel[Root](inf)  # a demo has some twenty checkpoints
        self.accuracies: dict[Root, float] = {}
        """What was measured, in [0, 1]: the share of the test set that a checkpoint classifies correctly."""

    def add(self, root: Root) -> None:
        """Have a checkpoint measured that lies in our store; a second time is ignored."""
        if root not in self._seen:
            self._seen.add(root)
            self._wanted.send_nowait(root)

    def no_more(self) -> None:
        """Let `measure_all` end when everything is measured."""
        self._wanted.close()

    async def measure_all(self) -> None:
        """Measure what was added, until there is no more. Raises FetchFailed, TrainingFailed."""
        async for root in self._queue:
            self.accuracies[root] = await self._accuracy_of(await self._handoff.weights(root))

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
