"""A worker without torch: it speaks the node's job lines and trains a few numbers, so that a peer costs little.

The command is that of `derelayl_training.worker`; its data spec is a JSON object of `Dials`. A network has two tensors
of WIDTH numbers, one a segment. Training shrinks the leased one; the loss is a weighted sum of squares, with weights of
each peer's own, so that judges differ a little. No floor: a relay goes on improving for thousands of legs.

Each step takes its share of the leg's seconds and is counted on disk before anything can be lost: the file
`steps/CHILD` beside the scratch folder has a byte for each step that was ever trained for this child, again or not. A
leg that was interrupted goes on from its last snapshot, as in the real worker.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.files import write_text
from derelayl_training.job_lines import (
    JOB,
    PING,
    PONG,
    WITHDRAWAL,
    AccuracyDone,
    AccuracyJob,
    AnyJob,
    BarLine,
    Done,
    FitJob,
    GenesisDone,
    GenesisJob,
    JudgeDone,
    JudgeJob,
    LoadDone,
    LoadJob,
    Loss,
    Reply,
    SamplesDone,
    SamplesJob,
    TrainDone,
    TrainJob,
    encode,
)
from derelayl_training.jobs import Architecture
from derelayl_training.saving import save_arrays

Weights = dict[str, NDArray[np.float32]]

WIDTH = 256
"""Numbers of a segment: a checkpoint of two kilobytes."""

SEGMENTS = 2
ARCHITECTURE = Architecture("two-tensors", {"width": WIDTH})
"""Not in the registry: nobody else has to build it."""

LIKENESS = 0.1
"""How far the judges' weights differ."""

SAMPLES = 100
ERROR = 0.001
"""Standard error of a measured gain, in nats."""

SNAPSHOTS = 10
"""Snapshots of a leg: a real one has one each minute of a leg of ten."""


@dataclass(frozen=True, slots=True)
class Dials:
    """What the worker's data spec says: the seed of its data, and how long a leg lasts."""

    seed: int = 0
    leg_seconds: float = 0.0

    def spec(self) -> str:
        """The data spec."""
        return json.dumps({"seed": self.seed, "leg_seconds": self.leg_seconds})


def dials_of(spec: str) -> Dials:
    """Read a data spec; those of a prepared devnet are taken for the default."""
    return Dials(**json.loads(spec)) if spec.startswith("{") else Dials()


