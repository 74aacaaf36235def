"""A worker without torch that takes its time, goes on from a snapshot, and must load again once a job was given up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from derelayl_node.testing.trainer import FakeTrainer
from derelayl_training.jobs import Judged, JudgingJob, LegJob, LegResult, SampleCounts

from .weather import Weather

TRAIN_SECONDS = 4.0
JUDGE_SECONDS = 0.5
IN_TIME = 0.9
"""Share of its time after which a judging ends at the latest: where that is short, it measures fewer samples."""

LOAD_SECONDS = 2.0
"""What a new worker takes to load what it needs."""

SNAPSHOT_SECONDS = 1.0
"""How much of a leg is lost at most when a peer is killed."""


@dataclass
class Worked:
    """What outlives the peer: seconds of each leg that a snapshot holds, and the steps ever taken in each round."""

    snapshots: dict[str, float] = field(default_factory=dict)
    steps: dict[int, float] = field(default_factory=dict)

    def note(self, number: int, steps: float) -> None:
        self.steps[number] = self.steps.get(number, 0.0) + steps


def round_of(job: LegJob) -> int:
    """The round that a leg's job is of, as the trainer role names its file: `child-ROUND-LEG.safetensors`."""
    return int(job.child.name.split("-")[1])


class VirtualTrainer(FakeTrainer):
    """Implements `ports.Trainer`, with what a peer asks of the adapter beside it."""

    def __init__(self, weather: Weather, name: str, worked: Worked) -> None:
        super().__init__()
        self._weather = weather
        self._name = name
        self._worked = worked
        self._loaded = False

    async def samples(self) -> SampleCounts:
        """How many samples there are to train and to judge on."""
        await self._load()
        return self.counts

    @property
    def obstacle(self) -> str:
        """Nothing keeps it from its work."""
        return ""

    async def train(self, job: LegJob) -> LegResult:
        with self._given_up():
            await self._load()
            leg = f"{job.child.name} of {job.parent.name}"
            while (done := self._worked.snapshots.get(leg, 0.0)) < TRAIN_SECONDS:
                began = trio.current_time()
                try:
                    await self._work(SNAPSHOT_SECONDS)
                finally:  # what a kill throws away was trained all the same
                    share = min(trio.current_time() - began, SNAPSHOT_SECONDS) / TRAIN_SECONDS
                    self._worked.note(round_of(job), job.steps * share)
                self._worked.snapshots[leg] = done + SNAPSHOT_SECONDS
            return await super().train(job)

    async def judge(self, job: JudgingJob, *, seconds: float) -> Judged:
        with self._given_up():
            await self._load()
            whole = JUDGE_SECONDS * (len(job.tips) + len(job.children))
            await self._work(min(whole, IN_TIME * seconds / self._weather.slowness(self._name)))
            return await super().judge(job, seconds=seconds)

    async def _load(self) -> None:
        if not self._loaded:
            await self._work(LOAD_SECONDS)
            self._loaded = True

    async def _work(self, seconds: float) -> None:
        await trio.sleep(seconds * self._weather.slowness(self._name))
        await self._weather.running(self._name)

    @contextmanager
    def _given_up(self) -> Iterator[None]:
        """A job that is cancelled takes the worker with it."""
        try:
            yield
        except trio.Cancelled:
            self._loaded = False
            raise
