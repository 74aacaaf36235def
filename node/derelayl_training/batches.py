"""The order in which a leg sees its samples."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Batch = NDArray[np.int64]
"""Indices into a leg's training samples, (B,)."""


class Batches(Protocol):
    """A leg's batches in their order; asked for by number, for a leg may go on in the middle."""

    def __len__(self) -> int:
        """Steps of the leg."""
        ...

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, the same whenever it is asked for."""
        ...


class RandomBatches:
    """`steps` batches through the data in a new order each epoch; a batch never holds more than the data does."""

    def __init__(self, samples: int, steps: int, batch: int, seed: int) -> None:
        self._samples = samples
        self._steps = steps
        self._size = min(batch, samples)
        self._seed = seed
        self._per_epoch = samples // self._size  # the rest of an epoch is too short for a batch
        self._epoch = -1
        self._order: Batch = np.empty(0, np.int64)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < self._steps:
            raise IndexError(step)
        epoch, place = divmod(step, self._per_epoch)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(self._samples)
            self._epoch = epoch
        return self._order[place * self._size : (place + 1) * self._size]
