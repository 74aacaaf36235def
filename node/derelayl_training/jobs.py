"""What training is asked to do and what it answers: the words that a node and its training process share.

Nothing here needs torch; `job_lines` writes these as lines of JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from derelayl_protocol.types import WHOLE_MODEL

from .recipe import DEFAULT, Recipe

MIN_JUDGED_SAMPLES = 16
"""Held-out samples below which a comparison of two networks is no verdict: its error could not be told well enough."""

DRAWN_SHARE = 0.75
"""Share of the held-out samples that a seat judges a round by. Scores are public, and whoever sees enough of them on
the same samples can fit these; a fresh draw adds noise of half the sampling error, and costs a seventh more of it."""

Record = Mapping[str, int | str | bool]
"""How a checkpoint was trained, as it stands in its manifest."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network from the registry of our own modules; parameters are integers, strings or booleans."""

    name: str
    parameters: Mapping[str, int | str | bool]


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A safetensors file and the segment that each of its tensors belongs to."""

    path: Path
    segment_of: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TipFile:
    """The weights of a tip, and the segment that its own leg has trained; WHOLE_MODEL for a genesis, too."""

    path: Path
    segment: int = WHOLE_MODEL


@dataclass(frozen=True, slots=True)
class LegJob:
    """Train one segment of `parent` for `steps` optimiser steps on the peer's own data and write `child`.

    `history` is the record of how the parent was trained, from its manifest. `tips` are the round's other tips in their
    order: the leg starts from their average with the parent unless that is surely worse than the parent, as far as
    `choosing_seconds` suffice to find out, and the record of its training says from what.
    """

    architecture: Architecture
    parent: Path
    child: Path
    segment: int
    steps: int
    batch: int
    learning_rate: float
    seed: int
    recipe: Recipe = DEFAULT
    history: Record = field(default_factory=dict)
    tips: Sequence[TipFile] = ()
    choosing_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LegResult:
    """Losses are mean cross-entropies in nats on the peer's own training data; they stay at the peer.

    `record` is what the method adds to the manifest's record of the training.
    """

    weights: WeightsFile
    steps: int
    samples: int
    loss_before: float
    loss_after: float
    record: Record = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """Mean loss in nats of one of several files; `error` is the standard error of ln(first file's loss / this loss).

    All files of one judging were measured on the same `samples` samples. The error is None where it cannot be told: the
    first file has no loss, or there is one sample only.
    """

    mean: float
    error: float | None
    samples: int


@dataclass(frozen=True, slots=True)
class ChildFile:
    """The weights of a leg's child, and the place of the tip that it continues among those of the judging."""

    path: Path
    parent: int


@dataclass(frozen=True, slots=True)
class JudgingJob:
    """Measure the children of a round beside what anyone can make of its tips, all on the same held-out samples.

    Tips stand in their order, the leased ones among them. Children whose changes of loss correlate at `alike`, in
    [0, 1], or more are one in function; 0 compares none. `seed` draws the samples; nobody else must know it before.
    """

    architecture: Architecture
    tips: Sequence[TipFile]
    children: Sequence[ChildFile]
    alike: float
    seed: int


@dataclass(frozen=True, slots=True)
class JudgedChild:
    """A child's mean loss in nats, the standard error of ln(the bar's loss / this loss), and its original: the place of
    the first child of the same parent that is one with it in function, or its own."""

    loss: float
    error: float | None
    original: int


@dataclass(frozen=True, slots=True)
class Bar:
    """The least loss that anyone could reach without training, in nats, and the places of the tips that reach it.

    One tip as it is, the plain average of several, or the first with the second's `segment` where that is not
    WHOLE_MODEL.
    """

    loss: float
    tips: tuple[int, ...]
    segment: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judging has found; None for a child whose file is refused, or gives no finite loss.

    `left_out` are things that anyone could make for which there was no time.
    """

    samples: int
    bar: Bar
    children: tuple[JudgedChild | None, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class SampleCounts:
    """How many samples a peer has to train on and, held out, to judge with."""

    train: int
    held: int


def drawn(held: int) -> int:
    """How many of so many held-out samples a seat judges a round by: a fresh part of them each time."""
    return min(held, max(MIN_JUDGED_SAMPLES, math.ceil(held * DRAWN_SHARE)))


def too_few_to_judge(held: int) -> str:
    """Say that so many held-out samples make no verdict."""
    return (
        f"the data have {held} held-out samples, and a validator needs {MIN_JUDGED_SAMPLES} for a verdict: name data "
        f"with more of them with --data"
    )
