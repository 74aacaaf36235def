"""One leg: continue a parent's weights on this peer's own data for a number of optimiser steps, one segment only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from derelayl_node.ports import Architecture, LegJob, LegResult, WeightsFile
from derelayl_protocol.errors import LocalFault

from .data import Split
from .judge import mean_loss, to_inputs
from .models import SegmentedModel, build
from .weights import first_not_finite, load_weights, save_weights

REPORT_SAMPLES = 2048
"""Training samples, evenly spaced, for the losses before and after a leg: a second, however large the set."""

PROGRESS_REPORTS = 50
"""Progress calls of one leg."""

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a leg optimises; what it reaches is in benchmarks/relay_accuracy.py.

    SGD with momentum rather than AdamW: a leg starts with a fresh optimiser, and Adam's first steps, taken before its
    second moments have settled, are large enough to undo the peer before (0.91 against 0.95 after six legs of 80 steps
    over five skewed shards of MNIST-5k, two seeds, the best of the rates tried for each).
    """

    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: int = 5  # steps over which the learning rate rises; the first gradients meet another peer's weights
    balanced: bool = True  # adjust the logits by the peer's own label frequencies


RECIPE = Recipe()

ABSENT_LABEL_COUNT = 1e-3
"""Stands for 0 in the label counts: the logit of a class the peer lacks stays nearly untouched, ln stays finite."""


def configure_torch(threads: int) -> None:
    """Make torch deterministic on this machine and bound its threads; call once, before anything else.

    Bits repeat for the same thread count and instruction set only; on a busy machine two spinning threads are also
    slower than one.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def write_genesis(architecture: Architecture, seed: int, out: Path) -> WeightsFile:
    """Initialise a network from `seed` and write its weights. Raises LocalFault."""
    model = build(architecture, seed)
    save_weights(model, out)
    return WeightsFile(out, model.segment_of())


def run_leg(job: LegJob, data: Split, progress: Progress, recipe: Recipe = RECIPE) -> LegResult:
    """Read the parent, train, check and write the child. Raises LocalFault (job, data), PeerFault (the parent)."""
    model = build(job.architecture)
    names = model.names_of(job.segment)
    data.check_fits(model.input_shape, model.classes)
    if not len(data.train_y):
        raise LocalFault("the data has no samples to train on")
    load_weights(model, job.parent)
    parent = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    some = slice(None, None, math.ceil(len(data.train_y) / REPORT_SAMPLES))
    before = mean_loss(model, data.train_x[some], data.train_y[some])
    samples = _optimise(model, names, job, data, progress, recipe)
    after = mean_loss(model, data.train_x[some], data.train_y[some])
    check_child(parent, model.state_dict(), names)
    save_weights(model, job.child)
    return LegResult(WeightsFile(job.child, model.segment_of()), job.steps, samples, before, after)


def _optimise(
    model: SegmentedModel, names: frozenset[str], job: LegJob, data: Split, progress: Progress, recipe: Recipe
) -> int:
    """Take the leg's steps on the tensors in `names` only; return the number of samples seen. Raises LocalFault."""
    leased = [parameter for name, parameter in model.named_parameters() if name in names]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
    optimiser = torch.optim.SGD(
        leased, lr=job.learning_rate, momentum=recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay
    )
    shift = label_shift(data.train_y, model.classes) if recipe.balanced else torch.zeros(model.classes)
    model.train()
    samples = 0
    for step, batch in enumerate(_batches(len(data.train_y), job)):
        for group in optimiser.param_groups:
            group["lr"] = job.learning_rate * min(1.0, (step + 1) / (recipe.warmup + 1))
        labels = torch.from_numpy(data.train_y[batch])  # (B,)
        logits = model(to_inputs(data.train_x[batch]))  # (B, classes)
        loss: Tensor = F.cross_entropy(logits + shift, labels)
        if not math.isfinite(loss.item()):
            raise LocalFault(
                f"the loss is {loss.item()} at step {step}; a smaller learning rate than {job.learning_rate} may help"
            )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        samples += len(batch)
        if (step + 1) * PROGRESS_REPORTS // job.steps > step * PROGRESS_REPORTS // job.steps:
            progress((step + 1) / job.steps)
    return samples


def label_shift(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Compute ln of each class's share in `labels`, (classes,), to be added to the logits in training only.

    Logit adjustment (Menon et al., ICLR 2021, eq. 10). With it the network need not learn how frequent a label is
    at this peer, and a class that the peer lacks gets no gradient: without it a leg unlearns what other peers taught.
    """
    counts = np.maximum(np.bincount(labels, minlength=classes).astype(np.float64), ABSENT_LABEL_COUNT)
    return torch.from_numpy(np.log(counts / counts.sum())).float()


def _batches(samples: int, job: LegJob) -> Iterator[NDArray[np.int64]]:
    """Yield `job.steps` index batches, going through the data in a new order each epoch; never more than it holds."""
    rng = np.random.default_rng(job.seed)
    size = min(job.batch, samples)
    order = rng.permutation(samples)
    start = 0
    for _ in range(job.steps):
        if start + size > samples:  # the epoch's rest is too short for a batch: shuffle anew
            order, start = rng.permutation(samples), 0
        yield order[start : start + size]
        start += size


def check_child(parent: Mapping[str, Tensor], child: Mapping[str, Tensor], leased: frozenset[str]) -> None:
    """Raise LocalFault unless the child is finite and every tensor that is not leased has the parent's bytes."""
    for name, tensor in child.items():
        if name not in leased and tensor.numpy().tobytes() != parent[name].numpy().tobytes():
            raise LocalFault(f"{name} changed although it is outside the leased segment")
    if broken := first_not_finite(child):
        raise LocalFault(f"training made {broken} not finite; a smaller learning rate may help")
