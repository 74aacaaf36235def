"""A data set of two easy classes and a network small enough to train in milliseconds."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.jobs import Architecture, ChildFile, JudgingJob, LegJob, TipFile

SIDE = 8
ARCHITECTURE = Architecture("small-cnn", {"channels": 1, "height": SIDE, "width": SIDE, "classes": 2, "stem": 4})
OTHER_ARCHITECTURE = Architecture("small-cnn", {"channels": 1, "height": SIDE, "width": SIDE, "classes": 2, "stem": 8})


def tiny_images(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright left half (class 0) or right half (class 1): images (N, 1, 8, 8) uint8, labels (N,) int64."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, samples)
    images = rng.integers(0, 128, (samples, 1, SIDE, SIDE), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, :, label * SIDE // 2 : (label + 1) * SIDE // 2] += 100
    return images, labels


def tiny_tensors(train: int = 64, held: int = 32) -> dict[str, np.ndarray]:
    """The four tensors of a shard."""
    images, labels = tiny_images(train + held)
    return {
        "train_images": images[:train].copy(),
        "train_labels": labels[:train].copy(),
        "held_images": images[train:].copy(),
        "held_labels": labels[train:].copy(),
    }


def tiny_shard(folder: Path, **replaced: np.ndarray) -> Path:
    """Write a shard file, with some tensors replaced."""
    path = folder / "shard.safetensors"
    save_file({**tiny_tensors(), **replaced}, path)
    return path


def tiny_leg(parent: Path, child: Path, segment: int = WHOLE_MODEL, steps: int = 20, rate: float = 0.05) -> LegJob:
    return LegJob(ARCHITECTURE, parent, child, segment, steps, 16, rate, seed=3)


def judging(
    parent: Path, *children: Path, architecture: Architecture = ARCHITECTURE, tips: Sequence[Path] = (), seed: int = 1
) -> JudgingJob:
    """Judge children of one parent, beside other tips of the round that are whole models."""
    files = [TipFile(path) for path in (parent, *tips)]
    return JudgingJob(architecture, files, [ChildFile(path, 0) for path in children], alike=0.95, seed=seed)


def silent(_fraction: float) -> None:
    """Hear of a leg's course and do nothing."""


class Crash(Exception):
    """What ends a leg half way."""


def crash_at(part: float) -> Callable[[float], None]:
    """A progress callback that ends the leg once that part of it is done."""

    def progress(fraction: float) -> None:
        if fraction >= part:
            raise Crash

    return progress
