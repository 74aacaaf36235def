"""Where a leg starts: from the average of the round's tips, as far as its lease allows, for a child is scored above it.

Chosen once and kept in a file beside the child: a leg that was interrupted goes on from the same start, and so does
each of several processes.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3
from safetensors import SafetensorError, safe_open

from derelayl_protocol.errors import LocalFault, PeerFault

from .architectures import SegmentedModel, build
from .bar import Candidate
from .jobs import MIN_JUDGED_SAMPLES, LegJob
from .judge import TIMED_BATCH, Losses, Race, gain_error
from .saving import save_tensors
from .snapshot import job_digest
from .split import Inputs, Labels, Split
from .weights import load_candidate, load_weights, opened

SUFFIX = ".start"
"""Appended to the child's name."""

START_SAMPLES = 1024
"""Samples that the average is compared with the parent on: enough to see one that is no good."""

SURELY_WORSE = 2.0
"""Standard errors by which the average must be worse than the parent to be left alone. Own data flatter the parent
where classes are skewed, so less is no reason (docs/LEARNING.md); what this keeps out is the mean of tips that were
trained apart for so long that it is no network any more."""

PARENT = "parent"

log = logging.getLogger(__name__)


def choose_start(
    job: LegJob,
    data: Split,
    device: torch.device,
    notice: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Note the average of the parent and the job's other tips beside the child, or the parent if that is surely better.

    They are compared on this peer's own samples, as many as the job's `choosing_seconds` suffice for; a tip that does
    not load is left out. Does nothing without other tips, for a recipe that goes on from its parent, and where this leg
    has chosen already. `notice` is called after each batch. Raises LocalFault.
    """
    if not job.tips or not job.recipe.starts_anywhere or _noted(job) is not None:
        return
    model = build(job.architecture).to(device)
    data.check_fits(model.input_shape, model.classes, model.input_kind)
    leased = model.names_of(job.segment)
    files = [job.parent, *(tip.path for tip in job.tips if _loads(model, tip.path))]
    words, load = f"average of {len(files)}", partial(_load_average, model, files, leased)
    loads = [(PARENT, partial(load_weights, model, job.parent)), (words, load)]
    race = Race(model, loads, *_samples(data, job.seed), TIMED_BATCH, notice, clock)
    end = clock() + job.choosing_seconds
    common = race.measure([0, 1], race.samples, lambda left: clock() + (end - clock()) / left)
    parent, average = race.losses
    if parent is None:
        return  # the leg itself will say what is wrong with it
    taken = len(files) > 1 and average is not None and not _surely_worse(average[:common], parent[:common])
    if taken:
        load()
    tensors = {name: tensor.cpu() for name, tensor in model.state_dict().items() if taken and name in leased}
    chosen = words if taken else PARENT
    save_tensors(_path(job), tensors, private=True, metadata={"start": f"{job_digest(job)} {chosen}"})
    log.info("the leg starts from: %s", chosen)


def load_start(job: LegJob, model: SegmentedModel) -> str:
    """Put the start that was chosen into a network that holds the parent; return its words, "" if none was chosen.

    Raises LocalFault: the file is damaged, and was removed.
    """
    words = _noted(job)
    if words is None:
        return ""
    own = model.state_dict()
    try:
        with safe_open(_path(job), framework="pt") as file, torch.no_grad():
            for name in file.keys():  # noqa: SIM118 - not a mapping
                own[name].copy_(file.get_tensor(name))
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise _damaged(job, error) from error
    return words


def start_digest(job: LegJob) -> str:
    """Name the start of a leg by its bytes, "" if none was chosen."""
    return "" if _noted(job) is None else blake3(_path(job).read_bytes()).hexdigest()


def forget_start(job: LegJob) -> None:
    """Remove the file."""
    _path(job).unlink(missing_ok=True)


def _path(job: LegJob) -> Path:
    return job.child.with_name(job.child.name + SUFFIX)


def _noted(job: LegJob) -> str | None:
    """The words of this very leg's start, None if it has none. Raises LocalFault."""
    if not _path(job).exists():
        return None
    try:
        with safe_open(_path(job), framework="pt") as file:
            leg, _, words = (file.metadata() or {}).get("start", "").partition(" ")
    except (OSError, SafetensorError) as error:
        raise _damaged(job, error) from error
    return words if leg == job_digest(job) else None


def _damaged(job: LegJob, error: Exception) -> LocalFault:
    forget_start(job)
    return LocalFault(f"the start {_path(job)} is damaged ({error}) and was removed; train again")


def _samples(data: Split, seed: int) -> tuple[Inputs, Labels]:
    """Some held-out samples, or of those to train on where too few are held out."""
    held = len(data.held_y) >= MIN_JUDGED_SAMPLES
    x, y = (data.held_x, data.held_y) if held else (data.train_x, data.train_y)
    some = np.random.default_rng(seed).permutation(len(y))[:START_SAMPLES]
    return x[some], y[some]


def _surely_worse(average: Losses, parent: Losses) -> bool:
    """By losses on the same samples, (N,) each; few say nothing."""
    error = gain_error(parent, average) if len(average) >= MIN_JUDGED_SAMPLES else None
    if error is None or average.mean() <= 0:
        return False
    return parent.mean() <= 0 or math.log(average.mean() / parent.mean()) > SURELY_WORSE * error


def _loads(model: SegmentedModel, path: Path) -> bool:
    try:
        load_weights(model, path)
    except PeerFault as fault:
        log.warning("the leg starts without a tip: %s", fault)
        return False
    return True


def _load_average(model: SegmentedModel, files: Sequence[Path], leased: frozenset[str]) -> None:
    """Fill the network with the plain average, and with the parent, the first file, outside what is leased."""
    load_candidate(model, files, Candidate(tuple(range(len(files)))))
    own = model.state_dict()
    if kept := own.keys() - leased:
        with opened(model, files[0]) as parent, torch.no_grad():
            for name in kept:
                own[name].copy_(parent.get_tensor(name))
