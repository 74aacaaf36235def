"""backprop: end to end, of the whole model or of one segment with the rest frozen."""

from __future__ import annotations

from torch import Tensor

from derelayl_protocol.errors import LocalFault

from ..architectures.blocks import BlockModel
from ..batches import Batches
from ..leg import Leg
from .gradient import GradientMethod


class BackpropMethod(GradientMethod):
    """Minimise the cross-entropy of the network's logits, and with `supervision` that of its prefix heads.

    The prefix heads weigh `supervision` at the leg's first step and fall linearly to nothing at its last, as the
    companion losses of deeply supervised nets (Lee et al., AISTATS 2015).
    """

    def prepare(self, leg: Leg) -> Batches:
        """See Method."""
        if leg.recipe.supervision:
            if not isinstance(leg.model, BlockModel):
                raise LocalFault("supervision needs a network of blocks with prefix heads, such as heads=linear")
            leg.model.check_exits()
        return super().prepare(leg)

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """See GradientMethod."""
        *early, logits = self._exits(inputs)
        loss = self.cross_entropy(logits, labels) + self.anchors.distillation(inputs, logits)
        weight = self.leg.recipe.supervision * (1 - self.taken / self.leg.steps)
        for prefix in early:
            if prefix.requires_grad:  # nothing that is trained lies before the others
                loss = loss + weight * self.cross_entropy(prefix, labels)
        return loss

    def _exits(self, inputs: Tensor) -> list[Tensor]:
        """The logits of the heads that the loss is of; the network's own are the last."""
        model = self.leg.model
        if self.leg.recipe.supervision and isinstance(model, BlockModel):
            return model.exit_logits(inputs)
        return [model(inputs)]
