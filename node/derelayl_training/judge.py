"""Measure networks on labelled samples: what a validator does with held-out data of its own."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from derelayl_protocol.errors import LocalFault, PeerFault

from .architectures import SegmentedModel
from .bar import Candidate, candidates
from .inputs import to_inputs
from .jobs import MIN_JUDGED_SAMPLES, Bar, HeldOutLoss, Judged, JudgedChild, JudgingJob, drawn
from .likeness import originals
from .split import Inputs, Labels
from .weights import load_candidate, load_weights

EVAL_BATCH = 256
"""Samples in one forward pass: large enough to be fast; `models.blocks.MAX_ACTIVATIONS` bounds what they become."""

TIMED_BATCH = 64
"""The same where time is short: a look at the clock after each."""

BAR_SHARE = 0.5
"""Share of the time left after the least of each file that the least of what the bar is made of may take. What there is
no time for is left out, so that a slow seat still has a verdict on each leg, by a lower bar."""

MIN_SAMPLES_FOR_ERROR = 2
"""Below it there is no spread to estimate."""

log = logging.getLogger(__name__)


def mean_loss(model: SegmentedModel, samples: Inputs, labels: Labels) -> float:
    """Mean cross-entropy in nats."""
    return float(sample_losses(model, samples, labels).mean())


def sample_losses(model: SegmentedModel, samples: Inputs, labels: Labels) -> NDArray[np.float64]:
    """Cross-entropy of each sample in nats, of a text the mean over its bytes: (N,).

    In double precision, so that the order of batches does not show in a score.
    """
    return np.concatenate(list(_batches_of_losses(model, samples, labels, EVAL_BATCH)))


def share_correct(model: SegmentedModel, samples: Inputs, labels: Labels) -> float:
    """Share of the samples, of all bytes for text, whose highest logit is the label's, in [0, 1]."""
    correct = sum(int((logits.argmax(1) == truth).sum()) for logits, truth in _predictions(model, samples, labels))
    return correct / labels.size


def losses_of_files(
    model: SegmentedModel, files: Sequence[Path], samples: Inputs, labels: Labels
) -> tuple[HeldOutLoss | None, ...]:
    """Loss of each weights file on all samples, with its error against the first; None for one that is refused or gives
    no finite loss (the log says why)."""
    race = Race(model, [(path.name, partial(load_weights, model, path)) for path in files], samples, labels)
    race.measure(range(len(files)), len(labels))
    losses = race.losses
    return tuple(
        None if own is None else HeldOutLoss(float(own.mean()), gain_error(losses[0], own), len(own)) for own in losses
    )


