"""resnet: residual networks of depth 6n + 2 for small images, as in He et al. (CVPR 2016), section 4.2.

A 3x3 convolution, three stages of n blocks of two 3x3 convolutions with base, 2·base and 4·base channels (16, 32 and 64
in the paper), the mean over positions, a linear layer. Shortcuts are of option A, as in the paper's experiments on
CIFAR-10: where a stage begins, every second pixel with zeros for the new channels; elsewhere the identity. So shortcuts
have no weights.

GroupNorm stands where the paper has BatchNorm, for no layer may mix the samples of a batch (`SegmentedModel`). Both
have a scale and a shift for each channel, so the trainable parameters are the paper's to the last one: 269,722 at depth
20, 464,154 at 32 and 1,727,962 at 110, on 3x32x32 with 10 classes and base 16. There are no running means or variances.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from .blocks import SEGMENT_BOUNDS, BlockModel, build_within_limit, check_activations, check_segments
from .segmented import integers

NAME = "resnet"

NORM_GROUPS = 4
"""Groups of every GroupNorm; `base` must be a multiple of it."""

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


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut without weights (option A)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.added = outputs - inputs
        self.first = _convolution(inputs, outputs, stride=stride)
        self.second = _convolution(outputs, outputs, stride=1)

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


class ResNet(BlockModel):
    """A residual classifier of 3n blocks; `depth` is 6n + 2."""

    def __init__(
        self, *, channels: int, height: int, width: int, classes: int, depth: int, base: int, segments: int
    ) -> None:
        super().__init__(
            (channels, height, width),
            classes,
            stem=nn.Sequential(_convolution(channels, base, stride=1), nn.ReLU()),
            blocks=_stages(base, blocks_per_stage=(depth - 2) // LAYERS_PER_N),
            head=PooledLinear(base << (STAGES - 1), classes),
            segments=segments,
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. (ICCV 2015), eq. 14: keeps the variance of the gradients
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def build_resnet(parameters: Mapping[str, int | str | bool]) -> ResNet:
    """Check the parameters and build the network. Raises LocalFault."""
    checked = integers(NAME, parameters, BOUNDS)
    base, depth = checked["base"], checked["depth"]
    if base % NORM_GROUPS:
        raise LocalFault(f"{NAME}: base is {base}, allowed is a multiple of {NORM_GROUPS}")
    if (depth - 2) % LAYERS_PER_N:
        raise LocalFault(f"{NAME}: depth is {depth}, allowed is {LAYERS_PER_N}n + 2, such as 20, 32 or 110")
    check_segments(NAME, checked["segments"], blocks=(depth - 2) // CONVOLUTIONS_PER_BLOCK)
    check_activations(NAME, base * checked["height"] * checked["width"])
    return build_within_limit(NAME, lambda: ResNet(**checked))


def _stages(base: int, blocks_per_stage: int) -> list[BasicBlock]:
    blocks = []
    inputs = base
    for stage in range(STAGES):
        for index in range(blocks_per_stage):
            halves = stage > 0 and index == 0
            blocks.append(BasicBlock(inputs, base << stage, stride=2 if halves else 1))
            inputs = base << stage
    return blocks


def _convolution(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(NORM_GROUPS, outputs),
    )
