"""small-cnn: three convolutions and a linear head for small images, about 29,000 weights at stem 16 on 1x28x28."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from .segmented import SegmentedModel, integers, tensors_under

NAME = "small-cnn"

NORM_GROUPS = 4
"""Groups of every GroupNorm; `stem` must be a multiple of it."""

BOUNDS = {
    "channels": (1, 16),
    "height": (8, 256),  # below 8 nothing is left after three halvings
    "width": (8, 256),
    "classes": (2, 1000),
    "stem": (NORM_GROUPS, 128),  # channels after the first convolution; the other widths follow from it
}
"""Allowed parameters; the upper bounds keep a stranger's manifest from asking for gigabytes."""

SEGMENT_STAGES = (("stem", "stage1"), ("stage2", "head"))
"""Segment 0 sees pixels, segment 1 sees features and decides."""


class SmallCnn(SegmentedModel):
    """A convolutional classifier; `stem` is the one dial, stage 1 has 2·stem channels and stage 2 has 4·stem."""

    def __init__(self, *, channels: int, height: int, width: int, classes: int, stem: int) -> None:
        super().__init__((channels, height, width), classes)
        # (B, C, H, W) -> (B, stem, H/2, W/2): a stride instead of a pool, for this is the most expensive resolution
        self.stem = _block(channels, stem, kernel=5, stride=2)
        # -> (B, 2 stem, H/4, W/4)
        self.stage1 = nn.Sequential(*_block(stem, 2 * stem, kernel=3, stride=1), nn.MaxPool2d(2))
        # -> (B, 4 stem, H/8, W/8)
        self.stage2 = nn.Sequential(*_block(2 * stem, 4 * stem, kernel=3, stride=1), nn.MaxPool2d(2))
        # flattened rather than averaged: where a stroke is tells a 6 from a 9
        self.head = nn.Linear(4 * stem * _eighth(height) * _eighth(width), classes)

    @property
    def segments(self) -> list[list[str]]:
        return [tensors_under(self, stages) for stages in SEGMENT_STAGES]

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.stage2(self.stage1(self.stem(inputs)))
        logits: Tensor = self.head(features.flatten(1))
        return logits


def build_small_cnn(parameters: Mapping[str, int | str | bool]) -> SmallCnn:
    """Check the parameters and build the network with torch's default initialisation. Raises LocalFault."""
    checked = integers(NAME, parameters, BOUNDS)
    if checked["stem"] % NORM_GROUPS:
        raise LocalFault(f"{NAME}: stem is {checked['stem']}, allowed is a multiple of {NORM_GROUPS}")
    return SmallCnn(**checked)


def _block(inputs: int, outputs: int, *, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.GroupNorm(NORM_GROUPS, outputs),
        nn.ReLU(),
    )


def _eighth(pixels: int) -> int:
    return (pixels + 1) // 2 // 2 // 2  # the strided stem rounds up, the two pools round down
