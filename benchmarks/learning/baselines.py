"""Closed-form rivals, as their papers have them: ELM, RVFL and BLS. Their ridge is chosen by generalised
cross-validation on the training samples, as ours is; widths are given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from derelayl_training.pseudoinverse.fista import sparse_decoder
from derelayl_training.pseudoinverse.scaling import Range
from derelayl_training.pseudoinverse.solve import solve_calibrated
from derelayl_training.pseudoinverse.sums import Statistics, gram_of

ROWS = 2048

Scores = Callable[[Tensor], Tensor]
"""(N, d) -> (N, classes)."""


@dataclass(frozen=True)
class RandomLayer:
    """tanh(xW + b) with W and b uniform in ±1/√d · gain and ±gain, and beside it the inputs if `direct`."""

    weights: Tensor
    biases: Tensor
    direct: bool

    @classmethod
    def draw(cls, inputs: int, neurons: int, gain: float, direct: bool, seed: int) -> RandomLayer:
        generator = torch.Generator().manual_seed(seed)
        weights = torch.empty(inputs, neurons).uniform_(-1, 1, generator=generator) * (gain * math.sqrt(3 / inputs))
        biases = torch.empty(neurons).uniform_(-gain, gain, generator=generator)
        return cls(weights, biases, direct)

    def __call__(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(inputs @ self.weights + self.biases)
        return torch.cat([hidden, inputs, inputs.new_ones(len(inputs), 1)] if self.direct else [hidden], 1)


def elm(inputs: Tensor, labels: Tensor, classes: int, neurons: int, seed: int) -> Scores:
    """Extreme learning machine (Huang, Zhu and Siew, Neurocomputing 2006) with ridge: a random layer alone."""
    layer = RandomLayer.draw(inputs.shape[1], neurons, _gain(inputs), direct=False, seed=seed)
    return _solved(layer, inputs, labels, classes)


def rvfl(inputs: Tensor, labels: Tensor, classes: int, neurons: int, seed: int) -> Scores:
    """Random vector functional link network (Pao, Park and Sobajic, Neurocomputing 1994): with direct links."""
    layer = RandomLayer.draw(inputs.shape[1], neurons, _gain(inputs), direct=True, seed=seed)
    return _solved(layer, inputs, labels, classes)


def bls(
    inputs: Tensor,
    labels: Tensor,
    classes: int,
    neurons: int,
    seed: int,
    windows: int = 10,
    mapped: int = 10,
    shrink: float = 0.8,
) -> Scores:
    """Broad learning system (Chen and Liu, IEEE TNNLS 2018): sparse-autoencoder windows and tanh enhancement nodes."""
    generator = torch.Generator().manual_seed(seed)
    maps: list[tuple[Tensor, Range]] = []
    for _ in range(windows):
        random = torch.empty(inputs.shape[1] + 1, mapped).uniform_(-1, 1, generator=generator)
        hidden = _with_one(inputs) @ random
        cross = hidden.T.double() @ _with_one(inputs).double()
        decoder = sparse_decoder(gram_of(hidden), cross, 1e-3, 50).float().T  # (d + 1, mapped), tied as the encoder
        maps.append((decoder, Range.of(_with_one(inputs) @ decoder)))

    def nodes(some: Tensor) -> Tensor:
        return torch.cat([2 * span.unit(_with_one(some) @ decoder) - 1 for decoder, span in maps], 1)

    first = _with_one(nodes(inputs[:ROWS]))
    weights = torch.empty(first.shape[1], neurons)
    torch.nn.init.orthogonal_(weights, generator=generator)
    scale = shrink / (first @ weights).abs().max()

    def features(some: Tensor) -> Tensor:
        own = nodes(some)
        return torch.cat([own, torch.tanh(_with_one(own) @ weights * scale)], 1)

    return _solved(features, inputs, labels, classes)


def _solved(features: Callable[[Tensor], Tensor], inputs: Tensor, labels: Tensor, classes: int) -> Scores:
    statistics = Statistics.empty(features(inputs[:1]).shape[1], classes)
    for some, truth in zip(inputs.split(ROWS), labels.split(ROWS), strict=True):
        statistics.add(features(some), truth)
    output = solve_calibrated(statistics).weights.float()
    return lambda samples: torch.cat([features(some) @ output for some in samples.split(ROWS)])


def _gain(inputs: Tensor) -> float:
    """So that a random combination has a spread of about 1 before tanh, whatever the scale of the inputs."""
    return 1 / max(inputs[:ROWS].square().mean().sqrt().item(), 1e-6)


def _with_one(inputs: Tensor) -> Tensor:
    return torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
