"""mlp: residual blocks of two linear layers for table rows.

The ResNet of Gorishniy et al. (NeurIPS 2021, "Revisiting Deep Learning Models for Tabular Data") without dropout, and
with LayerNorm for BatchNorm, for no layer may mix the samples of a batch (`SegmentedModel`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from ..kinds import InputKind
from .blocks import SEGMENT_BOUNDS, BlockModel, build_within_limit, check_activations, check_segments
from .segmented import integers

NAME = "mlp"

EXPANSION = 2
"""Width of a block's hidden layer, in multiples of `width`."""

BOUNDS = {
    "features": (1, 65_536),  # numbers in a row
    "classes": (2, 1000),
    "width": (4, 4096),
    "depth": (1, 64),  # blocks
    "segments": SEGMENT_BOUNDS,
}
"""Allowed parameters; MAX_WEIGHTS bounds them together."""


class ResidualBlock(nn.Module):
    """LayerNorm and two linear layers beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, EXPANSION * width)
        self.outward = nn.Linear(EXPANSION * width, width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width) -> the same."""
        transformed: Tensor = features + self.outward(F.relu(self.hidden(self.norm(features))))
        return transformed


class NormHead(nn.Module):
    """LayerNorm, ReLU and a linear layer: (B, width) -> (B, classes)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(F.relu(self.norm(features)))
        return logits


class Mlp(BlockModel):
    """A classifier of table rows in `depth` blocks."""

    input_kind = InputKind.TABLE

    def __init__(self, *, features: int, classes: int, width: int, depth: int, segments: int) -> None:
        super().__init__(
            (features,),
            classes,
            stem=nn.Linear(features, width),
            blocks=[ResidualBlock(width) for _ in range(depth)],
            head=NormHead(width, classes),
            segments=segments,
        )
        self.width = width
        self.apply(initialise)

    def bridge(self, start: int, stop: int) -> ResidualBlock:
        """See BlockModel; all blocks have one shape."""
        return ResidualBlock(self.width).apply(initialise)

    def classifier(self, at: int) -> NormHead:
        """See BlockModel; a row has no positions to pool over."""
        return NormHead(self.width, self.classes).apply(initialise)


def initialise(module: nn.Module) -> None:
    """Draw a linear layer's weights: He et al. (ICCV 2015), eq. 10, which keeps the variance of the features."""
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


def build_mlp(parameters: Mapping[str, int | str | bool]) -> Mlp:
    """Check the parameters and build the network. Raises LocalFault."""
    checked = integers(NAME, parameters, BOUNDS)
    check_segments(NAME, checked["segments"], blocks=checked["depth"])
    check_activations(NAME, max(checked["features"], EXPANSION * checked["width"]))
    return build_within_limit(NAME, lambda: Mlp(**checked))
