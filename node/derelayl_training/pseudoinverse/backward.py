"""Backward learning: targets sent down a trained stack by pseudoinverses, layers solved again upwards to meet them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from .classifier import ROWS, pieces
from .solve import solve_calibrated
from .sums import Statistics

SLOPE = 0.1
"""Of the leaky rectifier below zero, both ways. The authors' script inverts a slope of 0.1, solves through one of 0.02
and takes features through tanh: then no layer meets the target that was sent to it."""


def leaky(values: Tensor) -> Tensor:
    """The activation between the layers."""
    return torch.nn.functional.leaky_relu(values, SLOPE)


def leaky_inverse(values: Tensor) -> Tensor:
    """What `leaky` makes these values of."""
    return torch.where(values < 0, values / SLOPE, values)


def targets_down(chain: Sequence[Tensor], classes: int, ridge: float) -> list[Tensor]:
    """What each layer but the last should give before its activation, from bottom to top: (classes, out) float64 each.

    At the top stand the labels, ±1. A layer z -> zW with the target t asks its input to be t(WᵀW + λI)⁻¹Wᵀ, the least
    one that it maps to t but for λ (relative to the mean diagonal); the inverse activation makes that the target of the
    layer below.
    A target depends on the label alone, so there is one for each class and not, as in the authors' script, one for each
    sample.
    """
    target = 2 * torch.eye(classes, dtype=torch.float64) - 1
    found: list[Tensor] = []
    for weights in reversed(chain[1:]):  # (in, out)
        weights = weights.double()
        matrix = weights.T @ weights
        matrix.diagonal().add_(ridge * matrix.diagonal().mean())
        target = leaky_inverse(torch.linalg.solve(matrix, target.T).T @ weights.T)
        target = target / target.abs().max().clamp_min(1e-12)  # the next layer is solved for any scale alike
        found.insert(0, target)
    return found


@dataclass(frozen=True, slots=True)
class BackwardStack:
    """Layers (in, out) whose activation is `leaky`; their features are driven by the labels."""

    weights: tuple[Tensor, ...]

    @classmethod
    def fit(cls, inputs: Tensor, labels: Tensor, classes: int, chain: Sequence[Tensor], ridge: float) -> Self:
        """Solve the layers of a chain from the bottom, each for its target on the training samples (N, d).

        `ridge` is of the way down. On the way up generalised cross-validation chooses one for each layer: with the
        small ridge of the authors' script a layer with more inputs than samples learns the labels by heart, and the
        classifier on top of it trusts features that mean nothing for other samples.
        """
        weights: list[Tensor] = []
        values = inputs
        for target in targets_down(chain, classes, ridge):
            statistics = Statistics.empty(values.shape[1], classes)
            for some, truth in pieces(values, labels):
                statistics.add(some, truth)
            # one target a class: Σ f·t is the sums by class times the targets, and the layer has rank `classes`
            layer = (solve_calibrated(statistics).weights @ target).float()
            values = torch.cat([leaky(some @ layer) for some in torch.split(values, ROWS)])
            weights.append(layer)
        return cls(tuple(weights))

    def features(self, inputs: Tensor) -> list[Tensor]:
        """What every layer gives: (N, out) each."""
        given: list[Tensor] = []
        for layer in self.weights:
            inputs = leaky(inputs @ layer)
            given.append(inputs)
        return given
