"""What a node and its training worker say to each other: one JSON object a line, strictly validated on both sides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from derelayl_protocol.limits import MAX_BIDS, MAX_TEXT, MAX_TIPS, MIB
from derelayl_protocol.types import WHOLE_MODEL

from .bar import MAX_BAR_TIPS, MAX_CANDIDATES
from .jobs import (
    Architecture,
    Bar,
    ChildFile,
    Judged,
    JudgedChild,
    JudgingJob,
    LegJob,
    LegResult,
    SampleCounts,
    TipFile,
)
from .recipe import Recipe

MAX_LINE_BYTES = 8 * MIB
"""One line: the segment map of MAX_TENSORS names of MAX_TEXT characters each."""

MAX_REASON = 2000
"""Characters of a failure's reason."""

MAX_STEPS = 1_000_000
"""Steps of one leg; weeks of computing, beyond any phase."""

MAX_BATCH = 65_536
"""Samples of one step."""

MAX_PATH = 4096
"""Characters of a path; the limit of Linux."""


class Line(BaseModel):
    """Base of all lines: nothing coerced, nothing unknown, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


PathText = Annotated[str, Field(min_length=1, max_length=MAX_PATH)]
Settings = dict[str, int | str | bool]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Segment = Annotated[int, Field(ge=0, le=WHOLE_MODEL)]


class ArchitectureLine(Line):
    name: Annotated[str, Field(max_length=MAX_TEXT)]
    parameters: Settings

    @classmethod
    def of(cls, architecture: Architecture) -> ArchitectureLine:
        return cls(name=architecture.name, parameters=dict(architecture.parameters))

    def architecture(self) -> Architecture:
        return Architecture(self.name, self.parameters)


class GenesisJob(Line):
    kind: Literal["genesis"] = "genesis"
    network: ArchitectureLine
    seed: Seed
    out: PathText


class Tip(Line):
    path: PathText
    segment: Segment

    @classmethod
    def of(cls, tip: TipFile) -> Tip:
        return cls(path=str(tip.path), segment=tip.segment)

    def file(self) -> TipFile:
        return TipFile(Path(self.path), self.segment)


class TrainJob(Line):
    kind: Literal["train"] = "train"
    dry: bool = False  # only find out whether it could run
    network: ArchitectureLine
    parent: PathText
    child: PathText
    segment: Segment
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    batch: Annotated[int, Field(ge=1, le=MAX_BATCH)]
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    seed: Seed
    recipe: Recipe
    history: Settings
    tips: Annotated[list[Tip], Field(max_length=MAX_BAR_TIPS - 1)]
    choosing_seconds: Annotated[float, Field(ge=0)]

    @classmethod
    def of(cls, job: LegJob, *, dry: bool = False) -> TrainJob:
        return cls(
            dry=dry,
            network=ArchitectureLine.of(job.architecture),
            parent=str(job.parent),
            child=str(job.child),
            segment=job.segment,
            steps=job.steps,
            batch=job.batch,
            learning_rate=job.learning_rate,
            seed=job.seed,
            recipe=job.recipe,
            history=dict(job.history),
            tips=[Tip.of(tip) for tip in job.tips],
            choosing_seconds=job.choosing_seconds,
        )

    def leg_job(self) -> LegJob:
        return LegJob(
            architecture=self.network.architecture(),
            parent=Path(self.parent),
            child=Path(self.child),
            segment=self.segment,
            steps=self.steps,
            batch=self.batch,
            learning_rate=self.learning_rate,
            seed=self.seed,
            recipe=self.recipe,
            history=self.history,
            tips=[tip.file() for tip in self.tips],
            choosing_seconds=self.choosing_seconds,
        )


class FitJob(Line):
    """Whether the peer's data are what this network takes."""

    kind: Literal["fit"] = "fit"
    network: ArchitectureLine


class Child(Line):
    path: PathText
    parent: Annotated[int, Field(ge=0, lt=MAX_TIPS)]


class JudgeJob(Line):
    kind: Literal["judge"] = "judge"
    network: ArchitectureLine
    tips: Annotated[list[Tip], Field(min_length=1, max_length=MAX_TIPS)]
    children: Annotated[list[Child], Field(min_length=1, max_length=MAX_BIDS)]
    alike: Annotated[float, Field(ge=0, le=1)]
    seed: Seed
    seconds: Annotated[float, Field(ge=0)]  # for all files together

    @model_validator(mode="after")
    def _parents_are_there(self) -> JudgeJob:
        if any(child.parent >= len(self.tips) for child in self.children):
            raise ValueError("a child continues a tip that is not named")
        return self

    @classmethod
    def of(cls, job: JudgingJob, seconds: float) -> JudgeJob:
        return cls(
            network=ArchitectureLine.of(job.architecture),
            tips=[Tip.of(tip) for tip in job.tips],
            children=[Child(path=str(child.path), parent=child.parent) for child in job.children],
            alike=job.alike,
            seed=job.seed,
            seconds=seconds,
        )

    def judging(self) -> JudgingJob:
        return JudgingJob(
            architecture=self.network.architecture(),
            tips=[tip.file() for tip in self.tips],
            children=[ChildFile(Path(child.path), child.parent) for child in self.children],
            alike=self.alike,
            seed=self.seed,
        )


