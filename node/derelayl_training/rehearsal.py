"""A small memory of a peer's own past training data. It stays on the peer's disk and never travels."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor

from derelayl_protocol.errors import LocalFault

from .inputs import to_inputs
from .leg import Leg
from .saving import save_arrays

FILE_NAME = "rehearsal.safetensors"

SEEN = "seen"
"""Samples that have passed by the memory: reservoir sampling keeps each of them with the same probability."""


class Rehearsal:
    """Past samples x (N, …) and labels y (N,) or (N, T), at most the recipe's `rehearsal_samples`."""

    def __init__(self, path: Path, leg: Leg, x: np.ndarray, y: np.ndarray, seen: int) -> None:
        self._path, self._leg = path, leg
        self._x, self._y, self._seen = x, y, seen

    @classmethod
    def of(cls, leg: Leg) -> Self:
        """Read the peer's memory, empty at first. Raises LocalFault: unreadable, or samples of another network."""
        if leg.resources.private is None:
            raise LocalFault("the recipe rehearses, but this peer has no folder for what it remembers")
        path = leg.resources.private / FILE_NAME
        data = leg.data
        if not path.exists():
            return cls(path, leg, data.train_x[:0], data.train_y[:0], 0)
        try:
            tensors = load_file(path)
            x, y, seen = tensors["x"], tensors["y"], int(tensors[SEEN])
        except (OSError, SafetensorError, KeyError) as error:
            raise LocalFault(f"{path} is no rehearsal memory: {error}; delete it to start anew") from error
        if x.shape[1:] != data.train_x.shape[1:] or x.dtype != data.train_x.dtype or len(x) != len(y):
            raise LocalFault(f"{path} remembers {x.dtype} {x.shape[1:]}, the data is {data.train_x.dtype} "
                             f"{data.train_x.shape[1:]}; delete it to start anew")  # fmt: skip
        return cls(path, leg, x, y, seen)

    def mixed(self, inputs: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The batch with its last samples replaced by remembered ones."""
        count = min(round(len(inputs) * self._leg.recipe.rehearse), len(inputs) - 1)
        if not len(self._y) or count < 1:
            return inputs, labels
        chosen = np.random.default_rng([self._leg.seed, step]).integers(0, len(self._y), count)
        past = to_inputs(self._x[chosen]).to(inputs.device), torch.from_numpy(self._y[chosen]).to(labels.device)
        return torch.cat([inputs[:-count], past[0]]), torch.cat([labels[:-count], past[1]])

    def keep(self) -> None:
        """Let this leg's data pass by the memory (Vitter's algorithm R), and write it. Raises LocalFault: the disk."""
        rng = np.random.default_rng([self._leg.seed, self._seen])
        size, data = self._leg.recipe.rehearsal_samples, self._leg.data
        x, y, seen = list(self._x), list(self._y), self._seen
        for index in rng.permutation(len(data.train_y)):
            seen += 1
            place = len(y) if len(y) < size else int(rng.integers(0, seen))
            if place == len(y):
                x.append(data.train_x[index])
                y.append(data.train_y[index])
            elif place < size:
                x[place], y[place] = data.train_x[index], data.train_y[index]
        remembered = {"x": np.stack(x[:size]), "y": np.stack(y[:size]), SEEN: np.array(seen)}
        save_arrays(self._path, remembered, private=True)
