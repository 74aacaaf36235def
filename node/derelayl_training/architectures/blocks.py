"""What the deep architectures share: a stem, a row of blocks and a head, cut into segments between blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
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
"""Numbers in the largest tensor that one sample becomes: 512 MiB in float32 for judging's batch of 256 samples."""

SEGMENT_BOUNDS = (1, MAX_SEGMENTS)
"""Allowed `segments`; beside it, no more than the network has blocks."""


class ExitHead(nn.Module, ABC):
    """Classifies the features that leave a segment: an auxiliary head, whose tensors belong to that segment."""

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Map the features that leave the segment to logits (B, classes); for text (B, classes, T)."""

    def independent(self, features: Tensor) -> Tensor:
        """Do the same by the head's shallow classifier, where it has two; else `forward`."""
        logits: Tensor = self(features)
        return logits


class StandIn(nn.Module, ABC):
    """A small module that answers for a segment until that has grown; `grown` is 0 before and 1 afterwards."""

    grown: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grown", torch.zeros(()))

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Map what enters the segment to what leaves it; of the last segment to logits."""


class BlockModel(SegmentedModel):
    """stem -> blocks -> head; each segment is a run of blocks, the first has the stem too, the last the head.

    The runs differ by at most one block, unless `balance` has cut them by what the blocks keep in memory. A tensor's
    name says its block, never its segment: weights trained in four segments fit the same network cut into two.

    Methods that train a segment alone walk through `run_segment`, and build what they add (auxiliary heads, leaps, meta
    modules) from `bridge` and `classifier`, so that one implementation serves every family.

    `heads` holds what `heads.add_heads` adds to segments, by the segment's number; `head_kind` is "" without.
    """

    head_kind: str = ""

    twice_differentiable: bool = True
    """Whether the gradients of the network's blocks have gradients, which reconciliation of segments asks for."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
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
        self.heads = nn.ModuleDict()
        self.cuts = cut_points(len(blocks), segments)  # segment i is the blocks from cuts[i] up to cuts[i + 1]

    @property
    def segments(self) -> list[list[str]]:
        names = list(self.state_dict())
        segments = []
        for segment, (start, stop) in enumerate(pairwise(self.cuts)):
            parts = [f"heads.{segment}.", *(f"blocks.{block}." for block in range(start, stop))]
            if start == 0:
                parts.append("stem.")
            if stop == len(self.blocks):
                parts.append("head.")
            segments.append([name for name in names if name.startswith(tuple(parts))])
        return segments

    @abstractmethod
    def bridge(self, start: int, stop: int) -> nn.Module:
        """Make a new block that maps the features before block `start` to the shape of those before block `stop`.

        0 <= start <= stop <= the number of blocks; with start == stop the shape stays.
        """

    @abstractmethod
    def classifier(self, at: int) -> nn.Module:
        """Make a new pooled linear classifier of the features before block `at` (at == number of blocks: the last)."""

    def sizes(self) -> list[int]:
        """How much each block keeps for the backward pass, relative to the others."""
        return [1] * len(self.blocks)

    def balance(self) -> None:
        """Cut anew, so that the segment that keeps the most keeps as little as can be; before heads are added."""
        assert not len(self.heads)
        self.cuts = balanced_cuts(self.sizes(), len(self.cuts) - 1)

    def reshapes(self, block: int) -> bool:
        """Whether a block's output has another shape than its input; a copy of it fits in no other place."""
        return False

    def multilayer_head(self, at: int) -> nn.Module:
        """Make DGL's head for the features before block `at`: three layers at each position, then the classifier.

        For images it has layers over the whole picture too (`resnet`); where features are tokens or the units of a
        dense layer, Linear, LayerNorm and ReLU stand for its 1x1 convolutions.
        """
        classifier = self.classifier(at)
        width = next(module.in_features for module in classifier.modules() if isinstance(module, nn.Linear))
        layers = [nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()) for _ in range(3)]
        return nn.Sequential(*layers, classifier)

    def run_segment(self, segment: int, features: Tensor) -> Tensor:
        """Map what enters a segment (inputs for the first) to the features that leave its last block."""
        if segment == 0:
            features = self.stem(features)
        for block in range(self.cuts[segment], self.cuts[segment + 1]):
            features = self.blocks[block](features)
        return features

    def forward(self, inputs: Tensor) -> Tensor:
        """See SegmentedModel; for segments that have not grown their stand-ins answer."""
        stand_in = None
        for segment in range(len(self.cuts) - 1):
            stand_in = self.stand_in(segment)
            inputs = self.run_segment(segment, inputs) if stand_in is None else stand_in(inputs)
        logits: Tensor = self.head(inputs) if stand_in is None else inputs
        return logits

    def stand_in(self, segment: int) -> StandIn | None:
        """What answers for a segment; None where the segment does itself."""
        found = dict(self.heads.items()).get(str(segment))
        return found if isinstance(found, StandIn) and not found.grown else None

    def exit_logits(self, inputs: Tensor) -> list[Tensor]:
        """The logits after each segment: of each auxiliary head, then of the last classifier; one for every segment.

        Each is (B, classes), for text (B, classes, T). Raises LocalFault when the network has no such heads.
        """
        self.check_exits()
        logits = []
        for segment in range(len(self.cuts) - 1):
            inputs = self.run_segment(segment, inputs)
            logits.append(self.exit_head(segment)(inputs))
        return logits

    def exit_head(self, segment: int) -> nn.Module:
        """What classifies the features that leave a segment; the network's own classifier for the last."""
        return self.head if segment == len(self.cuts) - 2 else self.heads[str(segment)]

    def check_exits(self) -> None:
        """Raise LocalFault unless every segment but the last has an auxiliary classifier."""
        if not self.head_kind:
            raise LocalFault(
                "the network has no auxiliary heads; its architecture must ask for them, such as heads=auglocal-2"
            )
        if not all(isinstance(head, ExitHead) for head in self.heads.values()):
            raise LocalFault(f"heads={self.head_kind} do not classify; allowed are linear, dgl, auglocal-D and mlaan")


