"""Images: the same shuffled samples for every learner, and the small CNN that they are measured against."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from derelayl_training.architectures import build
from derelayl_training.data import Split, load
from derelayl_training.inputs import to_inputs
from derelayl_training.jobs import Architecture
from derelayl_training.pseudoinverse.settings import PilsSettings
from derelayl_training.pseudoinverse.system import SstPils
from derelayl_training.resources import choose_bfloat16

from . import baselines
from .harness import Measured
from .pseudoinverse_learners import CLASSES, Size, local_features, on_images, share, timed, train_pil, train_pils

LOOKS_PER_EPOCH = 4
"""Times that the CNN is tested while it trains."""

_loaded: Callable[[str], Split] = lru_cache(load)


@dataclass(frozen=True)
class Images:
    """Pixels uint8 (N, 1, 28, 28) and labels, in a random order; `flat` are the pixels in [0, 1], (N, 784)."""

    train_x: np.ndarray
    train_y: Tensor
    test_x: np.ndarray
    test_y: Tensor

    def flat(self, part: np.ndarray) -> Tensor:
        return torch.from_numpy(part.reshape(len(part), -1)).float() / 255


def images(name: str, seed: int, size: Size) -> Images:
    """Load, shuffle and cut."""
    data = _loaded(name)
    rng = np.random.default_rng(seed)
    own, other = (rng.permutation(len(labels)) for labels in (data.train_y, data.held_y))
    own, other = own[: size.train], other[: size.test]
    return Images(
        data.train_x[own], torch.from_numpy(data.train_y[own]), data.held_x[other], torch.from_numpy(data.held_y[other])
    )


def pil_local(data: Images, seed: int, size: Size) -> Measured:
    return timed(
        lambda: train_pil(on_images(16 * size.filters, 5, seed), data.train_x, data.train_y),
        lambda: torch.from_numpy(data.test_x),
        data.test_y,
    )


def pil_dense(data: Images, seed: int, size: Size) -> Measured:
    return timed(
        lambda: train_pil(on_images(size.dense, 0, seed), data.train_x, data.train_y),
        lambda: torch.from_numpy(data.test_x),
        data.test_y,
    )


def settings_of(size: Size) -> PilsSettings:
    return PilsSettings(widths=size.widths, probe_neurons=size.probe, fusion_neurons=size.fusion)


def pils_pixels(data: Images, seed: int, size: Size) -> Measured:
    settings = settings_of(size)
    found: list[SstPils] = []

    def train() -> baselines.Scores:
        system, scores = train_pils(data.flat(data.train_x), data.train_y, settings, 0.1, seed)
        found.append(system)
        return scores

    measured = timed(train, lambda: data.flat(data.test_x), data.test_y)
    return {**measured, **parts(found[0], data, settings, seed)}


def parts(system: SstPils, data: Images, settings: PilsSettings, seed: int) -> Measured:
    """Test accuracy of each part alone: a classifier on pixels, on the forward stack, the first subsystem."""
    inputs, first = data.flat(data.test_x), system.subsystems[0]
    wide = settings.classifier(data.flat(data.train_x), data.train_y, CLASSES, settings.fusion_neurons, seed)
    stack = first.forward
    return {
        "wide classifier on pixels": share(wide.scores(inputs), data.test_y),
        "forward stack": share(stack.classifier.scores(stack.features(inputs)[-2]), data.test_y),
        "one subsystem": share(first.scores(inputs), data.test_y),
        "depth": len(stack.layers),
        "subsystems": len(system.subsystems),
    }


def pils_local(data: Images, seed: int, size: Size) -> Measured:
    return timed(
        lambda: train_pils(
            local_features(data.train_x, size.few_filters, seed), data.train_y, settings_of(size), 0.1, seed
        )[1],
        lambda: local_features(data.test_x, size.few_filters, seed),
        data.test_y,
    )


def baseline(solve: Callable[..., baselines.Scores]) -> Callable[[Images, int, Size], Measured]:
    def measure(data: Images, seed: int, size: Size) -> Measured:
        return timed(
            lambda: solve(data.flat(data.train_x), data.train_y, CLASSES, size.dense, seed),
            lambda: data.flat(data.test_x),
            data.test_y,
        )

    return measure


def small_cnn(data: Images, seed: int, size: Size) -> Measured:
    """The last accuracy of the longest training, and of all lengths what was reached when."""
    curves = [train_cnn(data, epochs, seed) for epochs in size.lengths]
    return {"accuracy": curves[-1][-1][1], "seconds": curves[-1][-1][0], "curves": curves}


def train_cnn(data: Images, epochs: int, seed: int) -> list[tuple[float, float]]:
    """Plain SGD with momentum, warm-up and a cosine; (processor seconds of training, test accuracy) as it goes."""
    architecture = Architecture("small-cnn", {"channels": 1, "height": 28, "width": 28, "classes": CLASSES, "stem": 16})
    model = build(architecture, seed).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    batch = 64
    per_epoch = len(data.train_y) // batch
    steps = epochs * per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, steps, pct_start=0.2, cycle_momentum=False)
    bfloat16 = choose_bfloat16("auto", torch.device("cpu"))
    rng = np.random.default_rng(seed)
    seconds, curve = 0.0, []
    order = rng.permutation(len(data.train_y))
    for step in range(steps):
        if step % per_epoch == 0:
            order = rng.permutation(len(data.train_y))
        started = time.process_time()
        rows = order[step % per_epoch * batch :][:batch]
        inputs = to_inputs(data.train_x[rows]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = model(inputs)
        optimiser.zero_grad()
        F.cross_entropy(logits.float(), data.train_y[torch.from_numpy(rows)]).backward()
        optimiser.step()
        schedule.step()
        seconds += time.process_time() - started
        if (step + 1) % max(1, per_epoch // LOOKS_PER_EPOCH) == 0 or step + 1 == steps:
            curve.append((seconds, cnn_accuracy(model, data, bfloat16)))
    return curve


@torch.no_grad()
def cnn_accuracy(model: torch.nn.Module, data: Images, bfloat16: bool) -> float:
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        scores = [model(to_inputs(data.test_x[at : at + 500])).float() for at in range(0, len(data.test_y), 500)]
    return share(torch.cat(scores), data.test_y)


ON_IMAGES: Mapping[str, Callable[[Images, int, Size], Measured]] = {
    "pil, local filters": pil_local,
    "pil, whole images": pil_dense,
    "SST-PILS on pixels": pils_pixels,
    "SST-PILS on local filters": pils_local,
    "RVFL": baseline(baselines.rvfl),
    "BLS": baseline(baselines.bls),
    "ELM": baseline(baselines.elm),
    "small CNN": small_cnn,
}
