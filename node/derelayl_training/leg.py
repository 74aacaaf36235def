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
    """One leg. `model` holds the parent's weights and is on `resources.device`.

    `leased` are the names of the tensors of the segment: what a method may change at most. `parent` are the parent's
    tensors as they came, on the CPU. `history` is the record of how the parent was trained, empty for a genesis.
    """

    model: SegmentedModel
    parent: Mapping[str, Tensor]
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

    @property
    def device(self) -> torch.device:
        return self.resources.device
