"""The Trainer port over a worker process: a crash or a hang costs the worker and never the node.

From the first job on a loaded worker is kept ready, whoever lost the last one.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import trio
from pydantic import ValidationError

from derelayl_training.compute import Compute
from derelayl_training.job_lines import (
    AccuracyDone,
    AccuracyJob,
    ArchitectureLine,
    Done,
    FitJob,
    GenesisDone,
    GenesisJob,
    JudgeDone,
    JudgeJob,
    Line,
    LoadDone,
    LoadJob,
    SamplesDone,
    SamplesJob,
    TrainDone,
    TrainJob,
    encode,
)
from derelayl_training.jobs import Architecture, Judged, JudgingJob, LegJob, LegResult, SampleCounts, WeightsFile

from ..groups import ungrouped
from ..ports import TrainingFailed
from .worker_process import OnProgress, WorkerProcess, ignore

JOB_SECONDS = 6 * 3600.0
"""Deadline of one job where the caller sets none; a leg's lease is usually far shorter."""

LOAD_SECONDS = 300.0
"""A worker that has not loaded torch and its data by then is taken for hung: a busy machine needs a minute."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
"""Pauses before another worker after one that lived less than the longest of them; each is twice the last one."""

PRIVATE_PREFIX = "DERELAYL_"
"""Environment variables of the node (settings, keys) that a worker is not given."""

# -P: the folder the node happens to run in is no place to import code from
WORKER = (sys.executable, "-P", "-m", "derelayl_training.worker")
"""The command that is the worker, before its options."""

DoneT = TypeVar("DoneT", bound=Done)

log = logging.getLogger(__name__)


class SubprocessTrainer:
    """Implements ports.Trainer. From the first job on `keep` has a loaded worker ready and replaces one that ends.

    Jobs run one at a time. One that is cancelled is withdrawn, and the worker is killed only if it does not let go. A
    job waits while a worker loads, and fails at once while none can be had; `obstacle` says why, "" if one can. Files
    appear atomically.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        job_seconds: float,
        on_progress: OnProgress,
        nursery: trio.Nursery,
    ) -> None:
        self._command = tuple(command)
        self._env = dict(env)
        self._job_seconds = job_seconds
        self._on_progress = on_progress
        self._nursery = nursery
        self._turn = trio.Semaphore(1)
        self._wanted = trio.Event()
        self._changed = trio.Event()
        self._worker: WorkerProcess | None = None
        self.obstacle = ""
        nursery.start_soon(self._keep)

    @property
    def worker_pid(self) -> int | None:
        """The process id of the worker, None while none runs."""
        return self._worker.pid if self._worker is not None and self._worker.alive else None

    async def genesis(self, architecture: Architecture, seed: int, out: Path) -> WeightsFile:
        """Initialise a network and write its weights to `out`. Raises TrainingFailed."""
        done = await self._run(
            lambda: GenesisJob(network=ArchitectureLine.of(architecture), seed=seed, out=str(out)), GenesisDone
        )
        return WeightsFile(out, done.segment_of)

    async def train(self, job: LegJob) -> LegResult:
        """Run one leg. Raises TrainingFailed; the node's progress callback hears of its course."""
        done = await self._run(lambda: TrainJob.of(job), TrainDone, on_progress=self._on_progress)
        weights = WeightsFile(job.child, done.segment_of)
        return LegResult(weights, done.steps, done.samples, done.loss_before, done.loss_after, done.record)

    async def check(self, job: LegJob | Architecture) -> SampleCounts:
        """Find out whether a leg could run, or whether the data are what a network takes. Raises TrainingFailed."""
        if isinstance(job, Architecture):
            done = await self._run(lambda: FitJob(network=ArchitectureLine.of(job)), SamplesDone)
        else:
            done = await self._run(lambda: TrainJob.of(job, dry=True), SamplesDone)
        return done.counts()

    async def judge(self, job: JudgingJob, *, seconds: float) -> Judged:
        """Measure the children of a round and the bar on the same held-out samples. Raises TrainingFailed.

        What the job waits for its turn, or for a worker to load, is part of the `seconds`.
        """
        end = trio.current_time() + seconds
        done = await self._run(lambda: JudgeJob.of(job, max(end - trio.current_time(), 0.0)), JudgeDone)
        if len(done.children) != len(job.children):
            raise TrainingFailed(f"the worker judged {len(done.children)} children of {len(job.children)}")
        return done.judged()

    async def accuracy(self, architecture: Architecture, weights: Path, data: str) -> float:
        """Share of the held-out samples of the data spec `data` classified correctly. Raises TrainingFailed."""
        network = ArchitectureLine.of(architecture)
        done = await self._run(lambda: AccuracyJob(network=network, weights=str(weights), data=data), AccuracyDone)
        return done.accuracy

    async def samples(self) -> SampleCounts:
        """Samples to train and to judge with, counted before the worker loads torch.

        Raises TrainingFailed with what is wrong with the data.
        """
        return (await self._run(SamplesJob, SamplesDone, loaded=False)).counts()

    # --- one job ------------------------------------------------------------------------------------------------------

    async def _run(
        self,
        make_job: Callable[[], Line],
        expected: type[DoneT],
        *,
        on_progress: OnProgress | None = None,
        loaded: bool = True,
    ) -> DoneT:
        """Have one job done by a worker, by default a loaded one, within the deadline. Raises TrainingFailed."""
        _encode(make_job)  # a job that is not valid waits for nothing
        worker = await self._take_turn(loaded)
        try:
            answer = await self._ask(worker, _encode(make_job), on_progress or ignore)
        except trio.Cancelled:
            self._nursery.start_soon(self._withdraw, worker)
            raise
        except BaseException:
            self._turn.release()
            raise
        self._turn.release()
        if isinstance(answer, str):
            raise TrainingFailed(answer)
        if not isinstance(answer, expected):
            raise TrainingFailed(f"the worker answered with a {answer.kind} result")
        return answer

    async def _take_turn(self, loaded: bool) -> WorkerProcess:
        """Wait for a worker that has nothing else to do; release the turn after the job. Raises TrainingFailed."""
        self._wanted.set()
        if not loaded:  # its turn comes before that of the loading
            await self._turn.acquire()
            try:
                return await self._ready(loaded)
            except BaseException:
                self._turn.release()
                raise
        while True:
            worker = await self._ready(loaded)
            await self._turn.acquire()
            if worker is self._worker and worker.alive:
                return worker
            self._turn.release()

    async def _ready(self, loaded: bool) -> WorkerProcess:
        """Wait for a worker, loaded or not. Raises TrainingFailed while none can be had."""
        while True:
            if self.obstacle:
                raise TrainingFailed(self.obstacle)
            if self._worker is not None and self._worker.alive and (self._worker.loaded or not loaded):
                return self._worker
            await self._changed.wait()

    async def _ask(self, worker: WorkerProcess, line: bytes, on_progress: OnProgress) -> Done | str:
        """Ask; a worker that has not answered at the deadline of jobs is killed."""
        with trio.move_on_after(self._job_seconds):
            return await worker.ask(line, on_progress)
        worker.kill()
        return f"the worker gave no answer within {self._job_seconds:g} s and was killed"

    async def _withdraw(self, worker: WorkerProcess) -> None:
        try:
            await worker.withdraw()
        finally:
            self._turn.release()

    # --- a worker ready -----------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Have a loaded worker, once one is wanted: whatever ends it, the next one starts."""
        await self._wanted.wait()
        pause = 0.0
        while True:
            began = trio.current_time()
            try:
                await self._live()
            except TrainingFailed as failure:
                self._tell(str(failure))
            lived = trio.current_time() - began
            short = lived < LONGEST_PAUSE_SECONDS
            pause = min(max(FIRST_PAUSE_SECONDS, 2 * pause), LONGEST_PAUSE_SECONDS) if short else 0.0
            log.warning("the training worker is gone after %.0f s; another starts in %.0f s", lived, pause)
            await trio.sleep(pause)

    async def _live(self) -> None:
        """One worker's life, from its start to its end. Raises TrainingFailed when it cannot be started."""
        worker = self._worker = await WorkerProcess.start(self._command, self._env)
        try:
            async with trio.open_nursery() as nursery:
                self._tell(self.obstacle)
                nursery.start_soon(self._load, worker)
                await worker.watch()
        finally:
            self._worker = None
            await worker.close()

    async def _load(self, worker: WorkerProcess) -> None:
        """Have the worker load what jobs need. Nobody's job, so no cancellation of one reaches it."""
        answer: Done | str = f"the training worker has not loaded within {LOAD_SECONDS:g} s"
        async with self._turn:
            with trio.move_on_after(LOAD_SECONDS):
                answer = await worker.ask(_LOAD, ignore)
        worker.loaded = isinstance(answer, LoadDone)
        self._tell("" if worker.loaded else str(answer))
        if not worker.loaded:
            worker.kill()

    def _tell(self, obstacle: str) -> None:
        """Note what keeps jobs from a worker, and wake those that wait for one."""
        if obstacle and obstacle != self.obstacle:
            log.warning("the training worker is not ready: %s", obstacle)
        self.obstacle = obstacle
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def open_trainer(
    data_spec: str,
    *,
    judge_only: bool = False,
    compute: Compute | None = None,
    env: Mapping[str, str] | None = None,
    job_seconds: float = JOB_SECONDS,
    on_progress: OnProgress | None = None,
    worker: Sequence[str] = WORKER,
) -> AsyncIterator[SubprocessTrainer]:
    """Open a trainer on the peer's own data (see `data.load` for specs); nothing is started before the first job.

    A peer that is to `judge_only` judges by all of its samples, those to train on, too.
    `compute` is what training may use, by default one thread of the best device; `env` is the worker's environment, by
    default this process's without the node's private variables; `job_seconds` bounds each job; `on_progress` hears the
    finished fraction of a leg, in [0, 1], and must not block; `worker` is the command that answers to the job lines.
    """
    compute = compute or Compute()
    environment = {**(public_part(os.environ) if env is None else env), "OMP_NUM_THREADS": str(compute.threads)}
    command = [*worker, "--data", data_spec, "--compute", compute.model_dump_json()]
    if judge_only:
        command.append("--judge-only")
    with ungrouped():
        async with trio.open_nursery() as nursery:
            yield SubprocessTrainer(command, environment, job_seconds, on_progress or ignore, nursery)
            nursery.cancel_scope.cancel()


def public_part(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the node's private variables."""
    return {name: value for name, value in env.items() if not name.startswith(PRIVATE_PREFIX)}


def _encode(make_job: Callable[[], Line]) -> bytes:
    """Make a job's line. Raises TrainingFailed."""
    try:
        return encode(make_job())
    except ValidationError as error:
        first = error.errors()[0]
        raise TrainingFailed(f"the job is not valid: {first['loc'][-1]}: {first['msg']}") from error


_LOAD = encode(LoadJob())
