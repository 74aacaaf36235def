"""How frequent a peer's labels are, and what training does about it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .kinds import InputKind
from .leg import Leg

ABSENT_LABEL_COUNT = 1e-3
"""Stands for 0 in the label counts: the logit of a class the peer lacks stays nearly untouched, ln stays finite."""


def label_shift(leg: Leg) -> Tensor:
    """What a leg adds to its logits in training: `log_shares` of its labels if the recipe balances, else zeros.

    (classes,) on the leg's device; for text (1, 1). `auto` balances images alone: in tables and texts a label's
    frequency is mostly that of the world, which validators judge, and not an accident of this peer. Text windows have
    no shift at all.
    """
    labels, classes = leg.data.train_y, leg.model.classes
    if labels.ndim > 1:
        return torch.zeros(1, 1, device=leg.device)
    balanced = leg.recipe.balanced if leg.recipe.balanced != "auto" else leg.data.kind is InputKind.IMAGE
    return (log_shares(labels, classes) if balanced else torch.zeros(classes)).to(leg.device)


def log_shares(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Compute ln of each class's share in `labels`, (classes,), to be added to the logits in training only.

    Logit adjustment (Menon et al., ICLR 2021, eq. 10). With it the network need not learn how frequent a label is
    at this peer, and a class that the peer lacks gets no gradient: without it a leg unlearns what other peers taught.
    """
    counts = np.maximum(np.bincount(labels, minlength=classes).astype(np.float64), ABSENT_LABEL_COUNT)
    return torch.from_numpy(np.log(counts / counts.sum())).float()