def judge(
    model: SegmentedModel,
    job: JudgingJob,
    samples: Inputs,
    labels: Labels,
    *,
    seconds: float = math.inf,
    notice: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Judged:
    """Measure the children, and what anyone can make of the tips, within `seconds` and all on the same samples.

    These are the first ones of an order drawn from the job's seed, as many as fit, `drawn` at most. First
    MIN_JUDGED_SAMPLES of each file, so that there is a verdict on every one; then as many of what the bar is made of,
    as far as there is time; what is left is divided among all. `notice` is called after each batch, and what it raises
    ends the judging. Raises LocalFault when even the least takes too long, or a leased tip cannot be loaded here.
    """
    end = clock() + seconds
    order = np.random.default_rng(job.seed).permutation(len(labels))[: drawn(len(labels))]
    least = min(MIN_JUDGED_SAMPLES, len(order))
    leased = sorted({child.parent for child in job.children})
    made = candidates([tip.segment for tip in job.tips], leased)
    tips = [tip.path for tip in job.tips]
    loads = [
        *((_name(tips, candidate), partial(load_candidate, model, tips, candidate)) for candidate in made),
        *((child.path.name, partial(load_weights, model, child.path)) for child in job.children),
    ]
    race = Race(model, loads, samples[order], labels[order], TIMED_BATCH, notice, clock)
    children = range(len(made), len(loads))
    needed = [*range(len(leased)), *children]
    if race.measure(needed, least, lambda _left: end) < least:
        raise LocalFault(
            f"within {seconds:.3g} s not even {least} samples of {len(needed)} files could be measured: the machine is "
            f"too slow for this phase, or too busy"
        )
    for place, parent in enumerate(leased):
        if race.losses[place] is None:  # a committee has accepted it, so it is this peer that lacks something
            raise LocalFault(
                f"the leased tip {tips[parent].name} cannot be loaded here; is this version of derelayl too old?"
            )
    bar_end = clock() + (end - clock()) * BAR_SHARE
    for place in range(len(leased), len(made)):
        race.measure([place], least, lambda _left: bar_end)
    late = [place for place in range(len(made)) if _is_short(race.losses[place], least)]
    running = [place for place in range(len(loads)) if place not in late]
    common = race.measure(running, len(order), lambda left: clock() + (end - clock()) / (left + 1))
    same = [None if losses is None or place in late else losses[:common] for place, losses in enumerate(race.losses)]
    return _judged(job, made, leased, same, common, len(late))


def gain_error(parent: NDArray[np.float64] | None, child: NDArray[np.float64]) -> float | None:
    """Standard error of ln(parent's mean loss / child's mean loss), both measured on the same samples: (N,) each.

    By the delta method on the paired losses: the logarithm of the ratio moves with sample i by p_i / mean(p) -
    c_i / mean(c). What both find hard cancels. None without a parent or a second sample; 0 where a mean is 0, for
    then the ratio has a limit and no spread.
    """
    if parent is None or len(child) < MIN_SAMPLES_FOR_ERROR:
        return None
    if parent.mean() == 0 or child.mean() == 0:
        return 0.0
    moves = parent / parent.mean() - child / child.mean()
    return float(moves.std(ddof=1) / math.sqrt(len(moves)))


Losses = NDArray[np.float64]


def _name(tips: Sequence[Path], candidate: Candidate) -> str:
    return " and ".join(tips[place].name for place in candidate.tips)


def _is_short(losses: Losses | None, least: int) -> bool:
    return losses is not None and len(losses) < least


def _judged(
    job: JudgingJob,
    made: Sequence[Candidate],
    leased: Sequence[int],
    losses: Sequence[Losses | None],
    common: int,
    left_out: int,
) -> Judged:
    """Compare losses, (common,) each: first of what was `made` of the tips, the leased ones leading; then children."""
    reached = {place: float(own.mean()) for place, own in enumerate(losses[: len(made)]) if own is not None}
    best = min(reached, key=lambda place: (reached[place], place))
    parents = [losses[leased.index(child.parent)] for child in job.children]
    children = losses[len(made) :]
    changes = [
        None if own is None or parent is None else own - parent for own, parent in zip(children, parents, strict=True)
    ]
    named = originals(changes, [child.parent for child in job.children], job.alike)
    return Judged(
        samples=common,
        bar=Bar(reached[best], made[best].tips, made[best].segment),
        children=tuple(
            None if own is None else JudgedChild(float(own.mean()), gain_error(losses[best], own), original)
            for own, original in zip(children, named, strict=True)
        ),
        left_out=left_out,
    )


class Race:
    """Losses of several networks on the same samples, a part of them at a time; one network's memory serves all.

    `loads` fill that network, or raise PeerFault; each has a name. `losses` are what was measured so far, on the first
    samples; None for what is refused. `samples` are how many there are.
    """

    def __init__(
        self,
        model: SegmentedModel,
        loads: Sequence[tuple[str, Callable[[], None]]],
        samples: Inputs,
        labels: Labels,
        batch: int = EVAL_BATCH,
        notice: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = lambda: -math.inf,
    ) -> None:
        self._model = model
        self._loads = loads
        self.samples = len(labels)
        self._samples = samples
        self._labels = labels
        self._batch = batch
        self._notice = notice
        self._clock = clock
        self.losses: list[Losses | None] = [np.zeros(0) for _ in loads]

    def measure(self, places: Sequence[int], most: int, end_of: Callable[[int], float] = lambda _left: math.inf) -> int:
        """Measure these on their first `most` samples, each until its end, told how many are left; none of them on
        more than another. Returns on how many all of them are."""
        reached = most
        for position, place in enumerate(places):
            before = self.losses[place]
            if before is None:
                continue
            now = self._measured(place, before, reached, end_of(len(places) - position))
            self.losses[place] = now
            if now is not None:
                reached = min(reached, len(now))
        return reached

    def _measured(self, place: int, losses: Losses, stop: int, end: float) -> Losses | None:
        """These losses and more of them, as far as there is time; None for what is refused."""
        start = len(losses)
        if start >= stop or self._clock() >= end:
            return losses
        name, load = self._loads[place]
        try:
            load()
        except PeerFault as fault:
            log.warning("not judged: %s", fault)
            return None
        for more in _batches_of_losses(self._model, self._samples[start:stop], self._labels[start:stop], self._batch):
            losses = np.concatenate([losses, more])
            self._notice()
            if self._clock() >= end:
                break
        if not np.isfinite(losses).all():
            log.warning("not judged: %s gives the loss %s", name, losses.mean())
            return None
        return losses


def _batches_of_losses(
    model: SegmentedModel, samples: Inputs, labels: Labels, batch: int
) -> Iterator[NDArray[np.float64]]:
    for logits, truth in _predictions(model, samples, labels, batch):
        losses = F.cross_entropy(logits.double(), truth, reduction="none")
        yield (losses.flatten(1).mean(1) if losses.ndim > 1 else losses).numpy()


@torch.no_grad()
def _predictions(
    model: SegmentedModel, samples: Inputs, labels: Labels, batch: int = EVAL_BATCH
) -> Iterator[tuple[Tensor, Tensor]]:
    if not len(labels):
        raise LocalFault("there are no samples to judge with")
    model.eval()
    device = next(iter(model.state_dict().values())).device
    for start in range(0, len(labels), batch):
        stop = start + batch
        yield model(to_inputs(samples[start:stop]).to(device)).cpu(), torch.from_numpy(labels[start:stop])
