"""One leg: continue a parent's weights on this peer's own data, on the leased tensors only."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from derelayl_protocol.errors import LocalFault

from .architectures import build
from .batches import Batch
from .inputs import to_inputs
from .jobs import Architecture, LegJob, LegResult, WeightsFile
from .judge import mean_loss
from .leg import Leg
from .methods import make_method
from .resources import CPU, Resources, wait_while_paused
from .snapshot import Snapshots
from .split import Split
from .start import forget_start, load_start, start_digest
from .weights import first_not_finite, load_weights, save_weights

IMAGE_AXES = 4
"""(B, C, H, W)"""

REPORT_SAMPLES = 2048
"""Training samples, evenly spaced, for the losses before and after a leg: a second, however large the set."""

PROGRESS_REPORTS = 50
"""Progress calls of one leg."""

Progress = Callable[[float], None]
Notice = Callable[[], None]

log = logging.getLogger(__name__)


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


def run_leg(
    job: LegJob, data: Split, progress: Progress, resources: Resources = CPU, notice: Notice = lambda: None
) -> LegResult:
    """Read the parent, train, check and write the child. Raises LocalFault (job, data), PeerFault (the parent).

    `notice` is called after each step, and what it raises ends the leg as a crash would. A leg that was interrupted
    goes on from its last snapshot beside the child, to the same bytes as without the interruption.
    """
    leg = open_leg(job, data, resources)
    before = report_loss(leg)
    method = make_method(job.recipe)
    batches = method.prepare(leg)
    snapshots = Snapshots(job, start_digest(job))
    start = snapshots.resume(leg.model, method)
    samples = sum(len(batches[step]) for step in range(start))
    for step in range(start, len(batches)):
        wait_while_paused(resources.pause, log.info)
        batch = batches[step]
        samples += len(batch)
        method.step(*samples_of(leg, batch))
        snapshots.after_step(step + 1, leg.model, method)
        notice()
        if (step + 1) * PROGRESS_REPORTS // len(batches) > step * PROGRESS_REPORTS // len(batches):
            progress((step + 1) / len(batches))
    record = {"start": leg.started, **method.finish()} if leg.started else method.finish()
    after = report_loss(leg)
    check_child(leg.start, leg.model.state_dict(), method.changes)
    if resources.rank == 0:
        save_weights(leg.model, job.child)
        snapshots.remove()
        forget_start(job)
    return LegResult(WeightsFile(job.child, leg.model.segment_of()), len(batches), samples, before, after, record)


def open_leg(job: LegJob, data: Split, resources: Resources) -> Leg:
    """Build the network with the weights that the leg starts from and check what can be known before training.

    Raises LocalFault (job, data), PeerFault (the parent).
    """
    model = build(job.architecture)
    leased = model.names_of(job.segment)
    data.check_fits(model.input_shape, model.classes, model.input_kind)
    if not len(data.train_y):
        raise LocalFault("the data has no samples to train on")
    if min(job.batch, len(data.train_y)) < resources.world:
        raise LocalFault(f"{resources.world} processes cannot share batches of {min(job.batch, len(data.train_y))}")
    load_weights(model, job.parent)
    started = load_start(job, model)
    return Leg(
        model=model.to(resources.device),
        start={name: tensor.cpu().clone() for name, tensor in model.state_dict().items()},
        started=started,
        leased=leased,
        segment=job.segment,
        data=data,
        recipe=job.recipe,
        resources=resources,
        steps=job.steps,
        batch=job.batch,
        learning_rate=job.learning_rate,
        seed=job.seed,
        history=job.history,
    )


def samples_of(leg: Leg, batch: Batch) -> tuple[Tensor, Tensor]:
    """This process's part of a batch, on the leg's device: inputs (B, …), labels (B,) or (B, T)."""
    own = batch[leg.resources.rank :: leg.resources.world]
    inputs = to_inputs(leg.data.train_x[own]).to(leg.device)
    if inputs.ndim == IMAGE_AXES:
        inputs = inputs.contiguous(memory_format=torch.channels_last)  # a fifth faster on processors, more in bfloat16
    return inputs, torch.from_numpy(leg.data.train_y[own]).to(leg.device)


def report_loss(leg: Leg) -> float:
    """Mean loss in nats on some of the leg's training samples. Raises LocalFault when it is not finite."""
    some = slice(None, None, math.ceil(len(leg.data.train_y) / REPORT_SAMPLES))
    loss = mean_loss(leg.model, leg.data.train_x[some], leg.data.train_y[some])
    if not math.isfinite(loss):
        raise LocalFault(f"the loss on the training data is {loss}")
    return loss


def check_child(start: Mapping[str, Tensor], child: Mapping[str, Tensor], changes: frozenset[str]) -> None:
    """Raise LocalFault unless the child is finite and every tensor that may not change has the start's bytes."""
    for name, tensor in child.items():
        if name not in changes and tensor.cpu().numpy().tobytes() != start[name].numpy().tobytes():
            raise LocalFault(f"{name} changed although it is outside what this leg may change")
    if broken := first_not_finite(child):
        raise LocalFault(f"training made {broken} not finite; a smaller learning rate may help")
