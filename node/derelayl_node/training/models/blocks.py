"""What the deep architectures share: a stem, a row of blocks and a head, cut into segments between blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MAX_SEGMENTS

from .segmented import SegmentedModel

Model = TypeVar("Model", bound=SegmentedModel)

MAX_WEIGHTS = 2**26
"""Weights of one network: 256 MiB in float32, and as much again for each of gradients, momentum and the parent."""

MAX_ACTIVATIONS = 2**19
"""Numbers in the largest tensor that one image becomes: 512 MiB in float32 for judging's batch of 256 images."""

SEGMENT_BOUNDS = (1, MAX_SEGMENTS)
"""Allowed `segments`; beside it, no more than the network has blocks."""


class BlockModel(SegmentedModel):
    """stem -> blocks -> head; each segment is a run of blocks, the first has the stem too, the last the head.

    The runs differ by at most one block. A tensor's name says its block, never its segment: weights that were trained
    in four segments fit the same network cut into two.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        classes: int,
        *,
        stem: nn.Module,
        blocks: Sequence[nn.Module],
        head: nn.Module,
        segments: int,
    ) -> None:
        super().__init__(input_shape, classes)
        self.stem = stem
        self.blocks = nn.Sequential(*blocks)
        self.head = head
        self._cuts = cut_points(len(blocks), segments)

    @property
    def segments(self) -> list[list[str]]:
        names = list(self.state_dict())
        segments = []
        for start, stop in pairwise(self._cuts):
            parts = [f"blocks.{block}." for block in range(start, stop)]
            if start == 0:
                parts.append("stem.")
            if stop == len(self.blocks):
                parts.append("head.")
            segments.append([name for name in names if name.startswith(tuple(parts))])
        return segments

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.stem(images)))
        return logits


def cut_points(blocks: int, segments: int) -> list[int]:
    """Give the `segments` + 1 block indices between which the segments lie, from 0 to `blocks`."""
    return [blocks * index // segments for index in range(segments + 1)]


def check_segments(architecture: str, segments: int, blocks: int) -> None:
    """Raise LocalFault when a segment would be left without a block."""
    if segments > blocks:
        raise LocalFault(f"{architecture}: segments is {segments}, allowed are at most its {blocks} blocks")


def check_activations(architecture: str, largest: int) -> None:
    """Raise LocalFault when one image becomes a tensor of more than MAX_ACTIVATIONS numbers."""
    if largest > MAX_ACTIVATIONS:
        raise LocalFault(
            f"{architecture}: an image becomes a tensor of {largest} numbers, allowed are {MAX_ACTIVATIONS}"
        )


def build_within_limit(architecture: str, construct: Callable[[], Model]) -> Model:
    """Construct the network, after counting its weights without memory for them. Raises LocalFault: too many."""
    with torch.device("meta"):
        weights = sum(tensor.numel() for tensor in construct().state_dict().values())
    if weights > MAX_WEIGHTS:
        raise LocalFault(f"{architecture}: the network would have {weights} weights, allowed are {MAX_WEIGHTS}")
    return construct()
