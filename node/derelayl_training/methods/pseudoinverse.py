"""pseudoinverse: no gradient and no repetition; a leg adds this peer's sums to those of all peers and solves once.

The output weights are those of ridge regression on the data of all peers so far, in whatever order they came: the sums
are integers that float64 holds exactly (`pseudoinverse.statistics`), so a relay gives the same bytes as training on the
pooled data, and `forget` takes a leg's data away again to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL

from ..architectures import pil
from ..batches import Batch, Batches
from ..pseudoinverse.sums import CHUNK, Statistics
from ..recipe import DEFAULTS
from .port import Leg, Record

USELESS = ("supervision", "sgr", "prox", "distil", "merge", "consolidate", "rehearse")
"""Dials of a recipe that would change nothing: there is no step that could forget."""

PARTS = ("gram", "cross", "count")


class OnePass:
    """All samples once, in their order, `size` at a time."""

    def __init__(self, samples: int, size: int) -> None:
        self._samples, self._size = samples, size
        self._steps = -(-samples // size)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < self._steps:
            raise IndexError(step)
        return np.arange(step * self._size, min((step + 1) * self._size, self._samples))


class PseudoinverseMethod:
    """Adds the sums over the leg's samples to the subsystem that is leased, or to all; `forget` subtracts them.

    The steps, batch size, rate and seed of a leg are not used: it goes over the data once. A peer that takes a second
    leg on the same segment counts its samples twice.
    """

    def prepare(self, leg: Leg) -> Batches:
        """See Method."""
        model = leg.model
        if not isinstance(model, pil.Pil):
            raise LocalFault(
                f"method pseudoinverse solves the architecture {pil.NAME} only; other networks take another method"
            )
        if useless := [dial for dial in USELESS if getattr(leg.recipe, dial) != DEFAULTS[dial]]:
            raise LocalFault(f"method pseudoinverse forgets nothing, so leave out {', '.join(useless)}")
        self.leg, self.model = leg, model
        count = len(model.subsystems)
        self.trained = list(range(count)) if leg.segment == WHOLE_MODEL else [leg.segment]
        self.added = {
            index: Statistics.empty(model.subsystem(index).projection.size, model.classes, leg.device)
            for index in self.trained
        }
        if leg.recipe.forget:
            self._check_can_forget()
        return OnePass(len(leg.data.train_y), CHUNK * leg.resources.world)

    @property
    def changes(self) -> frozenset[str]:
        """See Method."""
        return self.leg.leased

    def step(self, inputs: Tensor, labels: Tensor) -> float:
        """See Method; the loss is that of the parent's weights."""
        if not len(labels):  # the last batch may have fewer samples than processes share it
            return 0.0
        features = [self.model.features(index, inputs) for index in range(len(self.model.subsystems))]
        for index, statistics in self.added.items():
            statistics.add(features[index], labels)
        return F.cross_entropy(self.model.combine(features), labels).item()

    def finish(self) -> Record:
        """See Method; `samples_held` and `classes_held` tell what the (first) leased subsystem has seen by now."""
        sign = -1 if self.leg.recipe.forget else 1
        for index, statistics in self.added.items():
            if self.leg.resources.world > 1:
                for tensor in statistics.tensors:
                    dist.all_reduce(tensor)
            subsystem = self.model.subsystem(index)
            subsystem.take(subsystem.statistics.plus(statistics, sign), self.model.ridges)
        held = self.model.subsystem(self.trained[0]).statistics
        return {"samples_held": int(held.samples), "classes_held": int((held.count > 0).sum())}

    def state(self) -> Mapping[str, Tensor]:
        """See Method: the sums so far."""
        return {
            f"{index}/{part}": tensor
            for index, statistics in self.added.items()
            for part, tensor in zip(PARTS, statistics.tensors, strict=True)
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Method."""
        own = self.state()
        if {name: tensor.shape for name, tensor in state.items()} != {name: t.shape for name, t in own.items()}:
            raise LocalFault(f"the snapshot holds {sorted(state)}, this leg adds up {sorted(own)}")
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def _check_can_forget(self) -> None:
        labels = torch.from_numpy(self.leg.data.train_y)
        own = torch.bincount(labels, minlength=self.model.classes)
        for index in self.trained:
            held = self.model.subsystem(index).count.cpu()
            if (short := own > held).any():
                label = int(short.nonzero()[0])
                raise LocalFault(
                    f"the parent holds {int(held[label])} samples of class {label}, this data has {int(own[label])}: "
                    f"it was never added, so it cannot be forgotten"
                )
