"""What least squares needs to know of the samples: sums that add up over chunks, peers and machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from derelayl_protocol.errors import LocalFault

CHUNK = 1024
"""Samples whose products are summed in float32 before they are added in float64.

So many products of features of at most 127 stay below 2²⁴: where all features are integers of that size, as those of
`projection`, float32 rounds nothing, and float64 nothing up to 2⁵³. Then the sums are exact, whatever the order of the
samples, the number of threads or the kind of device, and subtracting is the exact inverse of adding.
"""

COLUMNS = 512
"""Columns of a block of the Gram matrix; blocks below the diagonal are not computed, for they mirror those above."""


@dataclass(slots=True)
class Statistics:
    """Sums over samples: `gram` ΣffT (L, L), `cross` ΣfyT (L, C), `count` Σy (C,) of features f and one-hot labels y.

    All in float64. Of the Gram matrix only the upper triangle is kept, below it are zeros, as it is symmetric.
    """

    gram: Tensor
    cross: Tensor
    count: Tensor

    @classmethod
    def empty(cls, features: int, classes: int, device: torch.device | str = "cpu") -> Self:
        """No samples yet."""
        return cls(*(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes(features, classes)))

    @property
    def samples(self) -> float:
        """How many samples were added."""
        return self.count.sum().item()

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Add samples: features (N, L) float32, labels (N,) int64."""
        for some, truth in zip(torch.split(features, CHUNK), torch.split(labels, CHUNK), strict=True):
            onehot = torch.nn.functional.one_hot(truth, len(self.count)).to(some.dtype)
            _add_gram(self.gram, some)
            self.cross += (some.T @ onehot).double()
            self.count += onehot.sum(0).double()

    def plus(self, other: Statistics, sign: int = 1) -> Statistics:
        """The statistics of both together, or with sign -1 of these samples without the other ones."""
        pairs = zip(self.tensors, other.tensors, strict=True)
        return Statistics(*(own + sign * more for own, more in pairs))

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """gram, cross and count."""
        return self.gram, self.cross, self.count

    def check(self) -> None:
        """Raise LocalFault where these can be the sums of no samples at all."""
        if (self.count < 0).any() or (self.gram.diagonal() < 0).any():
            raise LocalFault(
                "the statistics would hold a negative number of samples; only data that was added can be taken away"
            )


def shapes(features: int, classes: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of gram, cross and count."""
    return (features, features), (features, classes), (classes,)


def gram_of(features: Tensor) -> Tensor:
    """The Gram matrix (L, L) of features (N, L), symmetric, in float64."""
    gram = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64, device=features.device)
    for some in torch.split(features, CHUNK):
        _add_gram(gram, some)
    return symmetric(gram)


def symmetric(upper: Tensor) -> Tensor:
    """Fill the lower triangle from the upper one."""
    return upper.triu() + upper.triu(1).T


def _add_gram(gram: Tensor, features: Tensor) -> None:
    width = features.shape[1]
    for start in range(0, width, COLUMNS):
        stop = min(start + COLUMNS, width)
        block = (features[:, start:stop].T @ features[:, start:]).double()
        block[:, : stop - start].triu_()
        gram[start:stop, start:] += block
