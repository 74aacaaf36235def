"""What the worker does with a job, beneath the wire and above torch."""

from __future__ import annotations

from pathlib import Path

from derelayl_protocol.errors import LocalFault

from . import data
from .architectures import SegmentedModel, build
from .compute import Compute
from .distributed import run_leg_in_processes
from .job_lines import (
    AccuracyDone,
    AccuracyJob,
    AnyJob,
    ArchitectureLine,
    Done,
    FitJob,
    GenesisDone,
    GenesisJob,
    JudgeDone,
    JudgeJob,
    LoadDone,
    LoadJob,
    SamplesDone,
    SamplesJob,
    TrainDone,
    TrainJob,
)
from .jobs import MIN_JUDGED_SAMPLES, too_few_to_judge
from .judge import judge, share_correct
from .methods import make_method
from .own_data import OwnData
from .resources import open_resources
from .split import Split
from .start import choose_start
from .train import Notice, Progress, configure_torch, open_leg, run_leg, write_genesis
from .weights import load_weights


class Engine:
    """Holds this peer's data; everything else comes with the job."""

    def __init__(self, own: OwnData, compute: Compute) -> None:
        configure_torch(compute.threads)
        self._own = own
        self._compute = compute
        self._resources = open_resources(compute)

    def run(self, job: AnyJob, progress: Progress, notice: Notice) -> Done:
        """Do one job; `notice` is called between steps and batches, and what it raises ends the job.

        Raises LocalFault (job, data, disk) or PeerFault (a weights file).
        """
        match job:
            case GenesisJob():
                return self._genesis(job)
            case TrainJob():
                return self._train(job, progress, notice)
            case FitJob():
                self._fitting(self._build(job.network), self._own.load())
                return self._own.samples()
            case JudgeJob():
                return self._judge(job, notice)
            case AccuracyJob():
                return self._accuracy(job)
            case SamplesJob():
                return self._own.samples()
            case LoadJob():
                return LoadDone()

    def _genesis(self, job: GenesisJob) -> GenesisDone:
        weights = write_genesis(job.network.architecture(), job.seed, Path(job.out))
        return GenesisDone(segment_of=dict(weights.segment_of))

    def _train(self, job: TrainJob, progress: Progress, notice: Notice) -> TrainDone | SamplesDone:
        if job.dry:
            leg = open_leg(job.leg_job(), self._own.load(), self._resources)
            make_method(job.recipe).prepare(leg)
            return self._own.samples()
        choose_start(job.leg_job(), self._own.load(), self._resources.device, notice)
        if self._compute.processes > 1:
            return run_leg_in_processes(job, self._own.spec, self._compute, progress)
        return TrainDone.of(run_leg(job.leg_job(), self._own.load(), progress, self._resources, notice))

    def _judge(self, job: JudgeJob, notice: Notice) -> JudgeDone:
        model = self._build(job.network)
        split = self._fitting(model, self._own.load())
        if len(split.held_y) < MIN_JUDGED_SAMPLES:
            raise LocalFault(too_few_to_judge(len(split.held_y)))
        return JudgeDone.of(judge(model, job.judging(), split.held_x, split.held_y, seconds=job.seconds, notice=notice))

    def _accuracy(self, job: AccuracyJob) -> AccuracyDone:
        model = self._build(job.network)
        split = self._fitting(model, self._own.load() if job.data == self._own.spec else data.load(job.data))
        load_weights(model, Path(job.weights))
        return AccuracyDone(accuracy=share_correct(model, split.held_x, split.held_y))

    def _fitting(self, model: SegmentedModel, split: Split) -> Split:
        split.check_fits(model.input_shape, model.classes, model.input_kind)
        return split

    def _build(self, network: ArchitectureLine) -> SegmentedModel:
        return build(network.architecture()).to(self._resources.device)
