"""Measure networks on labelled samples: what a validator does with held-out data of its own."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from derelayl_protocol.errors import LocalFault, PeerFault

from .architectures import SegmentedModel
from .inputs import to_inputs
from .jobs import HeldOutLoss
from .split import Inputs, Labels
from .weights import load_weights

EVAL_BATCH = 256
"""Samples in one forward pass: large enough to be fast; `models.blocks.MAX_ACTIVATIONS` bounds what they become."""

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
    pieces = []
    for logits, truth in _predictions(model, samples, labels):
        losses = F.cross_entropy(logits.double(), truth, reduction="none")
        pieces.append(losses.flatten(1).mean(1) if losses.ndim > 1 else losses)
    return torch.cat(pieces).numpy()


def share_correct(model: SegmentedModel, samples: Inputs, labels: Labels) -> float:
    """Share of the samples, of all bytes for text, whose highest logit is the label's, in [0, 1]."""
    correct = sum(int((logits.argmax(1) == truth).sum()) for logits, truth in _predictions(model, samples, labels))
    return correct / labels.size


def losses_of_files(
    model: SegmentedModel, files: Sequence[Path], samples: Inputs, labels: Labels
) -> tuple[HeldOutLoss | None, ...]:
    """Loss of each weights file, with its error against the first; None for one that is refused or gives no finite
    loss (the log says why)."""
    measured = [_losses_of_file(model, path, samples, labels) for path in files]
    return tuple(
        None if own is None else HeldOutLoss(float(own.mean()), gain_error(measured[0], own)) for own in measured
    )


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


def _losses_of_file(model: SegmentedModel, path: Path, samples: Inputs, labels: Labels) -> NDArray[np.float64] | None:
    try:
        load_weights(model, path)
    except PeerFault as fault:
        log.warning("not judged: %s", fault)
        return None
    losses = sample_losses(model, samples, labels)
    if not np.isfinite(losses).all():
        log.warning("not judged: %s gives the loss %s", path.name, losses.mean())
        return None
    return losses


@torch.no_grad()
def _predictions(model: SegmentedModel, samples: Inputs, labels: Labels) -> Iterator[tuple[Tensor, Tensor]]:
    if not len(labels):
        raise LocalFault("there are no samples to judge with")
    model.eval()
    device = next(iter(model.state_dict().values())).device
    for start in range(0, len(labels), EVAL_BATCH):
        stop = start + EVAL_BATCH
        yield model(to_inputs(samples[start:stop]).to(device)).cpu(), torch.from_numpy(labels[start:stop])
