"""A trainer without torch: each tensor moves towards an optimum, and the loss is how far it still is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import trio
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.bar import candidates
from derelayl_training.jobs import (
    MIN_JUDGED_SAMPLES,
    Architecture,
    Bar,
    Judged,
    JudgedChild,
    JudgingJob,
    LegJob,
    LegResult,
    Record,
    SampleCounts,
    WeightsFile,
    too_few_to_judge,
)
from derelayl_training.saving import save_arrays

from ..ports import TrainingFailed

Weights = dict[str, NDArray[np.float32]]

FAKE_ARCHITECTURE = Architecture("fake", {"segments": 2, "width": 16})
"""The one kind of network that the fake knows: `segments` tensors of `width` numbers."""

FAKE_DATA = "fake"
"""The one data spec that the fake knows."""

FLOOR = 0.01
"""Loss in nats that no training goes below, so that its logarithm stays finite."""

OPTIMUM = 1.0
"""Where every number is best on data without a bias."""

SEED_NOISE = 0.1
"""By what share of the remaining distance the seed moves a number, so that two trainers' children differ."""


class FakeTrainer:
    """Implements ports.Trainer in memory and on real safetensors files, the same bytes for the same job.

    `bias` shifts the optimum of this peer's data, so that peers judge differently; a leg lasts `seconds` on trio's
    clock; `jobs` and `judgings` record what was asked for. A child is better than its parent unless that is at the
    optimum. Tests may set: `counts`, the samples that there are; `unfit`, why the data are not what a network takes;
    `pace`, held-out samples of one file that are measured in a second; `stuck`, whether judging never ends; `refused`,
    files that do not load.
    """

    def __init__(self, *, bias: float = 0.0, seconds: float = 0.0) -> None:
        self.jobs: list[LegJob] = []
        self.judgings: list[JudgingJob] = []
        self.counts = SampleCounts(train=100, held=100)
        self.unfit = ""
        self.pace = math.inf
        self.stuck = False
        self.refused: set[Path] = set()
        self._optimum = OPTIMUM + bias
        self._seconds = seconds
        self._failure: str | None = None

    def fail_next(self, reason: str) -> None:
        """Make the next call raise TrainingFailed with this reason, once."""
        self._failure = reason

    async def genesis(self, architecture: Architecture, seed: int, out: Path) -> WeightsFile:
        """Draw numbers from `seed` and write them. Raises TrainingFailed."""
        await self._begin()
        width, segments = _dimensions(architecture)
        rng = np.random.default_rng(seed)
        _write({_name(index): rng.normal(-1.0, 0.5, width).astype(np.float32) for index in range(segments)}, out)
        return WeightsFile(out, _segment_of(segments))

    async def train(self, job: LegJob) -> LegResult:
        """Move the leased segment towards the optimum, further with more steps, from the average of the tips if that is
        no worse than the parent. Raises TrainingFailed."""
        await self._begin()
        self.jobs.append(job)
        segments = _check(job)
        self._check_fits()
        weights = _read(job.parent, job.architecture)
        await trio.sleep(self._seconds)
        before = self._loss(weights)
        leased = range(segments) if job.segment == WHOLE_MODEL else [job.segment]
        started = self._start(job, weights, [_name(index) for index in leased])
        rng = np.random.default_rng(job.seed)
        for index in leased:
            weights[_name(index)] = self._moved(weights[_name(index)], job, rng)
        _write(weights, job.child)
        written = WeightsFile(job.child, _segment_of(segments))
        return LegResult(written, job.steps, job.steps * job.batch, before, self._loss(weights), started)

    async def check(self, job: LegJob | Architecture) -> SampleCounts:
        """Refuse a segment that does not exist, a leg of no steps and data that do not fit. Raises TrainingFailed."""
        await self._begin()
        if isinstance(job, Architecture):
            _dimensions(job)
        else:
            _check(job)
        self._check_fits()
        return self.counts

    async def judge(self, job: JudgingJob, *, seconds: float) -> Judged:
        """A loss is FLOOR plus the mean squared distance to this peer's optimum; None for a file that is refused.

        Samples are only counted: they do not change a loss, so children are one in function when their weights are the
        same. Raises TrainingFailed.
        """
        await self._begin()
        self.judgings.append(job)
        _dimensions(job.architecture)
        self._check_fits()
        if self.stuck:
            await trio.sleep_forever()
        if self.counts.held < MIN_JUDGED_SAMPLES:
            raise TrainingFailed(too_few_to_judge(self.counts.held))
        leased = sorted({child.parent for child in job.children})
        files = len(leased) + len(job.children)
        affordable = self.pace * seconds / files if seconds > 0 else 0
        if affordable < MIN_JUDGED_SAMPLES:
            raise TrainingFailed(f"within {seconds:g} s not even {MIN_JUDGED_SAMPLES} samples could be measured")
        tips = [self._weights_of(job.architecture, tip.path) for tip in job.tips]
        for place in leased:
            if tips[place] is None:
                raise TrainingFailed(f"the leased tip {job.tips[place].path.name} cannot be loaded here")
        children = [self._weights_of(job.architecture, child.path) for child in job.children]
        return Judged(
            samples=int(min(self.counts.held, affordable)),
            bar=min(self._bars(job, tips, leased), key=lambda bar: bar.loss),
            children=tuple(
                None if own is None else JudgedChild(self._loss(own), 0.0, _first_like(number, job, children))
                for number, own in enumerate(children)
            ),
            left_out=0,
        )

    async def accuracy(self, architecture: Architecture, weights: Path, data: str) -> float:
        """exp(-distance) on data without a bias: 1 at the optimum. Raises TrainingFailed."""
        await self._begin()
        if data != FAKE_DATA:
            raise TrainingFailed(f"data spec {data!r} is unknown; allowed is {FAKE_DATA}")
        return math.exp(-_distance(_read(weights, architecture), OPTIMUM))

    async def _begin(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._failure is not None:
            reason, self._failure = self._failure, None
            raise TrainingFailed(reason)

    def _check_fits(self) -> None:
        if self.unfit:
            raise TrainingFailed(self.unfit)

    def _start(self, job: LegJob, weights: Weights, leased: Sequence[str]) -> Record:
        """Put the average's leased tensors into the parent's `weights` where they are no worse; returns the record."""
        if not job.tips or not job.recipe.starts_anywhere:
            return {}
        tips = [tip for each in job.tips if (tip := self._weights_of(job.architecture, each.path)) is not None]
        mean = _mean([weights, *tips])
        average = {name: mean[name] if name in leased else own for name, own in weights.items()}
        if not tips or self._loss(average) > self._loss(weights):
            return {"start": "parent"}
        weights.update(average)
        return {"start": f"average of {len(tips) + 1}"}

    def _moved(self, tensor: NDArray[np.float32], job: LegJob, rng: np.random.Generator) -> NDArray[np.float32]:
        left = (1.0 - job.learning_rate) ** job.steps  # share of the distance that remains
        noise = 1.0 - SEED_NOISE * rng.random(tensor.shape)  # never further away than `left`
        moved: NDArray[np.float32] = (self._optimum + (tensor - self._optimum) * left * noise).astype(np.float32)
        return moved

    def _loss(self, weights: Weights) -> float:
        return FLOOR + _distance(weights, self._optimum)

    def _bars(self, job: JudgingJob, tips: Sequence[Weights | None], leased: Sequence[int]) -> Iterator[Bar]:
        for candidate in candidates([tip.segment for tip in job.tips], leased):
            members = [weights for place in candidate.tips if (weights := tips[place]) is not None]
            if len(members) < len(candidate.tips):
                continue
            if candidate.segment == WHOLE_MODEL:
                made = _mean(members)
            else:
                name = _name(candidate.segment)
                made = {**members[0], name: members[1][name]}
            yield Bar(self._loss(made), candidate.tips, candidate.segment)

    def _weights_of(self, architecture: Architecture, path: Path) -> Weights | None:
        """None where the port's word is that a file is refused."""
        try:
            return None if path in self.refused else _read(path, architecture)
        except TrainingFailed:
            return None


def _first_like(number: int, job: JudgingJob, children: Sequence[Weights | None]) -> int:
    """The first child of the same parent with the same weights, where copies are looked for at all."""
    own, parent = children[number], job.children[number].parent
    for place, other in enumerate(children[:number] if job.alike else ()):
        same = own is not None and other is not None and all(np.array_equal(own[name], other[name]) for name in own)
        if same and job.children[place].parent == parent:
            return place
    return number


def _check(job: LegJob) -> int:
    """Return how many segments the network has. Raises TrainingFailed."""
    _, segments = _dimensions(job.architecture)
    if job.segment != WHOLE_MODEL and not 0 <= job.segment < segments:
        raise TrainingFailed(f"segment {job.segment} does not exist; the network has {segments}")
    if job.steps < 1 or job.batch < 1 or not 0 < job.learning_rate < 1:
        raise TrainingFailed(f"{job.steps} steps of {job.batch} at learning rate {job.learning_rate} are no leg")
    return segments


def _dimensions(architecture: Architecture) -> tuple[int, int]:
    """Return (width, segments). Raises TrainingFailed for another architecture."""
    width, segments = (architecture.parameters.get(key) for key in ("width", "segments"))
    if architecture.name != "fake" or len(architecture.parameters) != 2:
        raise TrainingFailed(f"architecture {architecture.name!r} is unknown")
    if not isinstance(width, int) or not isinstance(segments, int) or width < 1 or segments < 1:
        raise TrainingFailed(f"width {width!r} and segments {segments!r} must be positive integers")
    return width, segments


def _name(segment: int) -> str:
    return f"segment{segment}.weight"


def _segment_of(segments: int) -> dict[str, int]:
    return {_name(index): index for index in range(segments)}


def _mean(members: Sequence[Weights]) -> Weights:
    return {name: np.mean([each[name] for each in members], axis=0, dtype=np.float32) for name in members[0]}


def _distance(weights: Weights, optimum: float) -> float:
    """Mean squared distance of all numbers to the optimum."""
    numbers = np.concatenate([weights[name] for name in sorted(weights)]).astype(np.float64)
    return float(np.mean((numbers - optimum) ** 2))


def _write(weights: Weights, path: Path) -> None:
    try:
        save_arrays(path, weights)
    except LocalFault as error:
        raise TrainingFailed(str(error)) from error


def _read(path: Path, architecture: Architecture) -> Weights:
    width, segments = _dimensions(architecture)
    try:
        weights = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise TrainingFailed(f"{path.name} is not a weights file: {error}") from error
    table = {name: (tensor.dtype, tensor.shape) for name, tensor in weights.items()}
    if table != {_name(index): (np.dtype(np.float32), (width,)) for index in range(segments)}:
        raise TrainingFailed(f"{path.name} holds the weights of another network")
    if not all(np.isfinite(tensor).all() for tensor in weights.values()):
        raise TrainingFailed(f"{path.name} holds numbers that are not finite")
    return weights
