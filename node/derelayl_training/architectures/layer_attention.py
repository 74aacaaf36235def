"""mrla-resnet: a residual network in which each block looks back at the blocks before it (MRLA-base).

The network is `resnet` (He et al., CVPR 2016) with the layer attention of Fang et al. (ICLR 2023) behind every block's
last ReLU. Block t makes a query and a key from the mean of its features x over positions, by a convolution along the
channels, and a value by a depth-wise 3x3 convolution. Its row of weights is the softmax of the query's products with
the keys of all blocks so far in its stage, itself among them, for each head; the block gives

    x + ReLU(norm(row · values)).

As in the authors' code; beyond it, norm is GroupNorm unless `norm` is "batch" (see `resnet`), and there is no DropPath.
The authors copy all earlier values at every block; here they are added up where they lie (`WeightedSum`), which gives
the same numbers.

A block may skip its retrieval: then it makes no query, key, value or row, later blocks do not see it, and it gives x.
Which blocks skip, and how redundant their rows were found, are tensors of the network, `skipped` and `divergence` of
each block, so that they travel with the baton; only the method `ela` changes them.

What blocks look back at never crosses the border of a segment: `run_segment` then needs nothing but the features that
enter it. So, other than with `resnet`, the number of segments is part of what the network computes. Cut into 3, the
segments are the stages, and the network is the same as uncut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from .blocks import build_within_limit, check_activations, check_segments
from .resnet import BOUNDS as RESNET_BOUNDS
from .resnet import (
    CONVOLUTIONS_PER_BLOCK,
    LAYERS_PER_N,
    NORM_GROUPS,
    STAGES,
    BasicBlock,
    BatchNorm,
    Norm,
    ResNet,
    initialise,
)
from .segmented import integers

NAME = "mrla-resnet"

HEAD_CHANNELS = 16
"""Default of the optional parameter `head_channels`; the authors use 16 on ImageNet and 32 on CIFAR."""

BOUNDS = {**RESNET_BOUNDS, "head_channels": (1, 256)}

NEVER_MEASURED = -1.0
"""A block's `divergence` before its row has been compared with the row before; later it is at least 0."""


@dataclass(slots=True)
class Memory:
    """What the blocks of one stage and segment have left for later blocks.

    Keys are (B, 1, C), values (B, C, H, W). While `watching`, `row` is the row of the last block that retrieved,
    (B, heads, blocks so far), and `pair` the row of the block that ran last with the row before it, None where there
    was none.
    """

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    row: Tensor | None = None
    watching: bool = False
    pair: tuple[Tensor, Tensor] | None = None


