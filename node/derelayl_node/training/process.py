"""The Trainer port over a worker process: a crash, a hang or a cancellation costs the worker and never the node."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import trio
import trio.abc
from pydantic import ValidationError

from derelayl_training.compute import Compute
from derelayl_training.job_lines import (
    MAX_LINE_BYTES,
    AccuracyDone,
    AccuracyJob,
    ArchitectureLine,
    CheckDone,
    Done,
    GenesisDone,
    GenesisJob,
    Line,
    LossesDone,
    LossesJob,
    Reply,
    SamplesDone,
    SamplesJob,
    TrainDone,
    TrainJob,
    encode,
)
from derelayl_training.jobs import Architecture, HeldOutLoss, LegJob, LegResult, WeightsFile

from ..ports import TrainingFailed

JOB_SECONDS = 6 * 3600.0
"""Deadline of one job where the caller sets none; a leg's lease is usually far shorter."""

KILL_SECONDS = 5.0
"""How long a killed worker may take to disappear, and its last words to arrive."""

STDERR_TAIL_BYTES = 2000
"""How much of a dead worker's stderr an error shows."""

READ_BYTES = 64 * 1024
"""One read from the worker; the size of a Linux pipe."""

PRIVATE_PREFIX = "DERELAYL_"
"""Environment variables of the node (settings, keys) that a worker is not given."""

WORKER_MODULE = "derelayl_training.worker"

OnProgress = Callable[[float], None]

DoneT = TypeVar("DoneT", bound=Done)


