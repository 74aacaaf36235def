"""vit: a small Vision Transformer (Dosovitskiy et al., ICLR 2021) for small images.

Square patches, learned positions, pre-norm encoder blocks without dropout. The mean over patches stands for the class
token, as in Beyer et al. (2022, "Better plain ViT baselines").

The number of attention heads is the parameter `heads`, and `attention_heads` where `heads` names auxiliary heads.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from .blocks import SEGMENT_BOUNDS, BlockModel, build_within_limit, check_activations, check_segments
from .segmented import integers

NAME = "vit"

EXPANSION = 4
"""Width of a block's hidden layer, in multiples of `dimension`."""

INITIAL_DEVIATION = 0.02
"""Standard deviation of the first positions and linear weights."""

BOUNDS = {
    "channels": (1, 16),
    "height": (4, 256),
    "width": (4, 256),
    "classes": (2, 1000),
    "patch": (1, 64),  # pixels along a side
    "dimension": (8, 1024),
    "depth": (1, 48),
    "heads": (1, 32),
    "segments": SEGMENT_BOUNDS,
}
"""Allowed parameters; MAX_WEIGHTS and MAX_ACTIVATIONS bound them together."""


class PatchEmbedding(nn.Module):
    """Cut an image into patches, map each to a vector, add what stands for its place."""

    def __init__(self, channels: int, patch: int, patches: int, dimension: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(patches, dimension))
        self.projection = nn.Conv2d(channels, dimension, patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, patches, dimension)."""
        vectors: Tensor = self.projection(images).flatten(2).transpose(1, 2)
        return vectors + self.positions


class SelfAttention(nn.Module):
    """Every patch looks at every patch of its own image; a causal one looks at itself and those before it only."""

    def __init__(self, dimension: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.inward = nn.Linear(dimension, 3 * dimension)  # query, key and value at once
        self.outward = nn.Linear(dimension, dimension)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, patches, dimension) -> the same."""
        split = self.inward(tokens).unflatten(2, (3, self.heads, -1))  # (B, patches, 3, heads, dimension/heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (B, heads, patches, dimension/heads)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        joined: Tensor = self.outward(mixed.transpose(1, 2).flatten(2))
        return joined


class EncoderBlock(nn.Module):
    """Attention, then two linear layers, each behind a LayerNorm and beside a shortcut."""

    def __init__(self, dimension: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dimension)
        self.attention = SelfAttention(dimension, heads, causal=causal)
        self.hidden_norm = nn.LayerNorm(dimension)
        self.hidden = nn.Sequential(
            nn.Linear(dimension, EXPANSION * dimension), nn.GELU(), nn.Linear(EXPANSION * dimension, dimension)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, patches, dimension) -> the same."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        transformed: Tensor = tokens + self.hidden(self.hidden_norm(tokens))
        return transformed


class MeanHead(nn.Module):
    """LayerNorm, the mean over patches and a linear layer: (B, patches, dimension) -> (B, classes)."""

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dimension)
        self.linear = nn.Linear(dimension, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.norm(tokens).mean(1))
        return logits


class VisionTransformer(BlockModel):
    """A classifier of `depth` encoder blocks over (height/patch)·(width/patch) patches."""

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        classes: int,
        patch: int,
        dimension: int,
        depth: int,
        heads: int,
        segments: int,
    ) -> None:
        stem = PatchEmbedding(channels, patch, _patches(height, width, patch), dimension)
        super().__init__(
            (channels, height, width),
            classes,
            stem=stem,
            blocks=[EncoderBlock(dimension, heads) for _ in range(depth)],
            head=MeanHead(dimension, classes),
            segments=segments,
        )
        nn.init.trunc_normal_(stem.positions, std=INITIAL_DEVIATION)
        self.dimension, self.attention_heads = dimension, heads
        self.apply(initialise)

    def bridge(self, start: int, stop: int) -> EncoderBlock:
        """See BlockModel; all blocks have one shape."""
        return EncoderBlock(self.dimension, self.attention_heads).apply(initialise)

    def classifier(self, at: int) -> MeanHead:
        """See BlockModel."""
        return MeanHead(self.dimension, self.classes).apply(initialise)


def initialise(module: nn.Module) -> None:
    """Draw a linear layer's weights, as Dosovitskiy et al. (ICLR 2021) do."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=INITIAL_DEVIATION)
        nn.init.zeros_(module.bias)


def build_vit(parameters: Mapping[str, int | str | bool]) -> VisionTransformer:
    """Check the parameters and build the network. Raises LocalFault."""
    checked = integers(NAME, parameters, BOUNDS)
    patch, dimension, heads = checked["patch"], checked["dimension"], checked["heads"]
    for side in ("height", "width"):
        if checked[side] % patch:
            raise LocalFault(f"{NAME}: {side} is {checked[side]}, allowed is a multiple of patch, which is {patch}")
    if dimension % heads:
        raise LocalFault(f"{NAME}: dimension is {dimension}, allowed is a multiple of heads, which is {heads}")
    check_segments(NAME, checked["segments"], blocks=checked["depth"])
    patches = _patches(checked["height"], checked["width"], patch)
    check_activations(NAME, patches * max(EXPANSION * dimension, heads * patches))
    return build_within_limit(NAME, lambda: VisionTransformer(**checked))


def _patches(height: int, width: int, patch: int) -> int:
    return (height // patch) * (width // patch)
