"""resnet: residual networks of depth 6n + 2 for small images, as in He et al. (CVPR 2016), section 4.2.

A 3x3 convolution, three stages of n blocks of two 3x3 convolutions with base, 2·base and 4·base channels (16, 32 and 64
in the paper), the mean over positions, a linear layer. Shortcuts are of option A, as in the paper's experiments on
CIFAR-10: where a stage begins, every second pixel with zeros for the new channels; elsewhere the identity. So shortcuts
have no weights.

GroupNorm stands where the paper has BatchNorm, unless `norm` is "batch": running means and variances are of one peer's
data and wrong for the next peer's. Both norms have a scale and a shift for each channel, so the trainable parameters
are the paper's to the last one: 269,722 at depth 20, 464,154 at 32 and 1,727,962 at 110, on 3x32x32 with 10 classes and
base 16. With "batch" the state has the running means and variances beside them, in the segment of their layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from derelayl_protocol.errors import LocalFault

from .blocks import SEGMENT_BOUNDS, BlockModel, build_within_limit, check_activations, check_segments
from .segmented import integers

NAME = "resnet"

NORM_GROUPS = 4
"""Groups of every GroupNorm; `base` must be a multiple of it."""

Norm = Literal["group", "batch"]
"""What stands behind each convolution; the optional parameter `norm`."""

STAGES = 3
"""Stages of n blocks each; all but the first halve height and width and double the channels."""

CONVOLUTIONS_PER_BLOCK = 2

LAYERS_PER_N = STAGES * CONVOLUTIONS_PER_BLOCK
"""What one more block in each stage adds to `depth`; the first convolution and the linear layer are the other 2."""

BOUNDS = {
    "channels": (1, 16),
    "height": (8, 256),  # below 8 the last stage has a single pixel
    "width": (8, 256),
    "classes": (2, 1000),
    "depth": (8, 1202),  # 1202 is the deepest of He et al.
    "base": (NORM_GROUPS, 256),  # channels of the first stage
    "segments": SEGMENT_BOUNDS,
}
"""Allowed parameters; MAX_WEIGHTS and MAX_ACTIVATIONS bound them together."""


class BatchNorm(_BatchNorm):
    """BatchNorm2d without its count of batches: a count of one peer's batches means nothing to the next.

    The count only matters where `momentum` is None, and an integer would be out of place among the weights.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.num_batches_tracked = None

    def _check_input_dim(self, input: Tensor) -> None:
        """(B, channels, H, W) is all that the network passes."""

    def _load_from_state_dict(self, *arguments: Any) -> None:
        nn.Module._load_from_state_dict(self, *arguments)  # torch's own adds a count where the state has none


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut without weights (option A)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, norm: Norm = "group") -> None:
        super().__init__()
        self.stride = stride
        self.added = outputs - inputs
        self.first = _convolution(inputs, outputs, stride=stride, norm=norm)
        self.second = _convolution(outputs, outputs, stride=1, norm=norm)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        shortcut = features[:, :, :: self.stride, :: self.stride]
        if self.added:
            before = self.added // 2
            shortcut = F.pad(shortcut, (0, 0, 0, 0, before, self.added - before))
        return F.relu(shortcut + self.second(F.relu(self.first(features))))


