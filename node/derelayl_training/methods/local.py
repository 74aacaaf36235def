"""local: gradient-isolated segments, each trained by the loss of its own auxiliary head.

The skeleton is that of decoupled greedy learning (Belilovsky et al., ICML 2020): a segment works on detached features
and goes backward at once, which frees what it kept. The heads say which relative it is: AugLocal's (Ma et al., ICLR
2024), or MLAAN's leaps (Zhang et al., AAAI 2025). `window` and `cascade` are MLAAN's cascaded supervision over windows
of segments; `sgr` weighs successive gradient reconciliation (Yang et al., ICML 2024), reconstructed from the abstract:
its norm is not known to us. docs/METHODS.md lists what differs from the published code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL

from ..architectures.blocks import BlockModel
from ..architectures.leaps import LeapHead
from ..memory import samples_within
from .gradient import GradientMethod
from .port import Batches, Leg, Record

DISCORD = "discord"
"""Entry of the record, and of a snapshot: how far the gradients at the cuts disagree, see `discord`."""

VANISHED = 1e-6
"""Added to squared norms of a sample's gradients in `discord`: a sample that is learnt by now hardly counts."""

Criterion = Callable[[Tensor], Tensor]
"""From logits to their mean loss in nats."""

Cut = tuple[Tensor, Tensor]
"""What entered a segment, detached, and what left it, with the segment's graph."""