def main() -> None:
    """Serve jobs until stdin closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--judge-only", action="store_true")
    parser.add_argument("--compute", default="{}")
    withdrawn = threading.Event()
    player = Player(dials_of(parser.parse_args().data), withdrawn)
    lines: list[bytes] = []
    come = threading.Semaphore(0)
    threading.Thread(target=_watch_parent, args=(lines, come, withdrawn), daemon=True).start()
    while True:
        come.acquire()
        try:
            reply = Reply(done=player.do(JOB.validate_json(lines.pop(0))))
        except (LocalFault, OSError) as error:
            reply = Reply(failed=str(error))
        _write(encode(reply))


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _watch_parent(lines: list[bytes], come: threading.Semaphore, withdrawn: threading.Event) -> None:
    for line in sys.stdin.buffer:
        if line == PING:
            _write(PONG)
            continue
        if line == WITHDRAWAL:
            withdrawn.set()
            continue
        withdrawn.clear()  # what was withdrawn before has been answered
        lines.append(line)
        come.release()
    os._exit(0)


class Player:
    """Does the jobs of one peer."""

    def __init__(self, dials: Dials, withdrawn: threading.Event) -> None:
        self._dials, self._withdrawn = dials, withdrawn
        weights = np.random.default_rng(dials.seed)
        self._importance = 1.0 + LIKENESS * weights.random(SEGMENTS * WIDTH)

    def do(self, job: AnyJob) -> Done:
        """Do one job. Raises LocalFault, OSError."""
        match job:
            case SamplesJob():
                return SamplesDone(train=SAMPLES, held=SAMPLES)
            case FitJob() | TrainJob(dry=True):
                return SamplesDone(train=SAMPLES, held=SAMPLES)
            case LoadJob():
                return LoadDone()
            case GenesisJob():
                draw = np.random.default_rng(job.seed)
                first = {_name(each): draw.normal(1.0, 0.3, WIDTH).astype(np.float32) for each in range(SEGMENTS)}
                save_arrays(Path(job.out), first)
                return GenesisDone(segment_of=_segment_of())
            case TrainJob():
                return self._train(job)
            case JudgeJob():
                return self._judge(job)
            case AccuracyJob():
                return AccuracyDone(accuracy=1.0 / (1.0 + self._loss(_read(Path(job.weights)))))

    def _train(self, job: TrainJob) -> TrainDone:
        weights = _read(Path(job.parent))
        before = self._loss(weights)
        self._take_steps(job)
        draw = np.random.default_rng(job.seed)
        left = (1.0 - job.learning_rate) ** job.steps  # share of each number that remains
        for segment in range(SEGMENTS):
            if job.segment in (segment, WHOLE_MODEL):
                noise = 1.0 - LIKENESS * draw.random(WIDTH)
                weights[_name(segment)] = (weights[_name(segment)] * left * noise).astype(np.float32)
        save_arrays(Path(job.child), weights)
        return TrainDone(
            segment_of=_segment_of(),
            steps=job.steps,
            samples=job.steps * job.batch,
            loss_before=before,
            loss_after=self._loss(weights),
            record={},
        )

    def _take_steps(self, job: TrainJob) -> None:
        child = Path(job.child)
        snapshot = child.with_name(f"{child.name}.snapshot")
        leg = f"{job.parent} {job.segment} {job.steps} {job.seed}"
        with _counting(child) as count:
            for step in range(_resumed(snapshot, leg), job.steps):
                if self._withdrawn.wait(self._dials.leg_seconds / job.steps):
                    raise LocalFault("nobody waits for this leg any more")
                count()
                if (step + 1) % max(1, job.steps // SNAPSHOTS) == 0:
                    write_text(snapshot, json.dumps({"leg": leg, "steps": step + 1}))
        snapshot.unlink(missing_ok=True)

    def _judge(self, job: JudgeJob) -> JudgeDone:
        """Every child is its own original; what anyone can make is the better of the tips. Raises LocalFault."""
        tips = {place: self._loss_of(Path(tip.path)) for place, tip in enumerate(job.tips)}
        if any(tips[child.parent] is None for child in job.children):
            raise LocalFault("a leased tip cannot be loaded here")
        bar, place = min((loss, place) for place, loss in tips.items() if loss is not None)
        losses = [self._loss_of(Path(child.path)) for child in job.children]
        return JudgeDone(
            samples=SAMPLES,
            bar=BarLine(loss=bar, tips=[place], segment=WHOLE_MODEL),
            children=[
                None if loss is None else Loss(loss=loss, error=ERROR, original=number)
                for number, loss in enumerate(losses)
            ],
            left_out=0,
        )

    def _loss_of(self, path: Path) -> float | None:
        try:
            loss = self._loss(_read(path))
        except LocalFault:
            return None
        return loss if np.isfinite(loss) and loss > 0 else None

    def _loss(self, weights: Weights) -> float:
        numbers = np.concatenate([weights[_name(each)] for each in range(SEGMENTS)]).astype(np.float64)
        return float(np.mean(self._importance * numbers**2))


@contextmanager
def _counting(child: Path) -> Iterator[Callable[[], int]]:
    folder = child.parent.with_name("steps")
    folder.mkdir(exist_ok=True)
    file = os.open(folder / child.stem, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        yield lambda: os.write(file, b".")
    finally:
        os.close(file)


def trained_steps(home: Path) -> dict[tuple[int, int], int]:
    """Steps that the workers of a peer ever trained, by round and leg."""
    files = (home / "steps").glob("child-*")
    return {(int(name[1]), int(name[2])): path.stat().st_size for path in files if (name := path.stem.split("-"))}


def _resumed(snapshot: Path, leg: str) -> int:
    if not snapshot.exists():
        return 0
    document = json.loads(snapshot.read_text())
    return int(document["steps"]) if document["leg"] == leg else 0


def _name(segment: int) -> str:
    return f"segment{segment}.weight"


def _segment_of() -> dict[str, int]:
    return {_name(index): index for index in range(SEGMENTS)}


def _read(path: Path) -> Weights:
    try:
        weights = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise LocalFault(f"{path.name} is not a weights file: {error}") from error
    table = {name: (tensor.dtype, tensor.shape) for name, tensor in weights.items()}
    if table != {_name(index): (np.dtype(np.float32), (WIDTH,)) for index in range(SEGMENTS)}:
        raise LocalFault(f"{path.name} holds the weights of another network")
    return weights


if __name__ == "__main__":
    main()
