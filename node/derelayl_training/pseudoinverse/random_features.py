"""Random features as small integers, drawn from a seed: the same at every peer, bit for bit, and never sent.

Every feature is an integer from -127 to 127, a fixed-point number with 7 bits after the point. Samples, random weights
and pre-activations are integers too and small enough for float32 and float64 to hold exactly, so no order of summation
can change them; the one rounding is that of tanh to 1/127, in float64. On Fashion-MNIST the fixed point costs no
accuracy, and it makes `Statistics` exact.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

LEVELS = 127
"""The integer that stands for 1."""

TABLE_RANGE = 4.0
"""Numbers of a table row are cut at ± this many standard deviations of their column (the schema's)."""

PIXELS = 255
"""The integer that stands for white before the projection."""

WEIGHT_RANGE = 7
"""Random weights are integers from -7 to 7, all equally likely."""

WEIGHT_DEVIATION = math.sqrt(((2 * WEIGHT_RANGE + 1) ** 2 - 1) / 12)
"""Standard deviation of such a weight, 4.3."""

PIXEL_RMS = 0.4
"""Root mean square of the pixels of dark-ground images (0.33 for MNIST, 0.45 for Fashion-MNIST), 1 being white."""

GRID = 4
"""Responses to a local filter are pooled over a grid of at most 4 x 4 cells."""

PATCH_GAIN = 2.0
PATCH_BIAS = 0.05
"""Of local filters: the factor before tanh, and the greatest threshold, as a share of a filter's full response.

Both, and the side of 5, the stride of 1 and the grid, chosen on a validation part of Fashion-MNIST's training images.
"""

SLICE = 64
"""Images unfolded at once: their patches fit the processor's cache."""

FLOAT32_INTEGERS = 2**24
"""Float32 holds every integer up to it."""


class Projection(ABC, nn.Module):
    """Samples (B, …) as `to_inputs` makes them -> features (B, size) float32, integers within ±LEVELS.

    The samples themselves come first (direct links, as in RVFL networks), then the random features, last the constant
    LEVELS. Has no state of its own: its buffers follow from the seed.
    """

    size: int

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """(B, …) -> (B, size)."""


class DenseProjection(Projection):
    """tanh of random combinations of all pixels or columns (a random layer as in PIL, RVFL and ELM)."""

    weights: Tensor
    biases: Tensor

    def __init__(self, input_shape: tuple[int, ...], neurons: int, seed: int) -> None:
        super().__init__()
        inputs = math.prod(input_shape)
        self.images = len(input_shape) > 1
        raw = _random_bits(seed, (inputs + 1) * neurons)
        self.register_buffer("weights", _small_integers(raw[neurons:]).view(inputs, neurons), persistent=False)
        self.register_buffer("biases", _fractions(raw[:neurons]), persistent=False)
        typical = PIXEL_RMS * PIXELS if self.images else LEVELS / TABLE_RANGE
        self.gain = 1 / (typical * WEIGHT_DEVIATION * math.sqrt(inputs))
        self.exact = inputs * WEIGHT_RANGE * (PIXELS if self.images else LEVELS) < FLOAT32_INTEGERS
        self.size = inputs + neurons + 1

    def forward(self, inputs: Tensor) -> Tensor:
        """See Projection."""
        direct = direct_links(inputs)
        integers = pixels_of(inputs).flatten(1) if self.images else direct
        kind = torch.float32 if self.exact else torch.float64
        sums = integers.to(kind) @ self.weights.to(kind)
        return _joined(direct, _tanh(sums.double() * self.gain + self.biases))


class PatchProjection(Projection):
    """Random filters over the image, rectified, pooled over a grid, tanh: random local receptive fields.

    As in ELM-LRF (Huang et al., IEEE CIM 2015) and the untrained filters of Jarrett et al. (ICCV 2009). A filter's
    weights sum to zero in every channel, so that a plain area gives no response.
    """

    weights: Tensor
    thresholds: Tensor

    def __init__(self, input_shape: tuple[int, int, int], neurons: int, patch: int, seed: int) -> None:
        super().__init__()
        channels, *sides = input_shape
        self.patch = patch
        self.positions = [side - patch + 1 for side in sides]
        if min(self.positions) < GRID:
            raise LocalFault(f"pil: patch is {patch}, allowed is at most {min(sides) - GRID + 1} for images of {sides}")
        self.cell = [-(-count // GRID) for count in self.positions]
        cells = math.prod(-(-count // side) for count, side in zip(self.positions, self.cell, strict=True))
        if neurons % cells:
            raise LocalFault(
                f"pil: neurons is {neurons}, allowed is a multiple of the {cells} cells that pool a filter"
            )
        filters, values = neurons // cells, channels * patch**2
        raw = _random_bits(seed, filters * (values + 1))
        weights = _zero_sums(_small_integers(raw[filters:]).view(filters * channels, -1)).view(filters, values)
        full = PIXELS * WEIGHT_DEVIATION * math.sqrt(values)
        self.register_buffer("weights", weights, persistent=False)
        thresholds = (_fractions(raw[:filters]) * PATCH_BIAS * full).round().float()
        self.register_buffer("thresholds", thresholds[:, None], persistent=False)
        self.gain = PATCH_GAIN / (math.prod(self.cell) * full)
        largest = PIXELS * values * 2 * WEIGHT_RANGE + PATCH_BIAS * full
        self.exact = largest * math.prod(self.cell) < FLOAT32_INTEGERS
        self.size = math.prod(input_shape) + neurons + 1

    def forward(self, inputs: Tensor) -> Tensor:
        """See Projection."""
        pooled = torch.cat([self._pool(some) for some in torch.split(inputs, SLICE)])
        return _joined(direct_links(inputs), _tanh(pooled.double() * self.gain))

    def _pool(self, inputs: Tensor) -> Tensor:
        patches = F.unfold(pixels_of(inputs), self.patch)  # (B, channels * patch², positions)
        responses = torch.baddbmm(self.thresholds, self.weights.expand(len(inputs), -1, -1), patches).relu_()
        responses = responses if self.exact else responses.double()
        maps = responses.view(len(inputs), -1, *self.positions)
        pooled = F.avg_pool2d(maps, self.cell, ceil_mode=True, divisor_override=1)  # sums, so integers still
        return pooled.flatten(1)


def pixels_of(inputs: Tensor) -> Tensor:
    """Undo `to_inputs` on images: [-1, 1] -> 0 … PIXELS, integers in float32. Black is 0, so that it adds nothing."""
    return ((inputs.float() + 1) * (PIXELS / 2)).round_()


def direct_links(inputs: Tensor) -> Tensor:
    """The samples themselves as features: images (B, C, H, W) or rows (B, F) -> (B, …) integers within ±LEVELS."""
    limit = 1.0 if inputs.ndim > 2 else TABLE_RANGE
    return (inputs.flatten(1).double().clamp(-limit, limit) * (LEVELS / limit)).round_().float()


def _joined(direct: Tensor, random: Tensor) -> Tensor:
    return torch.cat([direct, random, random.new_full((len(random), 1), LEVELS)], 1)


def _tanh(activations: Tensor) -> Tensor:
    """Float64 -> integers in float32. Libraries differ in the last of tanh's 52 bits: it shows once in 10¹³ times."""
    return activations.tanh_().mul_(LEVELS).round_().float()


def _random_bits(seed: int, count: int) -> NDArray[np.uint64]:
    """Philox counts and hashes: its raw numbers are the same in every version of numpy, unlike those of generators."""
    return np.random.Philox(key=seed).random_raw(count)


def _small_integers(raw: NDArray[np.uint64]) -> Tensor:
    return torch.from_numpy((raw % np.uint64(2 * WEIGHT_RANGE + 1)).astype(np.float32) - WEIGHT_RANGE)


def _fractions(raw: NDArray[np.uint64]) -> Tensor:
    """From -1 to 1, float64."""
    return torch.from_numpy((raw >> np.uint64(11)).astype(np.float64) / 2**52 - 1)


def _zero_sums(weights: Tensor) -> Tensor:
    """Shift each row's integers so that they sum to zero and stay integers within twice WEIGHT_RANGE."""
    sums = weights.sum(1, keepdim=True)
    each = (sums / weights.shape[1]).floor()
    rest = sums - each * weights.shape[1]  # 0 … columns - 1: the first ones give up one more
    return weights - each - (torch.arange(weights.shape[1]) < rest).float()
