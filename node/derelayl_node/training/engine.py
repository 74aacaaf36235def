"""What the worker does with a job, beneath the wire and above torch."""

from __future__ import annotations

import math
from pathlib import Path

from derelayl_protocol.errors import LocalFault

from . import data
from .jobs import (
    AccuracyDone,
    AccuracyJob,
    AnyJob,
    Done,
    GenesisDone,
    GenesisJob,
    LossesDone,
    LossesJob,
    SamplesDone,
    SamplesJob,
    TrainDone,
    TrainJob,
)
from .judge import losses_of_files, share_correct
from .models import build
from .train import Progress, configure_torch, run_leg, write_genesis
from .weights import load_weights


class Engine:
    """Holds this peer's data once it has been asked for; everything else comes with the job."""

    def __init__(self, data_spec: str, threads: int) -> None:
        configure_torch(threads)
        self._spec = data_spec
        self._own: data.Split | None = None

    def run(self, job: AnyJob, progress: Progress) -> Done:
        """Do one job. Raises LocalFault (job, data, disk) or PeerFault (a weights file)."""
        match job:
            case GenesisJob():
                return self._genesis(job)
            case TrainJob():
                return self._train(job, progress)
            case LossesJob():
                return self._losses(job)
            case AccuracyJob():
                return self._accuracy(job)
            case SamplesJob():
                own = self._load(self._spec)
                return SamplesDone(train=len(own.train_y), held=len(own.held_y))

    def _genesis(self, job: GenesisJob) -> GenesisDone:
        weights = write_genesis(job.network.architecture(), job.seed, Path(job.out))
        return GenesisDone(segment_of=dict(weights.segment_of))

    def _train(self, job: TrainJob, progress: Progress) -> TrainDone:
        result = run_leg(job.leg_job(), self._load(self._spec), progress)
        if not (math.isfinite(result.loss_before) and math.isfinite(result.loss_after)):
            raise LocalFault(f"the loss went from {result.loss_before} to {result.loss_after}")
        return TrainDone(
            segment_of=dict(result.weights.segment_of),
            steps=result.steps,
            samples=result.samples,
            loss_before=result.loss_before,
            loss_after=result.loss_after,
        )

    def _losses(self, job: LossesJob) -> LossesDone:
        model = build(job.network.architecture())
        split = self._load(self._spec)
        split.check_fits(model.input_shape, model.classes)
        files = [Path(path) for path in job.weights]
        return LossesDone(losses=list(losses_of_files(model, files, split.held_x, split.held_y)))

    def _accuracy(self, job: AccuracyJob) -> AccuracyDone:
        model = build(job.network.architecture())
        split = self._load(job.data)
        split.check_fits(model.input_shape, model.classes)
        load_weights(model, Path(job.weights))
        return AccuracyDone(accuracy=share_correct(model, split.held_x, split.held_y))

    def _load(self, spec: str) -> data.Split:
        if spec != self._spec:
            return data.load(spec)
        if self._own is None:
            self._own = data.load(spec)
        return self._own
