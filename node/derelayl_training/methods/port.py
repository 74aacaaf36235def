"""The Method port: how a leg changes the tensors that it has leased."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from ..batches import Batch, Batches
from ..jobs import Record
from ..leg import Leg


class Method(Protocol):
    """One way to train. A method holds the state of one leg; it changes only the tensors that `changes` names."""

    @property
    def changes(self) -> frozenset[str]:
        """Names of the tensors that this leg may change, a subset of the leased ones. Known after `prepare`."""

    def prepare(self, leg: Leg) -> Batches:
        """Get ready and give the batches in their order: the same for the same leg.

        Raises LocalFault, before anything is changed, when this network, data or machine cannot be trained this way.
        """

    def step(self, inputs: Tensor, labels: Tensor) -> float:
        """Learn from one batch, on the leg's device: inputs (B, ...), labels (B, ...). Returns the loss in nats."""

    def finish(self) -> Record:
        """Do what is done once at the end, and return what the manifest shall tell beside the recipe."""

    def state(self) -> Mapping[str, Tensor]:
        """What the method holds beside the model between two steps, such as momenta; for a snapshot on disk."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a snapshot: take over what `state` gave, after `prepare`. Raises LocalFault if it does not fit."""


__all__ = ["Batch", "Batches", "Leg", "Method", "Record"]
