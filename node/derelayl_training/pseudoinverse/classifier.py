"""The classifier of SST-PILS: one random hidden layer whose output weights are solved (SHLNN)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from .solve import solve_calibrated
from .sums import Statistics

ROWS = 2048
"""Samples whose hidden layer is in memory at once."""

FITTED_ROWS = 8192
"""Training samples, evenly spaced, from which the hidden layer's mean and spread are taken."""


@dataclass(frozen=True, slots=True)
class HiddenLayer:
    """x (N, d) -> tanh of random orthonormal combinations, and the constant 1: (N, p + 1), float32.

    Each combination is centred and all are scaled by one factor to the spread `reach`, by the training samples' mean
    and spread. The authors' script scales by 0.8 / max over training AND test samples and does not centre: the largest
    of a million numbers is an outlier's, most of the others then lie where tanh is a straight line.
    """

    weights: Tensor  # (d, p)
    centre: Tensor  # (p,)
    scale: float

    @classmethod
    def draw(cls, inputs: Tensor, neurons: int, reach: float, generator: torch.Generator) -> Self:
        """Draw the layer and fit its centre and scale on some of the training samples (N, d)."""
        weights = torch.empty(inputs.shape[1], neurons)
        nn.init.orthogonal_(weights, generator=generator)  # columns where p <= d, else rows
        some = inputs[:: max(1, len(inputs) // FITTED_ROWS)] @ weights
        centre = some.mean(0)
        spread = (some - centre).square().mean().sqrt().item()
        return cls(weights, centre, reach / max(spread, 1e-12))

    def features(self, inputs: Tensor) -> Tensor:
        """(N, d) -> (N, p + 1)."""
        hidden = ((inputs @ self.weights - self.centre) * self.scale).tanh_()
        return torch.cat([hidden, hidden.new_ones(len(hidden), 1)], 1)


@dataclass(frozen=True, slots=True)
class Classifier:
    """A hidden layer and its output weights (p + 1, C).

    Targets are 1 for the class and 0 for the others. The paper's are ±1, which gives the same weights up to a factor
    and the constant's, and so the same decisions.
    """

    hidden: HiddenLayer
    output: Tensor

    @classmethod
    def fit(
        cls,
        inputs: Tensor,
        labels: Tensor,
        classes: int,
        neurons: int,
        reach: float,
        ridges: Sequence[float],
        seed: int,
    ) -> Self:
        """Draw the hidden layer and solve with the best of the ridges. inputs (N, d) float32, labels (N,) int64."""
        hidden = HiddenLayer.draw(inputs, neurons, reach, torch.Generator().manual_seed(seed))
        statistics = Statistics.empty(neurons + 1, classes)
        for some, truth in pieces(inputs, labels):
            statistics.add(hidden.features(some), truth)
        return cls(hidden, solve_calibrated(statistics, ridges).weights.float())

    def scores(self, inputs: Tensor) -> Tensor:
        """(N, d) -> (N, C), near 1 for the class and near 0 for others."""
        return torch.cat([self.hidden.features(some) @ self.output for some in torch.split(inputs, ROWS)])


def pieces(inputs: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples and labels, ROWS at a time."""
    return zip(torch.split(inputs, ROWS), torch.split(labels, ROWS), strict=True)


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """The share of the samples whose largest score is the label's. Raises LocalFault without samples."""
    if not len(labels):
        raise LocalFault("there are no validation samples to choose by")
    return int((scores.argmax(1) == labels).sum()) / len(labels)
