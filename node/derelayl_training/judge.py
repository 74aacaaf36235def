"""Measure networks on labelled samples: what a validator does with held-out data of its own."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from derelayl_protocol.errors import LocalFault, PeerFault

from .architectures import SegmentedModel
from .inputs import to_inputs
from .jobs import MIN_JUDGED_SAMPLES, HeldOutLoss
from .split import Inputs, Labels
from .weights import load_weights

EVAL_BATCH = 256
"""Samples in one forward pass: large enough to be fast; `models.blocks.MAX_ACTIVATIONS` bounds what they become."""

TIMED_BATCH = 64
"""The same where time is short: a look at the clock after each."""

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
    judging = _Judging(model, files, samples, labels, EVAL_BATCH, lambda: None)
    judging.measure(len(labels), lambda _number: math.inf)
    return judging.results()


def losses_in_time(
    model: SegmentedModel,
    files: Sequence[Path],
    samples: Inputs,
    labels: Labels,
    *,
    seconds: float,
    seed: int,
    notice: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[HeldOutLoss | None, ...]:
    """The same within `seconds`, on as many samples as fit: the first ones of an order drawn from `seed`.

    First MIN_JUDGED_SAMPLES of each file, so that there is a verdict on every one; what time is left is divided among
    the files, and a part of it kept for files that take longer than others. `notice` is called after each batch, and
    what it raises ends the judging. Raises LocalFault when even the least takes too long.
    """
    began = clock()
    end = began + seconds
    order = np.random.default_rng(seed).permutation(len(labels))
    judging = _Judging(model, files, samples[order], labels[order], TIMED_BATCH, notice)
    least = min(MIN_JUDGED_SAMPLES, len(labels))
    judging.measure(least, lambda _number: end, clock)
    if judging.common < least:
        raise LocalFault(
            f"within {seconds:.3g} s not even {least} samples of {len(files)} files could be measured: the machine is "
            f"too slow for this phase, or too busy"
        )
    if least < len(labels):
        judging.measure(len(labels), lambda number: clock() + (end - clock()) / (len(files) - number + 1), clock)
    return judging.results()


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


class _Judging:
    """Losses of several files on the same samples, a part of them at a time; one network's memory serves all files."""

    def __init__(
        self,
        model: SegmentedModel,
        files: Sequence[Path],
        samples: Inputs,
        labels: Labels,
        batch: int,
        notice: Callable[[], None],
    ) -> None:
        self._model = model
        self._files = files
        self._samples = samples
        self._labels = labels
        self._batch = batch
        self._notice = notice
        self._measured: list[NDArray[np.float64] | None] = [np.zeros(0) for _ in files]  # None: refused
        self.common = 0
        """How many samples every file that is not refused was measured on, the first ones."""

    def measure(
        self, most: int, end_of: Callable[[int], float], clock: Callable[[], float] = lambda: -math.inf
    ) -> None:
        """Measure each file on samples `common` … `most`, file `number` until its end; no file on more than another."""
        start, reached = self.common, most
        for number, path in enumerate(self._files):
            before = self._measured[number]
            if before is None:
                continue
            now = self._losses(path, start, reached, end_of(number), clock)
            self._measured[number] = None if now is None else np.concatenate([before[:start], now])
            if now is not None:
                reached = min(reached, start + len(now))
        self.common = reached

    def results(self) -> tuple[HeldOutLoss | None, ...]:
        same = [None if losses is None else losses[: self.common] for losses in self._measured]
        return tuple(
            None if own is None else HeldOutLoss(float(own.mean()), gain_error(same[0], own), len(own)) for own in same
        )

    def _losses(
        self, path: Path, start: int, stop: int, end: float, clock: Callable[[], float]
    ) -> NDArray[np.float64] | None:
        """Losses on these samples, as far as there is time; None for a file that is refused."""
        losses = np.zeros(0)
        if start == stop or clock() >= end:
            return losses
        try:
            load_weights(self._model, path)
        except PeerFault as fault:
            log.warning("not judged: %s", fault)
            return None
        for more in _batches_of_losses(self._model, self._samples[start:stop], self._labels[start:stop], self._batch):
            losses = np.concatenate([losses, more])
            self._notice()
            if clock() >= end:
                break
        if not np.isfinite(losses).all():
            log.warning("not judged: %s gives the loss %s", path.name, losses.mean())
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