def cut_points(blocks: int, segments: int) -> list[int]:
    """Give the `segments` + 1 block indices between which the segments lie, from 0 to `blocks`."""
    return [blocks * index // segments for index in range(segments + 1)]


def balanced_cuts(sizes: Sequence[int], segments: int) -> list[int]:
    """Cut so that the largest sum of sizes in a segment is the least possible; each of `segments` has a block at least.

    Of several such cuts the one whose early segments are fullest, but for the blocks that later ones need.
    """
    least = bisect_left(
        range(sum(sizes) + 1), True, max(sizes), key=lambda most: _segments_within(sizes, most) <= segments
    )
    cuts, held = [0], 0
    for block, size in enumerate(sizes):
        needed = len(sizes) - block == segments - len(cuts)
        if block > cuts[-1] and (held + size > least or needed):
            cuts.append(block)
            held = 0
        held += size
    return [*cuts, len(sizes)]


def _segments_within(sizes: Sequence[int], most: int) -> int:
    """How many segments it takes if none may hold more than `most`, which is at least the largest size."""
    count, held = 1, 0
    for size in sizes:
        if held + size > most:
            count, held = count + 1, 0
        held += size
    return count


def check_segments(architecture: str, segments: int, blocks: int) -> None:
    """Raise LocalFault when a segment would be left without a block."""
    if segments > blocks:
        raise LocalFault(f"{architecture}: segments is {segments}, allowed are at most its {blocks} blocks")


def check_activations(architecture: str, largest: int) -> None:
    """Raise LocalFault when one sample becomes a tensor of more than MAX_ACTIVATIONS numbers."""
    if largest > MAX_ACTIVATIONS:
        raise LocalFault(
            f"{architecture}: a sample becomes a tensor of {largest} numbers, allowed are {MAX_ACTIVATIONS}"
        )


def build_within_limit(architecture: str, construct: Callable[[], Model]) -> Model:
    """Construct the network, after counting its weights without memory for them. Raises LocalFault: too many."""
    with torch.device("meta"):
        check_weights(architecture, construct())
    return construct()


def check_weights(architecture: str, model: SegmentedModel) -> None:
    """Raise LocalFault when the network, made on the meta device, has more than MAX_WEIGHTS numbers in its state."""
    weights = sum(tensor.numel() for tensor in model.state_dict().values())
    if weights > MAX_WEIGHTS:
        raise LocalFault(f"{architecture}: the network would have {weights} weights, allowed are {MAX_WEIGHTS}")
