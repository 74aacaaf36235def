"""Forward learning: sparse autoencoders stacked layer by layer, as many as the validation samples ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from .classifier import ROWS, Classifier, accuracy
from .fista import sparse_decoder
from .scaling import Range, unit_samples
from .settings import PilsSettings
from .sums import gram_of


@dataclass(frozen=True, slots=True)
class ForwardLayer:
    """x (N, d) -> xWᵀ, each of the n neurons scaled to [0, 1] by the training samples' range."""

    weights: Tensor  # (n, d): the decoder, tied as the encoder
    range: Range

    @classmethod
    def fit(cls, inputs: Tensor, neurons: int, settings: PilsSettings, seed: int) -> Self:
        """Learn to rebuild the inputs (N, d) from random combinations of them, by sparse weights."""
        random = torch.empty(inputs.shape[1], neurons).uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
        gram = torch.zeros(neurons, neurons, dtype=torch.float64)
        cross = torch.zeros(neurons, inputs.shape[1], dtype=torch.float64)
        for some in torch.split(inputs, ROWS):
            hidden = unit_samples(some @ random)
            gram += gram_of(hidden)
            cross += (hidden.T @ some).double()
        penalty = settings.sparsity * gram.diagonal().mean().item()
        weights = sparse_decoder(gram, cross, penalty, settings.fista_steps).float()
        # the range is of training samples alone; the authors' script took that of the fused features from the test
        # samples too
        return cls(weights, Range.of(inputs @ weights.T))

    def features(self, inputs: Tensor) -> Tensor:
        """(N, d) -> (N, n)."""
        return self.range.unit(inputs @ self.weights.T)


@dataclass(frozen=True, slots=True)
class ForwardStack:
    """The layers that were kept, the classifier on the last of them, and the validation accuracy after each layer."""

    layers: tuple[ForwardLayer, ...]
    classifier: Classifier
    accuracies: tuple[float, ...]

    @classmethod
    def grow(
        cls,
        inputs: Tensor,
        labels: Tensor,
        held: tuple[Tensor, Tensor],
        classes: int,
        settings: PilsSettings,
        seed: int,
    ) -> Self:
        """Add layers while the validation accuracy of a classifier on top of them rises.

        The first layer is always kept. In the authors' script a layer that does not help is followed by another one
        with probability 0.01, validation samples are training samples too, and where the greatest depth is reached the
        classifier is that of an earlier layer or none; here `held` is apart, the rule is plain, and each layer that is
        kept is kept with its own classifier.
        """
        layers: list[ForwardLayer] = []
        accuracies: list[float] = []
        best: Classifier | None = None
        own, other = inputs, held[0]
        for depth, neurons in enumerate(settings.widths):
            layer = ForwardLayer.fit(own, neurons, settings, seed + 2 * depth)
            own, other = layer.features(own), layer.features(other)
            classifier = settings.classifier(own, labels, classes, settings.probe_neurons, seed + 2 * depth + 1)
            reached = accuracy(classifier.scores(other), held[1])
            if accuracies and reached <= accuracies[-1]:
                break
            layers.append(layer)
            accuracies.append(reached)
            best = classifier
        assert best is not None
        return cls(tuple(layers), best, tuple(accuracies))

    def features(self, inputs: Tensor) -> list[Tensor]:
        """What every kept layer gives, and last the classifier's hidden layer: each (N, ·)."""
        given: list[Tensor] = []
        for layer in self.layers:
            inputs = layer.features(inputs)
            given.append(inputs)
        return [*given, self.classifier.hidden.features(inputs)]

    def chain(self) -> Sequence[Tensor]:
        """The weights from the inputs to the scores, each (in, out), as backward learning goes through them."""
        return [layer.weights.T for layer in self.layers] + [
            self.classifier.hidden.weights,
            self.classifier.output[:-1],  # without the constant's
        ]
