"""Measure networks on labelled images: what a validator does with held-out data of its own."""

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

from .models import SegmentedModel
from .weights import load_weights

EVAL_BATCH = 256
"""Images in one forward pass: large enough to be fast; `models.blocks.MAX_ACTIVATIONS` bounds what they become."""

log = logging.getLogger(__name__)


def to_inputs(images: NDArray[np.uint8]) -> Tensor:
    """Map uint8 (B, C, H, W) to float32 in [-1, 1]: fixed, never fitted, so weights mean the same at every peer."""
    return torch.from_numpy(np.ascontiguousarray(images)).float().div_(127.5).sub_(1.0)


def mean_loss(model: SegmentedModel, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Mean cross-entropy in nats, summed in double precision so that the order of batches does not show in a score."""
    total = 0.0
    for logits, truth in _predictions(model, images, labels):
        total += F.cross_entropy(logits.double(), truth, reduction="sum").item()
    return total / len(labels)


def share_correct(model: SegmentedModel, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Share of the images whose highest logit is the label's, in [0, 1]."""
    correct = sum(int((logits.argmax(1) == truth).sum()) for logits, truth in _predictions(model, images, labels))
    return correct / len(labels)


def losses_of_files(
    model: SegmentedModel, files: Sequence[Path], images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[float | None, ...]:
    """Mean loss of each weights file; None for one that is refused or gives no finite loss (the log says why)."""
    return tuple(_loss_of_file(model, path, images, labels) for path in files)


def _loss_of_file(
    model: SegmentedModel, path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> float | None:
    try:
        load_weights(model, path)
    except PeerFault as fault:
        log.warning("not judged: %s", fault)
        return None
    loss = mean_loss(model, images, labels)
    if not math.isfinite(loss):
        log.warning("not judged: %s gives the loss %s", path.name, loss)
        return None
    return loss


@torch.no_grad()
def _predictions(
    model: SegmentedModel, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Iterator[tuple[Tensor, Tensor]]:
    if not len(labels):
        raise LocalFault("there are no samples to judge with")
    model.eval()
    for start in range(0, len(labels), EVAL_BATCH):
        stop = start + EVAL_BATCH
        yield model(to_inputs(images[start:stop])), torch.from_numpy(labels[start:stop])
