"""What the cases of the table `pseudoinverse` share: sizes, timing, and our own two learners."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from derelayl_training.architectures import build
from derelayl_training.architectures.pil import Pil
from derelayl_training.inputs import to_inputs
from derelayl_training.jobs import Architecture
from derelayl_training.pseudoinverse.settings import PilsSettings
from derelayl_training.pseudoinverse.sums import CHUNK, Statistics
from derelayl_training.pseudoinverse.system import SstPils

from . import baselines
from .harness import Measured

KEEL = (
    "letter",
    "penbased",
    "optdigits",
    "satimage",
    "texture",
    "segment",
    "spambase",
    "vowel",
    "vehicle",
    "wdbc",
)
IMAGES = ("fashion-mnist", "mnist-5k")
FOLDS = 10
ORDERS = 3
CLASSES = 10
"""Of both sets of images."""


@dataclass(frozen=True)
class Size:
    """What the methods get: samples (None: all), random neurons, epochs of the CNN."""

    train: int | None = None
    test: int | None = None
    filters: int = 96  # local filters of pil, of 16 cells each
    few_filters: int = 48  # of pil as input of SST-PILS
    dense: int = 2000  # random neurons that see the whole image, of pil and the baselines
    fusion: int = 3000
    widths: tuple[int, ...] = (1000, 600, 400)
    probe: int = 1000
    lengths: tuple[int, ...] = (2, 6)  # epochs of the CNN
    table_neurons: int = 500
    table_widths: tuple[int, ...] = (100, 60, 40)
    tables: tuple[str, ...] = KEEL
    folds: int = FOLDS
    image_sets: tuple[str, ...] = IMAGES
    orders: int = ORDERS  # of the peers of a relay


FULL = Size()
QUICK = Size(
    train=600,
    test=300,
    filters=4,
    few_filters=2,
    dense=60,
    fusion=80,
    widths=(40, 20),
    probe=40,
    lengths=(1,),
    table_neurons=40,
    table_widths=(12, 8),
    tables=("vowel", "wdbc"),
    folds=2,
    image_sets=("mnist-5k",),
    orders=1,
)


def timed(train: Callable[[], baselines.Scores], test: Callable[[], Tensor], truth: Tensor) -> Measured:
    """Accuracy on the test samples and processor seconds of training."""
    started = time.process_time()
    scores = train()
    seconds = time.process_time() - started
    return {"accuracy": share(scores(test()), truth), "seconds": seconds}


def share(scores: Tensor, truth: Tensor) -> float:
    return int((scores.argmax(1) == truth).sum()) / len(truth)


def pil_network(parameters: Mapping[str, int | str | bool]) -> Pil:
    model = build(Architecture("pil", parameters))
    assert isinstance(model, Pil)
    return model


def on_images(neurons: int, patch: int, seed: int, subsystems: int = 1) -> Mapping[str, int]:
    shape = {"channels": 1, "height": 28, "width": 28, "classes": CLASSES}
    return {**shape, "neurons": neurons, "patch": patch, "subsystems": subsystems, "seed": seed}


def sums(model: Pil, index: int, samples: np.ndarray, labels: Tensor) -> Statistics:
    """What one leg adds to a subsystem."""
    statistics = Statistics.empty(model.subsystem(index).projection.size, model.classes)
    for start in range(0, len(labels), CHUNK):
        rows = slice(start, start + CHUNK)
        statistics.add(model.features(index, to_inputs(samples[rows])), labels[rows])
    return statistics


def train_pil(parameters: Mapping[str, int | str | bool], samples: np.ndarray, labels: Tensor) -> baselines.Scores:
    """One leg with all samples; scores are of raw samples."""
    model = pil_network(parameters)
    for index in range(len(model.subsystems)):
        model.subsystem(index).take(sums(model, index, samples, labels), model.ridges)
    return lambda raw: answers(model, raw.numpy())


def answers(model: Pil, samples: np.ndarray) -> Tensor:
    with torch.no_grad():
        return torch.cat([model(to_inputs(samples[at : at + CHUNK])) for at in range(0, len(samples), CHUNK)])


def local_features(samples: np.ndarray, filters: int, seed: int) -> Tensor:
    """pil's features of images, from local filters and the pixels, as inputs in [-1, 1] of another system."""
    model = pil_network(on_images(16 * filters, 5, seed))
    pieces = [model.features(0, to_inputs(samples[at : at + CHUNK])) for at in range(0, len(samples), CHUNK)]
    return torch.cat(pieces)[:, :-1] / 127


def train_pils(
    inputs: Tensor, labels: Tensor, settings: PilsSettings, share_held: float, seed: int
) -> tuple[SstPils, baselines.Scores]:
    """SST-PILS with a stratified part of the training samples held out to choose by."""
    own, held = train_test_split(
        np.arange(len(labels)), test_size=share_held, random_state=seed, stratify=labels.numpy()
    )
    system = SstPils.fit(inputs[own], labels[own], inputs[held], labels[held], settings, seed)
    return system, system.scores
