"""From stored samples to what a network takes: fixed maps, never fitted, so weights mean the same at every peer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .kinds import InputKind, kind_of


def to_inputs(samples: NDArray[Any]) -> Tensor:
    """Map a batch of one kind to a new tensor. Raises LocalFault for an array of no known kind.

    Images uint8 (B, C, H, W) become float32 in [-1, 1]; table rows float32 (B, F) stay as the schema scaled them; text
    uint8 (B, T) becomes int64 (B, T).
    """
    match kind_of(samples):
        case InputKind.IMAGE:
            return torch.from_numpy(samples.astype(np.float32, order="C")).div_(127.5).sub_(1.0)
        case InputKind.TABLE:
            return torch.tensor(samples)  # a copy: what a network does in place must not reach the data
        case InputKind.TEXT | InputKind.LABELLED_TEXT:
            return torch.from_numpy(samples.astype(np.int64))
