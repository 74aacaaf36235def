"""One subsystem of SST-PILS: forward and backward learning, and a wide classifier on features of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from .backward import BackwardStack
from .classifier import Classifier, accuracy
from .forward import ForwardStack
from .scaling import Range
from .settings import PilsSettings

SEEDS_OF_FORWARD = 1000
"""Seeds that forward learning may use; the fusion's follow."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Which layer's features of the forward and of the backward stack are joined, counted from the bottom.

    `backward` is None where forward features alone are better on the validation samples, as with few samples, on which
    backward learning has seen too many of the labels. The paper always joins two.
    """

    forward: int
    backward: int | None


@dataclass(frozen=True, slots=True)
class Subsystem:
    """Trained; `validation` holds the accuracies by which the pair was chosen."""

    forward: ForwardStack
    backward: BackwardStack
    pair: Pair
    range: Range
    fused: Classifier
    validation: dict[Pair, float]

    @classmethod
    def fit(
        cls,
        inputs: Tensor,
        labels: Tensor,
        held: tuple[Tensor, Tensor],
        classes: int,
        settings: PilsSettings,
        seed: int,
    ) -> Self:
        """Train on (N, d) and (N,). Every choice is by the `held` samples, which are not among them.

        The authors' script trains the wide classifier for every pair and keeps the one with the best accuracy on the
        TEST set. Here the validation samples choose, and pairs are compared by narrow classifiers on some of the
        training samples; only the chosen pair gets the wide one.
        """
        forward = ForwardStack.grow(inputs, labels, held, classes, settings, seed)
        backward = BackwardStack.fit(inputs, labels, classes, forward.chain(), settings.backward_ridge)
        some = slice(None, None, max(1, len(labels) // settings.probe_rows))
        tried = {
            pair: _try_pair(forward, backward, pair, (inputs[some], labels[some]), held, classes, settings, seed)
            for pair in pairs_of(len(forward.layers))
        }
        pair = max(tried, key=lambda each: tried[each])  # of equal ones the first
        joined = _joined(forward, backward, pair, inputs)
        scale = Range.of(joined)
        fused = settings.classifier(
            scale.unit(joined), labels, classes, settings.fusion_neurons, seed + SEEDS_OF_FORWARD
        )
        return cls(forward, backward, pair, scale, fused, tried)

    def scores(self, inputs: Tensor) -> Tensor:
        """(N, d) -> (N, classes)."""
        return self.fused.scores(self.range.unit(_joined(self.forward, self.backward, self.pair, inputs)))


def pairs_of(depth: int) -> list[Pair]:
    """The pairs to try: from the classifier's hidden layer down to the second layer, of either stack."""
    layers = range(depth, 0, -1)
    return [Pair(forward, backward) for forward in layers for backward in (*layers, None)]


def _joined(forward: ForwardStack, backward: BackwardStack, pair: Pair, inputs: Tensor) -> Tensor:
    own = forward.features(inputs)[pair.forward]
    return own if pair.backward is None else torch.cat([own, backward.features(inputs)[pair.backward]], 1)


def _try_pair(
    forward: ForwardStack,
    backward: BackwardStack,
    pair: Pair,
    own: tuple[Tensor, Tensor],
    held: tuple[Tensor, Tensor],
    classes: int,
    settings: PilsSettings,
    seed: int,
) -> float:
    joined = _joined(forward, backward, pair, own[0])
    scale = Range.of(joined)
    narrow = settings.classifier(scale.unit(joined), own[1], classes, settings.probe_neurons, seed + SEEDS_OF_FORWARD)
    return accuracy(narrow.scores(scale.unit(_joined(forward, backward, pair, held[0]))), held[1])