class PooledLinear(nn.Module):
    """The mean over positions and a linear layer: (B, features, H, W) -> (B, classes)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(features.mean((2, 3)))
        return logits


class MultilayerHead(nn.Module):
    """DGL's auxiliary classifier "mlp-sr" (Belilovsky et al., ICML 2020): (B, features, H, W) -> (B, classes).

    The mean over cells of about 4x4 pixels, three 1x1 convolutions, the mean over 2x2 quarters, two hidden layers. Each
    norm is over all numbers of a sample: BatchNorm, which the paper has, could not take a piece of one sample, and of
    small images a single cell may be left, too few numbers to normalise in groups.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        hidden = features * 2 * 2
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(features, features, 1, bias=False), nn.GroupNorm(1, features), nn.ReLU())
                for _ in range(3)
            )
        )
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.ReLU()) for _ in range(2)),
            nn.Linear(hidden, classes),
        )

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        cells = cell_means(features, -(-height // 4), -(-width // 4))
        quarters = cell_means(self.convolutions(cells), 2, 2)
        logits: Tensor = self.layers(quarters.flatten(1))
        return logits


class ResNet(BlockModel):
    """A residual classifier of 3n blocks; `depth` is 6n + 2."""

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        classes: int,
        depth: int,
        base: int,
        segments: int,
        norm: Norm = "group",
    ) -> None:
        super().__init__(
            (channels, height, width),
            classes,
            stem=nn.Sequential(_convolution(channels, base, stride=1, norm=norm), nn.ReLU()),
            blocks=_stages(base, blocks_per_stage=(depth - 2) // LAYERS_PER_N, norm=norm),
            head=PooledLinear(base << (STAGES - 1), classes),
            segments=segments,
        )
        self.base, self.norm = base, norm
        self.blocks_per_stage = (depth - 2) // LAYERS_PER_N
        self.apply(initialise)

    def bridge(self, start: int, stop: int) -> BasicBlock:
        """See BlockModel."""
        halvings = self._stage_before(stop) - self._stage_before(start)
        inputs = self.base << self._stage_before(start)
        return BasicBlock(inputs, inputs << halvings, stride=1 << halvings, norm=self.norm).apply(initialise)

    def classifier(self, at: int) -> PooledLinear:
        """See BlockModel."""
        return PooledLinear(self.base << self._stage_before(at), self.classes)

    def sizes(self) -> list[int]:
        """See BlockModel: channels times positions, which halve in both directions where channels double."""
        _, height, width = self.input_shape
        stages = [block // self.blocks_per_stage for block in range(len(self.blocks))]
        return [(self.base << stage) * -(-height >> stage) * -(-width >> stage) for stage in stages]

    def reshapes(self, block: int) -> bool:
        """See BlockModel: the first block of each stage but the first."""
        return block > 0 and block % self.blocks_per_stage == 0

    def multilayer_head(self, at: int) -> MultilayerHead:
        """See BlockModel."""
        return MultilayerHead(self.base << self._stage_before(at), self.classes).apply(initialise)

    def _stage_before(self, block: int) -> int:
        """The stage that the features before a block come from; the stem counts to the first."""
        return max(block - 1, 0) // self.blocks_per_stage


def initialise(module: nn.Module) -> None:
    """Draw a convolution's weights: He et al. (ICCV 2015), eq. 14, which keeps the variance of the gradients."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def build_resnet(parameters: Mapping[str, int | str | bool]) -> ResNet:
    """Check the parameters and build the network. Raises LocalFault."""
    norm = parameters.get("norm", "group")
    if norm not in ("group", "batch"):
        raise LocalFault(f"{NAME}: norm is {norm!r}, allowed are 'group' and 'batch'")
    checked = integers(NAME, {key: value for key, value in parameters.items() if key != "norm"}, BOUNDS)
    base, depth = checked["base"], checked["depth"]
    if base % NORM_GROUPS:
        raise LocalFault(f"{NAME}: base is {base}, allowed is a multiple of {NORM_GROUPS}")
    if (depth - 2) % LAYERS_PER_N:
        raise LocalFault(f"{NAME}: depth is {depth}, allowed is {LAYERS_PER_N}n + 2, such as 20, 32 or 110")
    check_segments(NAME, checked["segments"], blocks=(depth - 2) // CONVOLUTIONS_PER_BLOCK)
    check_activations(NAME, base * checked["height"] * checked["width"])
    return build_within_limit(NAME, lambda: ResNet(**checked, norm=cast(Norm, norm)))


def cell_means(features: Tensor, rows: int, columns: int) -> Tensor:
    """The means over a grid of cells as even as can be: (B, C, H, W) -> (B, C, rows, columns).

    Adaptive average pooling as two matrix products, for its own backward pass is not deterministic on CUDA.
    """
    above = _averaging(features.shape[2], rows).to(features)
    across = _averaging(features.shape[3], columns).to(features)
    return above @ features @ across.T


def _averaging(pixels: int, cells: int) -> Tensor:
    """Row i holds the weights of the pixels in cell i: (cells, pixels)."""
    weights = torch.zeros(cells, pixels)
    for cell in range(cells):
        start, stop = cell * pixels // cells, -(-(cell + 1) * pixels // cells)
        weights[cell, start:stop] = 1 / (stop - start)
    return weights


def _stages(base: int, blocks_per_stage: int, norm: Norm) -> list[BasicBlock]:
    blocks = []
    inputs = base
    for stage in range(STAGES):
        for index in range(blocks_per_stage):
            halves = stage > 0 and index == 0
            blocks.append(BasicBlock(inputs, base << stage, stride=2 if halves else 1, norm=norm))
            inputs = base << stage
    return blocks


def _convolution(inputs: int, outputs: int, *, stride: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), _norm(outputs, norm))


def _norm(channels: int, norm: Norm) -> nn.Module:
    return BatchNorm(channels) if norm == "batch" else nn.GroupNorm(NORM_GROUPS, channels)