class WorkerProcess:
    """One life of a worker: started once, asked one job at a time, killed at the end."""

    def __init__(
        self,
        process: trio.Process,
        stdin: trio.abc.SendStream,
        stdout: trio.abc.ReceiveStream,
        stderr: trio.abc.ReceiveStream,
    ) -> None:
        self._process = process
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._unread = bytearray()
        self._tail = bytearray()

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str]) -> WorkerProcess:
        """Start the process. Raises TrainingFailed."""
        pipe = subprocess.PIPE
        try:
            process = await trio.lowlevel.open_process(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
        except OSError as error:
            raise TrainingFailed(f"the training worker cannot be started: {error}") from error
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("trio gave a process without the pipes that were asked for")
        return cls(process, process.stdin, process.stdout, process.stderr)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    async def ask(self, line: bytes, on_progress: OnProgress) -> Done | str:
        """Send one job and wait for its end: the result, or the reason why there is none (then look at `alive`)."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._collect_stderr)
            answer = await self._exchange(line, on_progress)
            # a dead worker's last words may still be in the pipe; a living one keeps the pipe open
            patience = KILL_SECONDS if answer is None else 0.0
            nursery.cancel_scope.deadline = trio.current_time() + patience
        return await self._obituary() if answer is None else answer

    async def kill(self) -> None:
        """End the process and free its pipes, also when cancelled."""
        with trio.CancelScope(shield=True):
            self._process.kill()
            with trio.move_on_after(KILL_SECONDS):
                await self._process.wait()
            for stream in (self._stdin, self._stdout, self._stderr):
                await stream.aclose()

    async def _exchange(self, line: bytes, on_progress: OnProgress) -> Done | str | None:
        """Return the result, the worker's reason for refusing, or None when it died or talked nonsense."""
        try:
            await self._stdin.send_all(line)
            while (reply_line := await self._read_line()) is not None:
                reply = Reply.model_validate_json(reply_line)
                if reply.progress is None:
                    return reply.done or reply.failed
                on_progress(reply.progress)
        except trio.BrokenResourceError:
            return None  # the obituary says more than the broken pipe
        except ValidationError as error:
            self._tail += f"\nits answer has {error.error_count()} invalid fields".encode()
            self._process.kill()
        return None

    async def _read_line(self) -> bytes | None:
        """Return the next line; None at the end of the stream. A line above MAX_LINE_BYTES kills the worker."""
        searched = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            if searched > MAX_LINE_BYTES:
                self._process.kill()
                return None
            data = await self._stdout.receive_some(READ_BYTES)
            if not data:
                return None
            self._unread += data
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line

    async def _collect_stderr(self) -> None:
        while data := await self._stderr.receive_some(READ_BYTES):
            self._tail += data
            del self._tail[:-STDERR_TAIL_BYTES]

    async def _obituary(self) -> str:
        """Say how the process ended, if need be by our hand, and the last it wrote to stderr."""
        with trio.move_on_after(KILL_SECONDS):
            await self._process.wait()
        if self.alive:
            await self.kill()
        tail = self._tail.decode(errors="replace").strip()
        return f"the training worker ended with status {self._process.returncode}" + (f": {tail}" if tail else "")


class SubprocessTrainer:
    """Implements ports.Trainer. The worker is started by the first job, and again by the first after its death.

    Jobs run one at a time in the order they came. Cancelling a job kills the worker. Files appear atomically.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], job_seconds: float, on_progress: OnProgress
    ) -> None:
        self._command = tuple(command)
        self._env = dict(env)
        self._job_seconds = job_seconds
        self._on_progress = on_progress
        self._lock = trio.StrictFIFOLock()
        self._worker: WorkerProcess | None = None

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
        done = await self._run(lambda: TrainJob.of(job), TrainDone)
        weights = WeightsFile(job.child, done.segment_of)
        return LegResult(weights, done.steps, done.samples, done.loss_before, done.loss_after, done.record)

    async def check(self, job: LegJob) -> None:
        """Find out whether a leg could run. Raises TrainingFailed."""
        await self._run(lambda: TrainJob.of(job, dry=True), CheckDone)

    async def losses(self, architecture: Architecture, weights: Sequence[Path]) -> tuple[HeldOutLoss | None, ...]:
        """Measure each file on the held-out data, None for a refused one. Raises TrainingFailed."""
        files = [str(path) for path in weights]
        done = await self._run(lambda: LossesJob(network=ArchitectureLine.of(architecture), weights=files), LossesDone)
        if len(done.losses) != len(files):
            raise TrainingFailed(f"the worker judged {len(done.losses)} files of {len(files)}")
        return tuple(None if loss is None else HeldOutLoss(loss.mean, loss.error) for loss in done.losses)

    async def accuracy(self, architecture: Architecture, weights: Path, data: str) -> float:
        """Share of the held-out samples of the data spec `data` classified correctly. Raises TrainingFailed."""
        network = ArchitectureLine.of(architecture)
        done = await self._run(lambda: AccuracyJob(network=network, weights=str(weights), data=data), AccuracyDone)
        return done.accuracy

    async def samples(self) -> tuple[int, int]:
        """Samples to train and to judge with. Loads torch and the data, so that no later job waits for them.

        Raises TrainingFailed with what is wrong with the data.
        """
        done = await self._run(SamplesJob, SamplesDone)
        return done.train, done.held

    async def close(self) -> None:
        """Kill the worker, if one runs."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.kill()

    async def _run(self, make_job: Callable[[], Line], expected: type[DoneT]) -> DoneT:
        """Have one job done by a living worker within the deadline. Raises TrainingFailed."""
        try:
            line = encode(make_job())
        except ValidationError as error:
            first = error.errors()[0]
            raise TrainingFailed(f"the job is not valid: {first['loc'][-1]}: {first['msg']}") from error
        async with self._lock:
            answer = await self._ask(await self._living_worker(), line)
        if isinstance(answer, str):
            raise TrainingFailed(answer)
        if not isinstance(answer, expected):
            raise TrainingFailed(f"the worker answered with a {answer.kind} result")
        return answer

    async def _living_worker(self) -> WorkerProcess:
        if self._worker is None or not self._worker.alive:
            await self.close()
            self._worker = await WorkerProcess.start(self._command, self._env)
        return self._worker

    async def _ask(self, worker: WorkerProcess, line: bytes) -> Done | str:
        """Ask; whatever ends the asking before the worker has answered also ends the worker."""
        answer: Done | str | None = None
        try:
            with trio.move_on_after(self._job_seconds):
                answer = await worker.ask(line, self._on_progress)
        finally:
            if answer is None or not worker.alive:
                await self.close()
        return answer or f"the worker gave no answer within {self._job_seconds:g} s and was killed"


@asynccontextmanager
async def open_trainer(
    data_spec: str,
    *,
    compute: Compute | None = None,
    env: Mapping[str, str] | None = None,
    job_seconds: float = JOB_SECONDS,
    on_progress: OnProgress | None = None,
) -> AsyncIterator[SubprocessTrainer]:
    """Open a trainer on the peer's own data (see `data.load` for specs); nothing is started before the first job.

    `compute` is what training may use, by default one thread of the best device; `env` is the worker's environment, by
    default this process's without the node's private variables; `job_seconds` bounds each job; `on_progress` hears the
    finished fraction of a leg, in [0, 1], and must not block.
    """
    compute = compute or Compute()
    environment = {**(public_part(os.environ) if env is None else env), "OMP_NUM_THREADS": str(compute.threads)}
    # -P: the folder the node happens to run in is no place to import code from
    command = [sys.executable, "-P", "-m", WORKER_MODULE, "--data", data_spec]
    command += ["--compute", compute.model_dump_json()]
    trainer = SubprocessTrainer(command, environment, job_seconds, on_progress or _ignore)
    try:
        yield trainer
    finally:
        await trainer.close()


def public_part(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the node's private variables."""
    return {name: value for name, value in env.items() if not name.startswith(PRIVATE_PREFIX)}


def _ignore(_fraction: float) -> None:
    """Hear nothing."""
