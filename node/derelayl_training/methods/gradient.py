"""What all methods share that follow a gradient: the optimiser, its schedule, pieces of a batch, terms of the loss."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from derelayl_protocol.errors import LocalFault

from ..batches import Batches, RandomBatches
from ..forgetting import Anchors
from ..labels import label_shift
from ..memory import samples_within
from .port import Leg, Record


class GradientMethod(ABC):
    """Optimises the leased parameters on batches drawn at random.

    A subclass says what is minimised, by `loss`; one that calls backward several times overrides `backward`.
    """

    leg: Leg
    shift: Tensor
    """Added to the logits in training: see `labels.label_shift`."""

    @abstractmethod
    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a piece of a batch, in nats; scalar, with its graph."""

    @property
    def changes(self) -> frozenset[str]:
        """See Method."""
        return frozenset(self.trained) | self.anchors.changes | self._statistics

    def trained_names(self, leg: Leg) -> frozenset[str]:
        """The parameters that are optimised: those leased, but for what a subclass leaves alone."""
        return leg.leased

    def prepare(self, leg: Leg) -> Batches:
        """See Method."""
        self.leg = leg
        names = self.trained_names(leg)
        parameters = dict(leg.model.named_parameters())
        self.trained = {name: parameters[name] for name in parameters if name in names}
        if not self.trained:
            raise LocalFault(f"segment {leg.segment} has no parameters that {leg.recipe.method} can train")
        freeze_all_but(leg.model, self.trained)
        self._statistics = _running_statistics(leg.model) & leg.leased
        self.anchors = Anchors(leg, self.trained)
        self.shift = label_shift(leg)
        self.optimiser = make_optimiser(leg, list(self.trained.values()))
        self.taken = 0
        self._batch = min(leg.batch, len(leg.data.train_y))
        self._piece = samples_within(leg, self.loss, self._batch)
        return RandomBatches(len(leg.data.train_y), leg.steps, leg.batch, leg.seed)

    def step(self, inputs: Tensor, labels: Tensor) -> float:
        """See Method. Under torchrun each process has its own part of the batch; gradients add up over all."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.zero_grad()
        inputs, labels = self.anchors.with_rehearsal(inputs, labels, self.taken)
        whole = len(inputs) if self.leg.resources.world == 1 else self._batch
        loss = sum(self.backward(*piece, len(piece[1]) / whole) for piece in self._pieces(inputs, labels))
        loss = self._add_up(loss)
        if not math.isfinite(loss):
            raise LocalFault(
                f"the loss is {loss} at step {self.taken}; "
                f"a smaller learning rate than {self.leg.learning_rate} may help"
            )
        self.anchors.add_gradients()
        if self.leg.recipe.clip:
            nn.utils.clip_grad_norm_(self.trained.values(), self.leg.recipe.clip)
        self.optimiser.step()
        self.taken += 1
        self.after_step()
        return loss

    def backward(self, inputs: Tensor, labels: Tensor, share: float) -> float:
        """Add the gradient of `share` times the loss of a piece, and return that product."""
        with self.leg.resources.autocast():
            loss = self.loss(inputs, labels) * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def after_step(self) -> None:  # noqa: B027 - most methods have nothing to do here
        """What a subclass does when the parameters have moved."""

    def finish(self) -> Record:
        """See Method."""
        return self.anchors.finish()

    def state(self) -> Mapping[str, Tensor]:
        """See Method: momenta by parameter, and how many steps were taken."""
        names = list(self.trained)
        momenta = {
            f"{names[index]}/{key}": torch.as_tensor(value)
            for index, entry in self.optimiser.state_dict()["state"].items()
            for key, value in entry.items()
            if value is not None
        }
        return {**momenta, "taken": torch.tensor(self.taken)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See Method."""
        places = {name: index for index, name in enumerate(self.trained)}
        momenta: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            name, _, part = key.rpartition("/")
            if part == "taken" and not name:
                self.taken = int(value)
            elif name in places:
                momenta.setdefault(places[name], {})[part] = value
            else:
                raise LocalFault(f"the snapshot holds {key}, which this leg does not train")
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": momenta})

    def learning_rate(self) -> float:
        """The rate of the coming step: a linear rise over the warm-up, then constant or falling along a cosine."""
        recipe, rate = self.leg.recipe, self.leg.learning_rate
        if self.taken < recipe.warmup:
            return rate * (self.taken + 1) / (recipe.warmup + 1)
        if recipe.schedule == "cosine":
            left = max(1, self.leg.steps - recipe.warmup)
            return rate * 0.5 * (1 + math.cos(math.pi * (self.taken - recipe.warmup) / left))
        return rate

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy in nats of logits (B, classes) or (B, classes, T), adjusted by the peer's label shares."""
        return F.cross_entropy(logits.float() + self.shift, labels)

    def _pieces(self, inputs: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(torch.split(inputs, self._piece), torch.split(labels, self._piece), strict=True)

    def _add_up(self, loss: float) -> float:
        """Sum gradients and loss over the processes of one leg."""
        if self.leg.resources.world == 1:
            return loss
        total = torch.tensor(loss, dtype=torch.float64)
        dist.all_reduce(total)
        for parameter in self.trained.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
        return total.item()


def freeze_all_but(model: nn.Module, trained: Mapping[str, Tensor]) -> None:
    """Keep gradients from the rest, and the rest's running statistics from moving."""
    model.train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and f"{name}.weight" not in trained:
            module.eval()


def _running_statistics(model: nn.Module) -> frozenset[str]:
    norms = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    return frozenset(f"{name}.{buffer}" for name in norms for buffer in ("running_mean", "running_var"))


def make_optimiser(leg: Leg, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """Make the recipe's optimiser, fresh: no state travels with the baton.

    SGD rather than AdamW by default: Adam's first steps, taken before its second moments have settled, are large enough
    to undo the peer before (0.91 against 0.95 after six legs of 80 steps over five skewed shards of MNIST-5k, two
    seeds, the best of the rates tried for each). Transformers need AdamW.
    """
    recipe = leg.recipe
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(
            parameters, lr=leg.learning_rate, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay
        )
    return torch.optim.SGD(
        parameters,
        lr=leg.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )
