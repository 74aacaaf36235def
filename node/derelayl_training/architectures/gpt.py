"""gpt: a small causal transformer over bytes (Radford et al., 2019), for text in any language without a tokenizer.

Learned positions, pre-norm blocks without dropout, a last LayerNorm. What embeds a byte and what predicts one are two
matrices, where GPT-2 has one: a tensor belongs to one segment, and these two stand at opposite ends.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from ..kinds import BYTE_VALUES, InputKind
from .blocks import SEGMENT_BOUNDS, BlockModel, build_within_limit, check_activations, check_segments
from .segmented import integers
from .vit import EXPANSION, INITIAL_DEVIATION, EncoderBlock, initialise

NAME = "gpt"

BOUNDS = {
    "length": (2, 1024),  # bytes in a window
    "dimension": (8, 1024),
    "depth": (1, 48),
    "heads": (1, 32),
    "segments": SEGMENT_BOUNDS,
}
"""Allowed parameters; MAX_WEIGHTS and MAX_ACTIVATIONS bound them together."""


class ByteEmbedding(nn.Module):
    """A vector for each byte, plus what stands for its place."""

    def __init__(self, length: int, dimension: int) -> None:
        super().__init__()
        self.bytes = nn.Embedding(BYTE_VALUES, dimension)
        self.positions = nn.Parameter(torch.empty(length, dimension))

    def forward(self, text: Tensor) -> Tensor:
        """int64 (B, T) -> (B, T, dimension), for any T up to `length`."""
        vectors: Tensor = self.bytes(text)
        return vectors + self.positions[: text.shape[1]]


class NextByteHead(nn.Module):
    """LayerNorm and a linear layer at each place: (B, T, dimension) -> logits (B, 256, T) of the byte that follows."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dimension)
        self.linear = nn.Linear(dimension, BYTE_VALUES)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.norm(tokens))
        return logits.transpose(1, 2)


class ByteTransformer(BlockModel):
    """Predicts each next byte from those before it; features between blocks are (B, T, dimension)."""

    input_kind = InputKind.TEXT

    def __init__(self, *, length: int, dimension: int, depth: int, heads: int, segments: int) -> None:
        stem = ByteEmbedding(length, dimension)
        super().__init__(
            (length,),
            BYTE_VALUES,
            stem=stem,
            blocks=[EncoderBlock(dimension, heads, causal=True) for _ in range(depth)],
            head=NextByteHead(dimension),
            segments=segments,
        )
        nn.init.trunc_normal_(stem.bytes.weight, std=INITIAL_DEVIATION)
        nn.init.trunc_normal_(stem.positions, std=INITIAL_DEVIATION)
        self.dimension, self.attention_heads = dimension, heads
        self.apply(initialise)

    def bridge(self, start: int, stop: int) -> EncoderBlock:
        """See BlockModel; all blocks have one shape, and none may look ahead."""
        return EncoderBlock(self.dimension, self.attention_heads, causal=True).apply(initialise)

    def classifier(self, at: int) -> NextByteHead:
        """See BlockModel; not pooled over places, for each has a next byte of its own."""
        return NextByteHead(self.dimension).apply(initialise)


def build_gpt(parameters: Mapping[str, int | str | bool]) -> ByteTransformer:
    """Check the parameters and build the network. Raises LocalFault."""
    checked = integers(NAME, parameters, BOUNDS)
    length, dimension, heads = checked["length"], checked["dimension"], checked["heads"]
    if dimension % heads:
        raise LocalFault(f"{NAME}: dimension is {dimension}, allowed is a multiple of heads, which is {heads}")
    check_segments(NAME, checked["segments"], blocks=checked["depth"])
    check_activations(NAME, length * max(EXPANSION * dimension, heads * length, BYTE_VALUES))
    return build_within_limit(NAME, lambda: ByteTransformer(**checked))
