"""Temperature scaling: probabilities that are as often right as they say (Guo et al., ICML 2017)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from .pulled import MAX_TEMPERATURE

TEMPERATURE_STEPS = 60
"""Of the golden-section search: the interval shrinks by 0.618 each, to a relative error of 1e-12."""

GOLDEN = (math.sqrt(5) - 1) / 2


def probabilities_of(logits: Tensor, temperature: float) -> Tensor:
    """Map logits (N, classes) to probabilities in double precision."""
    return (logits.double() / temperature).softmax(1)


def fit_temperature(logits: Tensor, truth: Tensor) -> float:
    """Find what to divide logits (N, classes) by so that the mean cross-entropy is least; golden section over its log.

    The cross-entropy is convex in the inverse temperature, so it has one valley.
    """

    logits = logits.double()

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / math.exp(log_temperature), truth).item()

    low, high = -math.log(MAX_TEMPERATURE), math.log(MAX_TEMPERATURE)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(TEMPERATURE_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = loss(right)
    return math.exp((low + high) / 2)
