"""sparse: backprop of which only the largest changes of each tensor are kept.

Dropping the small coordinates of a leg's change leaves alone most of what other peers have taught, and the baton's
difference to its parent compresses to a fraction of its size. As in top-k sparsification of gradients (Aji and
Heafield, EMNLP 2017), applied to the change of a whole leg; without error feedback, which would bring back what was
dropped one leg later.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .backprop import BackpropMethod
from .port import Record


class SparseMethod(BackpropMethod):
    """Backprop; at the end all but the share `keep` of each tensor's changes are undone."""

    def finish(self) -> Record:
        """See Method; `changed` counts the weights that differ from the parent's."""
        record = super().finish()
        changed = 0
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parent = self.leg.start[name].to(parameter.device)
                parameter.copy_(keep_largest(parent, parameter, self.leg.recipe.keep))
                changed += int((parameter != parent).sum())
        return {**record, "changed": changed}


def keep_largest(parent: Tensor, child: Tensor, share: float) -> Tensor:
    """The parent with the largest changes of the child: ⌈share · size⌉ of them; of equal ones those that come first."""
    kept = math.ceil(share * child.numel())
    order = (child - parent).abs().flatten().argsort(descending=True, stable=True)[:kept]
    sparse = parent.flatten().clone()
    sparse[order] = child.flatten()[order]
    return sparse.view_as(child)