class WeightedSum(torch.autograd.Function):
    """The sum of values (B, C, H, W), each times its weights (B, C, 1, 1) or (B, 1, 1, 1), without copying them."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *values: Tensor) -> Tensor:
        """`weights` are (number of values, B, C or 1, 1, 1)."""
        ctx.save_for_backward(weights, *values)
        total = values[0] * weights[0]
        for value, weight in zip(values[1:], weights[1:], strict=True):
            total.addcmul_(value, weight)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """See torch.autograd.Function."""
        weights, *values = ctx.saved_tensors
        (gradient,) = gradients
        for_weights = None
        if ctx.needs_input_grad[0]:
            over = (1, 2, 3) if weights.shape[2] == 1 else (2, 3)
            product = torch.empty_like(gradient)
            sums = [torch.mul(gradient, value, out=product).sum(over) for value in values]
            for_weights = torch.stack(sums).view_as(weights)
        wanted = zip(weights, ctx.needs_input_grad[1:], strict=True)
        return for_weights, *(gradient * weight if needed else None for weight, needed in wanted)


class LayerAttention(nn.Module):
    """Retrieves from the blocks so far: (B, C, H, W) -> the same shape."""

    skipped: Tensor
    divergence: Tensor

    def __init__(self, channels: int, heads: int, norm: Norm) -> None:
        super().__init__()
        self.heads = heads
        kernel = int((math.log2(channels) + 1) / 2) // 2 * 2 + 1  # the odd number that the authors' rule gives
        self.query = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.key = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.value = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = BatchNorm(channels) if norm == "batch" else nn.GroupNorm(NORM_GROUPS, channels)
        self.register_buffer("skipped", torch.zeros(1))
        self.register_buffer("divergence", torch.full((1,), NEVER_MEASURED))
        self._skips: bool | None = None

    @property
    def skips(self) -> bool:
        """Whether the block does not retrieve. Read from `skipped` once, for a look at a device's memory stops it."""
        if self._skips is None:
            self._skips = bool(self.skipped.item() > 0.5)
        return self._skips

    @skips.setter
    def skips(self, skips: bool) -> None:
        self.skipped.fill_(float(skips))
        self._skips = skips

    def forward(self, features: Tensor, memory: Memory) -> Tensor:
        """Retrieve, and leave key and value for the blocks to come; a block that skips gives its features back."""
        if self.skips:
            if memory.watching and memory.row is not None:
                with torch.no_grad():
                    memory.pair = self._row(features, memory.keys)[0], memory.row
            return features
        row, key = self._row(features, memory.keys)
        if memory.watching:
            memory.pair = None if memory.row is None else (row.detach(), memory.row)
            memory.row = row.detach()
        memory.keys.append(key)
        memory.values.append(self.value(features))
        weights = _spread(row, memory.values[0])
        retrieved = WeightedSum.apply(weights, *memory.values)  # type: ignore[no-untyped-call]
        return features + F.relu(self.norm(retrieved))

    def _row(self, features: Tensor, earlier: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The weights (B, heads, t) of the t - 1 earlier blocks and of this one, and this one's key (B, 1, C)."""
        pooled = features.mean((2, 3)).unsqueeze(1)
        key = self.key(pooled)
        keys = torch.cat([*earlier, key], 1)
        keys = keys.view(*keys.shape[:2], self.heads, -1)  # (B, t, heads, C/heads)
        query = self.query(pooled).view(len(keys), 1, self.heads, -1)
        products = (query * keys).sum(3) / math.sqrt(keys.shape[3])
        return products.softmax(1).transpose(1, 2), key

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._skips = None


class AttentiveBlock(nn.Module):
    """A residual block and its retrieval."""

    def __init__(self, body: BasicBlock, attention: LayerAttention) -> None:
        super().__init__()
        self.body = body
        self.attention = attention

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉); without a memory the block sees itself alone."""
        retrieved: Tensor = self.attention(self.body(features), Memory() if memory is None else memory)
        return retrieved


class LayerAttentionResNet(ResNet):
    """A residual classifier of 3n blocks with layer attention."""

    twice_differentiable = False  # `WeightedSum` goes backward in place

    def __init__(self, *, head_channels: int, **parameters: Any) -> None:
        super().__init__(**parameters)
        blocks = []
        for index, body in enumerate(self.blocks):
            channels = self.base << (index // self.blocks_per_stage)
            attention = LayerAttention(channels, max(1, channels // head_channels), self.norm).apply(initialise)
            blocks.append(AttentiveBlock(cast(BasicBlock, body), attention))
        self.blocks = nn.Sequential(*blocks)
        self._pairs: dict[int, tuple[Tensor, Tensor]] | None = None

    def attention_of(self, block: int) -> LayerAttention:
        """The retrieval of a block."""
        return cast(AttentiveBlock, self.blocks[block]).attention

    def runs(self, segment: int) -> list[range]:
        """The blocks of a segment, parted into those that see one another: each run lies within one stage."""
        start, stop = self.cuts[segment : segment + 2]
        borders = [start, *(block for block in range(start + 1, stop) if self.reshapes(block)), stop]
        return [range(*borders[index : index + 2]) for index in range(len(borders) - 1)]

    def run_segment(self, segment: int, features: Tensor) -> Tensor:
        """See BlockModel."""
        if segment == 0:
            features = self.stem(features)
        for run in self.runs(segment):
            memory = Memory(watching=self._pairs is not None)
            for block in run:
                memory.pair = None
                features = self.blocks[block](features, memory)
                if self._pairs is not None and memory.pair is not None:
                    self._pairs[block] = memory.pair
        return features

    @contextmanager
    def watch(self) -> Iterator[Mapping[int, tuple[Tensor, Tensor]]]:
        """Note each block's row (B, heads, t), and the row (B, heads, t - 1) of the block before it that retrieved.

        A block that skips is asked for the row that it would have, without effect on what the network gives. The first
        block of a run has no row before it.
        """
        self._pairs = {}
        try:
            yield self._pairs
        finally:
            self._pairs = None


def build_layer_attention(parameters: Mapping[str, int | str | bool]) -> LayerAttentionResNet:
    """Check the parameters and build the network. Raises LocalFault."""
    norm = parameters.get("norm", "group")
    if norm not in ("group", "batch"):
        raise LocalFault(f"{NAME}: norm is {norm!r}, allowed are 'group' and 'batch'")
    own = {"head_channels": HEAD_CHANNELS, **{key: value for key, value in parameters.items() if key != "norm"}}
    checked = integers(NAME, own, BOUNDS)
    base, depth, head_channels = checked["base"], checked["depth"], checked["head_channels"]
    if base % NORM_GROUPS:
        raise LocalFault(f"{NAME}: base is {base}, allowed is a multiple of {NORM_GROUPS}")
    for channels in (base << stage for stage in range(STAGES)):
        if channels > head_channels and channels % head_channels:
            raise LocalFault(f"{NAME}: head_channels is {head_channels}, which must divide the {channels} channels")
    if (depth - 2) % LAYERS_PER_N:
        raise LocalFault(f"{NAME}: depth is {depth}, allowed is {LAYERS_PER_N}n + 2, such as 20, 56 or 110")
    check_segments(NAME, checked["segments"], blocks=(depth - 2) // CONVOLUTIONS_PER_BLOCK)
    check_activations(NAME, base * checked["height"] * checked["width"])
    return build_within_limit(NAME, lambda: LayerAttentionResNet(**checked, norm=cast(Norm, norm)))


def _spread(row: Tensor, value: Tensor) -> Tensor:
    """A row (B, heads, t) as weights of the t values: (t, B, C, 1, 1), or (t, B, 1, 1, 1) where there is one head."""
    heads = row.shape[1]
    if heads > 1:
        row = row.repeat_interleave(value.shape[1] // heads, 1)
    return row.permute(2, 0, 1)[..., None, None].to(value.dtype).contiguous()