class LocalMethod(GradientMethod):
    """Trains one segment, or all of them side by side, each by local losses."""

    model: BlockModel

    def prepare(self, leg: Leg) -> Batches:
        """See Method."""
        self.model = _network(leg)
        self.last = len(self.model.cuts) - 2
        self.mine = range(self.last + 1) if leg.segment == WHOLE_MODEL else range(leg.segment, leg.segment + 1)
        self.window = leg.recipe.window if leg.recipe.cascade else 1
        self._discords = torch.zeros(2, dtype=torch.float64)  # their sum and their number
        # the base would measure the memory of all segments at once, which a step never holds
        batches = super().prepare(replace(leg, resources=replace(leg.resources, memory_bytes=None)))
        self.leg = leg
        self._piece = min(samples_within(leg, partial(self._held, segment), self._batch) for segment in self.mine)
        return batches

    @property
    def changes(self) -> frozenset[str]:
        """See Method."""
        shadows = (name for name in self.model.state_dict() if name.startswith("heads.") and ".shadow." in name)
        return super().changes | (self.leg.leased & frozenset(shadows))

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """See GradientMethod; of a leg on one segment. The rest of the window is frozen, but in the graph."""
        criterion = partial(self._nats, inputs, labels)
        segment = self.mine[-1]
        with self._differentiable():
            entry = self._before(segment, inputs).requires_grad_(self._reconciles and segment > 0)
            features = self.model.run_segment(segment, entry)
            loss, _ = self._losses(segment, features, criterion)
            if entry.requires_grad:
                loss = loss + self.leg.recipe.sgr * self._discord(
                    _gradients(loss, entry), self._predecessor(segment - 1, entry, criterion)
                )
            for later in range(segment + 1, min(segment + self.window, self.last + 1)):
                features = self.model.run_segment(later, features)
                loss = loss + self._losses(later, features, criterion)[1]
        return loss

    def backward(self, inputs: Tensor, labels: Tensor, share: float) -> float:
        """See GradientMethod; the loss is the mean of the segments' own."""
        if self.leg.segment != WHOLE_MODEL:
            return super().backward(inputs, labels, share)
        criterion = partial(self._nats, inputs, labels)
        tape: deque[Cut] = deque(maxlen=self.window - 1)
        total = 0.0
        features, before = inputs, None
        for segment in self.mine:
            loss, features, before = self._train(segment, features, before, criterion, tape, share)
            total += loss
        return total / len(self.mine)

    def after_step(self) -> None:
        """See GradientMethod: every shadow of the lease follows the backbone."""
        for segment in self.mine:
            head = self.model.exit_head(segment)
            if isinstance(head, LeapHead):
                head.follow(self.model.blocks, self.leg.recipe.ema)

    def finish(self) -> Record:
        """See Method; tells the mean discord of the leg where it was reconciled."""
        total, count = self._discords.tolist()
        return {**super().finish(), **({DISCORD: f"{total / count:.6g}"} if count else {})}

    def state(self) -> Mapping[str, Tensor]:
        """See Method."""
        return {**super().state(), DISCORD: self._discords}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Method."""
        if DISCORD not in state:
            raise LocalFault(f"the snapshot lacks {DISCORD}")
        super().restore({name: value for name, value in state.items() if name != DISCORD})
        self._discords = state[DISCORD].clone()

    @property
    def _reconciles(self) -> bool:
        return self.leg.recipe.sgr > 0

    def _train(
        self,
        segment: int,
        features: Tensor,
        before: Tensor | None,
        criterion: Criterion,
        tape: deque[Cut],
        share: float,
    ) -> tuple[float, Tensor, Tensor | None]:
        """Forward and backward of one segment; `tape` keeps the graphs of those that later windows reach back to.

        `before` is the gradient of the predecessor's loss by the features. Returns the loss, what leaves the segment
        and the gradient of the loss by that.
        """
        reaches_back = len(tape) > 0
        entry = features.detach().requires_grad_(segment > 0 and (self._reconciles or reaches_back))
        with self._differentiable(), self.leg.resources.autocast():
            left = self.model.run_segment(segment, entry)
            own, cascaded = self._losses(segment, left, criterion)
        loss, after = own, None
        if self._reconciles:
            after = torch.autograd.grad(own, left, retain_graph=True)[0]
            if before is not None:
                loss = own + self.leg.recipe.sgr * self._discord(_gradients(own, entry), before)
        if reaches_back:
            gradient = torch.autograd.grad(cascaded * share, entry, retain_graph=True)[0]
            _pass_back(gradient, tape)
        kept = tape.maxlen != 0 and segment < self.last
        (loss * share).backward(retain_graph=kept)  # type: ignore[no-untyped-call]
        if kept:
            tape.append((entry, left))
        return own.item() * share, left.detach(), after

    def _losses(self, segment: int, features: Tensor, criterion: Criterion) -> tuple[Tensor, Tensor]:
        """The loss of a segment's heads, and the part of it that the earlier segments of its window share."""
        head, cascade = self.model.exit_head(segment), self.leg.recipe.cascade
        if not isinstance(head, LeapHead):
            loss = criterion(head(features))
            return loss, cascade * loss
        if cascade == 0:
            loss = criterion(head.independent(features))
            return loss, 0 * loss
        cascaded = cascade * criterion(head(features))
        if cascade == 1:
            return cascaded, cascaded
        return (1 - cascade) * criterion(head.independent(features)) + cascaded, cascaded

    def _nats(self, inputs: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        return self.cross_entropy(logits, labels) + self.anchors.distillation(inputs, logits)

    def _before(self, segment: int, inputs: Tensor) -> Tensor:
        """What enters a segment, without a graph."""
        with torch.no_grad():
            for earlier in range(segment):
                inputs = self.model.run_segment(earlier, inputs)
        return inputs.detach()

    def _predecessor(self, segment: int, features: Tensor, criterion: Criterion) -> Tensor:
        """The gradient of a frozen segment's loss by the features that leave it."""
        leaf = features.detach().requires_grad_()
        loss, _ = self._losses(segment, leaf, criterion)
        return torch.autograd.grad(loss, leaf)[0]

    def _discord(self, inward: Tensor, outward: Tensor) -> Tensor:
        found = discord(inward, outward)
        self._discords += torch.tensor([found.item(), 1.0], dtype=torch.float64)
        return found

    def _held(self, segment: int, inputs: Tensor, labels: Tensor) -> Tensor:
        """The loss of a segment, with all of the graph that a step holds when the segment goes backward."""
        if self.leg.segment != WHOLE_MODEL:
            return self.loss(inputs, labels)
        start = max(0, segment - self.window + 1)
        entry = features = self._before(start, inputs).requires_grad_(self._reconciles and start > 0)
        with self._differentiable():
            for each in range(start, segment + 1):
                features = self.model.run_segment(each, features)
            loss, _ = self._losses(segment, features, partial(self._nats, inputs, labels))
            if entry.requires_grad:
                loss = loss + discord(_gradients(loss, entry), torch.ones_like(entry))
        return loss

    @contextmanager
    def _differentiable(self) -> Iterator[None]:
        """Forward passes in it can be differentiated twice if need be; fused attention cannot."""
        with sdpa_kernel(SDPBackend.MATH) if self._reconciles else nullcontext():
            yield


def discord(inward: Tensor, outward: Tensor) -> Tensor:
    """How far two gradients of a batch's mean losses by the same features disagree: 0 when equal, 4 when opposite.

    The mean over the samples of |inward - outward|² by the mean of |inward|² and |outward|², each (B, ...): `inward` by
    the input of a segment, `outward`, taken as a constant, by the output of its predecessor. The divisor is a constant
    too. Divided by |outward|² alone it has no bound: where a predecessor's head is saturated a leg ended in NaN.
    """
    samples = len(inward)
    own, target = (samples * each.flatten(1).float() for each in (inward, outward.detach()))
    scale = (own.detach().square().sum(1) + target.square().sum(1)) / 2
    return ((own - target).square().sum(1) / (scale + VANISHED)).mean()


def _gradients(loss: Tensor, entry: Tensor) -> Tensor:
    return torch.autograd.grad(loss, entry, create_graph=True)[0]


def _pass_back(gradient: Tensor, tape: deque[Cut]) -> None:
    """Take the gradient of a window's loss through its earlier segments, from the last to the first."""
    for entry, left in reversed(tape):
        entry.grad = None
        torch.autograd.backward(left, gradient, retain_graph=True)
        if entry.grad is None:  # the inputs of the network
            return
        gradient = entry.grad


def _network(leg: Leg) -> BlockModel:
    """The leg's network, if it can be trained this way. Raises LocalFault."""
    model, window = leg.model, leg.recipe.window
    if not isinstance(model, BlockModel):
        raise LocalFault("method=local needs a network made of blocks, with auxiliary heads; this one has none")
    model.check_exits()
    segments = len(model.cuts) - 1
    if window > segments:
        raise LocalFault(f"the recipe's window is {window} segments, allowed are at most the network's {segments}")
    if leg.recipe.sgr and not model.twice_differentiable:
        raise LocalFault("sgr needs a network that can be differentiated twice; this one cannot, leave sgr at 0")
    return model
