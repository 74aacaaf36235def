"""FISTA: the sparse decoder of a forward layer, from sums alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sparse_decoder(gram: Tensor, cross: Tensor, penalty: float, steps: int) -> Tensor:
    """Minimise |HW - X|² + penalty·|W|₁ over W (n, d), given gram HᵀH (n, n) and cross HᵀX (n, d), both float64.

    Beck and Teboulle, SIAM J. Imaging Sciences 2009, algorithm FISTA with constant step. The gradient 2(HᵀHW - HᵀX) has
    the Lipschitz constant 2·Lmax, Lmax being the largest eigenvalue of HᵀH, so the step is 1/(2·Lmax). The authors'
    script of SST-PILS takes 1/Lmax, the limit beyond which gradient descent diverges. From sums, a step costs n²d
    whatever the number of samples, and peers could add theirs.
    """
    lipschitz = 2 * torch.linalg.eigvalsh(gram)[-1].item()
    weights = torch.zeros_like(cross)
    if lipschitz <= 0:
        return weights
    looked, momentum = weights, 1.0
    for _ in range(steps):
        moved = looked - (2 / lipschitz) * (gram @ looked - cross)
        following = torch.nn.functional.softshrink(moved, penalty / lipschitz)
        faster = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        looked = following + ((momentum - 1) / faster) * (following - weights)
        weights, momentum = following, faster
    return weights
