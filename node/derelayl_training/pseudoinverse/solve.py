"""Output weights from statistics: ridge regression in closed form, and how far its scores are from the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from derelayl_protocol.errors import LocalFault

from .sums import Statistics, symmetric

RIDGES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""What a ridge is chosen from where none is given."""

MIN_ERROR = 1e-6
"""Least mean square error that is believed; below it rounding decides."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Weights (L, C) float64 that map features to scores, and the mean square error of these on samples not seen.

    Least squares gives scores around 0 and 1, not logits. `scale` makes logits of them: a softmax of scale τ is the
    choice of the largest score after noise of Gumbel's law, whose variance is π²/6τ² (McFadden, 1974); τ is such that
    this is the scores' own error.
    """

    weights: Tensor
    error: float

    @property
    def scale(self) -> float:
        """The factor that makes logits of scores."""
        return math.pi / math.sqrt(6 * self.error)


def solve(statistics: Statistics, ridge: float) -> Tensor:
    """Weights (L, C) that minimise Σ|fW - y|² + λ|W|², with λ = `ridge` times the mean diagonal of the Gram matrix.

    Relative to the diagonal, λ means the same for any number of samples and any scale of the features. It also bounds
    the matrix's condition number by L / ridge, and so what rounding can do: sums that differ by 1e-16 (features that
    are no integers, added in another order) give weights that differ by less than 1e-16 · L / ridge, which is 1e-9 for
    a thousand features and a ridge of 1e-4. Zeros without samples. Raises LocalFault.
    """
    if not statistics.samples:
        return torch.zeros_like(statistics.cross)
    return torch.cholesky_solve(statistics.cross, _factor(statistics, ridge))


def solve_calibrated(statistics: Statistics, ridges: Sequence[float] = RIDGES) -> Solution:
    """Solve with the ridge, of those given in falling order, that has the least estimated error on samples not seen.

    The error is estimated by generalised cross-validation (Golub, Heath and Wahba, Technometrics 1979) from the sums
    alone. So no held-out data is needed, and ridge and scale are the same in whatever order peers add their samples.
    The search ends where the error rises. Raises LocalFault.
    """
    if not statistics.samples:
        return Solution(torch.zeros_like(statistics.cross), math.inf)
    best: Solution | None = None
    for ridge in ridges:
        factor = _factor(statistics, ridge)
        weights = torch.cholesky_solve(statistics.cross, factor)
        solution = Solution(weights, _squared_error(statistics, ridge, factor, weights))
        if best is not None and solution.error >= best.error:
            break
        best = solution
    assert best is not None
    return best


def _factor(statistics: Statistics, ridge: float) -> Tensor:
    """The lower Cholesky factor of the Gram matrix with the ridge on its diagonal."""
    matrix = symmetric(statistics.gram)
    matrix.diagonal().add_(ridge * matrix.diagonal().mean())
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed.item():
        raise LocalFault(
            "the statistics are no sums of squares: data was taken away that had not been added, or a peer before "
            "made them up"
        )
    return factor


def _squared_error(statistics: Statistics, ridge: float, factor: Tensor, weights: Tensor) -> float:
    """Generalised cross-validation: N·RSS / (N - degrees of freedom)², the mean over the classes that were seen."""
    samples, seen = statistics.samples, int((statistics.count > 0).sum())
    penalty = ridge * statistics.gram.diagonal().mean()
    freedom = len(factor) - (penalty * torch.cholesky_inverse(factor).diagonal().sum()).item()
    rest = samples - ((weights * statistics.cross).sum() + penalty * weights.square().sum()).item()
    return max(samples * rest / (samples - freedom) ** 2 / seen, MIN_ERROR)
