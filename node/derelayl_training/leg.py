"""A leg under way: what a method works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .architectures import SegmentedModel
from .jobs import Record
from .recipe import Recipe
from .resources import Resources
from .split import Split


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg. `model` holds the weights that it starts from and is on `resources.device`.

    `leased` are the names of the tensors of the segment: what a method may change at most. `start` are the tensors
    that it starts from, as they came, on the CPU: the parent's outside what is leased; `started` says from what, ""
    where there was nothing to choose. `history` is the record of how the parent was trained, empty for a genesis.
    """

    model: SegmentedModel
    start: Mapping[str, Tensor]
    leased: frozenset[str]
    segment: int
    data: Split
    recipe: Recipe
    resources: Resources
    steps: int
    batch: int
    learning_rate: float
    seed: int
    history: Record
    started: str = ""

    @property
    def device(self) -> torch.device:
        return self.resources.device
