"""Maps to fixed ranges. What is fitted is fitted on training samples only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

TINY = 1e-12
"""Stands for a range of zero: a constant feature maps to a constant."""


def unit_samples(values: Tensor) -> Tensor:
    """Scale every sample of (N, d) to [-1, 1] by its own least and greatest value; nothing is fitted."""
    low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    return (values - low) * (2 / (high - low).clamp_min(TINY)) - 1


@dataclass(frozen=True, slots=True)
class Range:
    """The least value and the span of each feature, (d,), over the samples it was fitted on."""

    low: Tensor
    span: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """Fit on (N, d)."""
        low = values.amin(0)
        return cls(low, (values.amax(0) - low).clamp_min(TINY))

    def unit(self, values: Tensor) -> Tensor:
        """Map (N, d) so that the fitted range becomes [0, 1]; other samples may lie outside it."""
        return (values - self.low) / self.span