class AccuracyJob(Line):
    kind: Literal["accuracy"] = "accuracy"
    network: ArchitectureLine
    weights: PathText
    data: PathText


class SamplesJob(Line):
    kind: Literal["samples"] = "samples"


class LoadJob(Line):
    """Load torch and the data, so that no later job waits for them."""

    kind: Literal["load"] = "load"


AnyJob = GenesisJob | TrainJob | FitJob | JudgeJob | AccuracyJob | SamplesJob | LoadJob
Job = Annotated[AnyJob, Field(discriminator="kind")]


class GenesisDone(Line):
    kind: Literal["genesis"] = "genesis"
    segment_of: dict[str, int]


class TrainDone(Line):
    kind: Literal["train"] = "train"
    segment_of: dict[str, int]
    steps: int
    samples: int
    loss_before: float
    loss_after: float
    record: Settings

    @classmethod
    def of(cls, result: LegResult) -> TrainDone:
        return cls(
            segment_of=dict(result.weights.segment_of),
            steps=result.steps,
            samples=result.samples,
            loss_before=result.loss_before,
            loss_after=result.loss_after,
            record=dict(result.record),
        )


class BarLine(Line):
    loss: float
    tips: Annotated[list[int], Field(min_length=1, max_length=MAX_BAR_TIPS)]
    segment: Segment


class Loss(Line):
    loss: float
    error: Annotated[float, Field(ge=0)] | None
    original: Annotated[int, Field(ge=0, lt=MAX_BIDS)]


class JudgeDone(Line):
    kind: Literal["judge"] = "judge"
    samples: Annotated[int, Field(ge=1)]
    bar: BarLine
    children: Annotated[list[Loss | None], Field(max_length=MAX_BIDS)]
    left_out: Annotated[int, Field(ge=0, le=MAX_CANDIDATES)]

    @classmethod
    def of(cls, judged: Judged) -> JudgeDone:
        bar = judged.bar
        return cls(
            samples=judged.samples,
            bar=BarLine(loss=bar.loss, tips=list(bar.tips), segment=bar.segment),
            children=[
                None if each is None else Loss(loss=each.loss, error=each.error, original=each.original)
                for each in judged.children
            ],
            left_out=judged.left_out,
        )

    def judged(self) -> Judged:
        return Judged(
            samples=self.samples,
            bar=Bar(self.bar.loss, tuple(self.bar.tips), self.bar.segment),
            children=tuple(
                None if each is None else JudgedChild(each.loss, each.error, each.original) for each in self.children
            ),
            left_out=self.left_out,
        )


class AccuracyDone(Line):
    kind: Literal["accuracy"] = "accuracy"
    accuracy: Annotated[float, Field(ge=0, le=1)]


class SamplesDone(Line):
    kind: Literal["samples"] = "samples"
    train: Annotated[int, Field(ge=0)]
    held: Annotated[int, Field(ge=0)]

    def counts(self) -> SampleCounts:
        return SampleCounts(self.train, self.held)


class LoadDone(Line):
    kind: Literal["load"] = "load"


Done = GenesisDone | TrainDone | JudgeDone | AccuracyDone | SamplesDone | LoadDone


class Reply(Line):
    """One line from the worker: exactly one field is set; `done` and `failed` end the job, `alive` answers a ping."""

    progress: Annotated[float, Field(ge=0, le=1)] | None = None
    failed: Annotated[str, Field(max_length=MAX_REASON)] | None = None
    done: Annotated[Done, Field(discriminator="kind")] | None = None
    alive: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_is_set(self) -> Reply:
        if sum(field is not None for field in (self.progress, self.failed, self.done, self.alive)) != 1:
            raise ValueError("exactly one of progress, failed, done and alive must be set")
        return self


JOB: TypeAdapter[AnyJob] = TypeAdapter(Job)


class Withdrawal(Line):
    """Not a job: nobody waits for the answer to the last one any more."""

    withdraw: Literal[True] = True


class Ping(Line):
    """Not a job: is anybody there?"""

    ping: Literal[True] = True


def encode(line: Line) -> bytes:
    """Encode one line with its newline."""
    return line.model_dump_json().encode() + b"\n"


WITHDRAWAL = encode(Withdrawal())
"""The line itself, which a worker notices while it works; it answers the job as failed as soon as it can."""

PING = encode(Ping())
"""Answered with `PONG` at once by the watching thread, also in the middle of a job; a stopped process cannot."""

PONG = encode(Reply(alive=True))
