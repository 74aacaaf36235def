"""Where a leg starts: from the best of what is public, as far as its lease allows it, for a child is scored above that.

Chosen once, on this peer's own data, and kept in a file beside the child: a leg that was interrupted goes on from the
same start, and so does each of several processes.
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

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL

from .architectures import SegmentedModel, build
from .bar import Candidate, candidates
from .jobs import MIN_JUDGED_SAMPLES, LegJob
from .judge import TIMED_BATCH, Race, gain_error
from .saving import save_tensors
from .snapshot import job_digest
from .split import Inputs, Labels, Split
from .weights import load_candidate, opened

SUFFIX = ".start"
"""Appended to the child's name."""

START_SAMPLES = 1024
"""Samples that starts are compared on: their error is then small beside what an average gains."""

PARENT = "parent"

log = logging.getLogger(__name__)


def choose_start(
    job: LegJob,
    data: Split,
    device: torch.device,
    notice: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Measure what can be made of the parent and the job's other tips, and note the best beside the child.

    It takes the job's `choosing_seconds`; whatever there is no time for is left out. What is not better than the parent
    by more than a standard error is no better start. Does nothing without other tips, for a recipe that goes on from
    its parent, and where this leg has chosen already. `notice` is called after each batch. Raises LocalFault.
    """
    if not job.tips or not job.recipe.starts_anywhere or _noted(job) is not None:
        return
    model = build(job.architecture).to(device)
    data.check_fits(model.input_shape, model.classes, model.input_kind)
    leased = model.names_of(job.segment)
    made = _allowed(job)
    files = [job.parent, *(tip.path for tip in job.tips)]
    loads = [(_words(candidate), partial(_load, model, files, candidate, leased)) for candidate in made]
    race = Race(model, loads, *_samples(data, job.seed), TIMED_BATCH, notice, clock)
    best = _best(race, len(made), clock() + job.choosing_seconds, clock)
    if best is None:
        return  # the leg itself will say what is wrong with its parent
    loads[best][1]()
    tensors = {name: tensor.cpu() for name, tensor in model.state_dict().items() if best and name in leased}
    save_tensors(_path(job), tensors, private=True, metadata={"start": f"{job_digest(job)} {_words(made[best])}"})
    log.info("the leg starts from: %s", _words(made[best]))


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


def _allowed(job: LegJob) -> Sequence[Candidate]:
    """What the lease allows to start from, the parent first; of one segment, only that is taken from a candidate."""
    made = candidates([WHOLE_MODEL, *(tip.segment for tip in job.tips)], [0])
    return [each for each in made if job.segment == WHOLE_MODEL or each.segment == WHOLE_MODEL]


def _samples(data: Split, seed: int) -> tuple[Inputs, Labels]:
    """Some held-out samples, or of those to train on where too few are held out."""
    held = len(data.held_y) >= MIN_JUDGED_SAMPLES
    x, y = (data.held_x, data.held_y) if held else (data.train_x, data.train_y)
    some = np.random.default_rng(seed).permutation(len(y))[:START_SAMPLES]
    return x[some], y[some]


def _best(race: Race, count: int, end: float, clock: Callable[[], float]) -> int | None:
    """The place of the least loss if it is a standard error below the first's, else 0; None if the first has none."""
    least = min(MIN_JUDGED_SAMPLES, race.samples)
    race.measure([0], least)
    for place in range(1, count):
        race.measure([place], least, lambda _left: end)
    here = [place for place, losses in enumerate(race.losses) if losses is not None and len(losses) >= least]
    if 0 not in here:
        return None
    common = race.measure(here, race.samples, lambda left: clock() + (end - clock()) / (left + 1))
    losses = {place: own[:common] for place in here if (own := race.losses[place]) is not None}
    if 0 not in losses:
        return None
    best = min(losses, key=lambda place: (float(losses[place].mean()), place))
    error = gain_error(losses[0], losses[best])
    if best == 0 or error is None or losses[best].mean() <= 0:
        return 0
    return best if math.log(losses[0].mean() / losses[best].mean()) > error else 0


def _load(model: SegmentedModel, files: Sequence[Path], candidate: Candidate, leased: frozenset[str]) -> None:
    """Fill the network with a candidate, and with the parent, the first file, outside what is leased."""
    load_candidate(model, files, candidate)
    own = model.state_dict()
    if kept := own.keys() - leased:
        with opened(model, files[0]) as parent, torch.no_grad():
            for name in kept:
                own[name].copy_(parent.get_tensor(name))


def _words(candidate: Candidate) -> str:
    """How a manifest tells it."""
    if candidate.segment != WHOLE_MODEL:
        return f"parent with segment {candidate.segment} of a tip"
    if len(candidate.tips) > 1:
        return f"average of {len(candidate.tips)}"
    return "tip" if candidate.tips[0] else PARENT
