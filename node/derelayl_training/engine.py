"""What the worker does with a job, beneath the wire and above torch."""

from __future__ import annotations

from pathlib import Path

from . import data
from .architectures import SegmentedModel, build
from .compute import Compute
from .distributed import run_leg_in_processes
from .job_lines import (
    AccuracyDone,
    AccuracyJob,
    AnyJob,
    ArchitectureLine,
    CheckDone,
    Done,
    GenesisDone,
    GenesisJob,
    Loss,
    LossesDone,
    LossesJob,
    SamplesJob,
    TrainDone,
    TrainJob,
)
from .judge import losses_of_files, share_correct
from .methods import make_method
from .own_data import OwnData
from .resources import open_resources
from .train import Progress, configure_torch, open_leg, run_leg, write_genesis
from .weights import load_weights


class Engine:
    """Holds this peer's data; everything else comes with the job."""

    def __init__(self, own: OwnData, compute: Compute) -> None:
        configure_torch(compute.threads)
        self._own = own
        self._compute = compute
        self._resources = open_resources(compute)

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
                return self._own.samples()

    def _genesis(self, job: GenesisJob) -> GenesisDone:
        weights = write_genesis(job.network.architecture(), job.seed, Path(job.out))
        return GenesisDone(segment_of=dict(weights.segment_of))

    def _train(self, job: TrainJob, progress: Progress) -> TrainDone | CheckDone:
        if job.dry:
            leg = open_leg(job.leg_job(), self._own.load(), self._resources)
            make_method(job.recipe).prepare(leg)
            return CheckDone()
        if self._compute.processes > 1:
            return run_leg_in_processes(job, self._own.spec, self._compute, progress)
        return TrainDone.of(run_leg(job.leg_job(), self._own.load(), progress, self._resources))

    def _losses(self, job: LossesJob) -> LossesDone:
        model = self._build(job.network)
        split = self._own.load()
        split.check_fits(model.input_shape, model.classes, model.input_kind)
        files = [Path(path) for path in job.weights]
        measured = losses_of_files(model, files, split.held_x, split.held_y)
        return LossesDone(
            losses=[None if each is None else Loss(mean=each.mean, error=each.error) for each in measured]
        )

    def _accuracy(self, job: AccuracyJob) -> AccuracyDone:
        model = self._build(job.network)
        split = self._own.load() if job.data == self._own.spec else data.load(job.data)
        split.check_fits(model.input_shape, model.classes, model.input_kind)
        load_weights(model, Path(job.weights))
        return AccuracyDone(accuracy=share_correct(model, split.held_x, split.held_y))

    def _build(self, network: ArchitectureLine) -> SegmentedModel:
        return build(network.architecture()).to(self._resources.device)
