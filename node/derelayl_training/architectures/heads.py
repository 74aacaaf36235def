"""Auxiliary heads: what methods that train segments apart add to a network, as tensors that travel with the baton.

`linear` is the pooled linear classifier; `dgl` the multi-layer head of decoupled greedy learning (Belilovsky et al.,
ICML 2020); `auglocal-D` up to D new blocks shaped like later ones (AugLocal, Ma et al., ICLR 2024); `mlaan` two
classifiers, one of them behind leaps over the backbone (MLAAN, Zhang et al., AAAI 2025); `meta` one block for each
segment (Deep Incubation, Ni et al., ICCV 2023), from which `incubation` builds its meta model.

All but `meta` give each segment but the last one head, for the last has the network's own classifier. The weights are
drawn after the network's own, which are thus the same with and without heads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from copy import deepcopy

from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from .blocks import BlockModel, ExitHead, StandIn
from .leaps import LeapHead

META = "meta"

ALLOWED = "linear, dgl, auglocal-1 to auglocal-16, mlaan and meta"

AUGLOCAL = re.compile(r"auglocal-([1-9]|1[0-6])")

PYRAMID_SLOPE = 0.5
"""By which share the number of an AugLocal head's blocks falls from the first segment to the last."""


class PlainHead(ExitHead):
    """A head with one classifier."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """See ExitHead."""
        logits: Tensor = self.layers(features)
        return logits


class MetaSegment(StandIn):
    """One block that stands for a segment in the meta model; at the ends with a stem and a classifier of its own.

    They start as copies of the network's. Because the meta model has its own, no leg on a segment changes what the
    legs on other segments are trained against.
    """

    def __init__(self, stem: nn.Module | None, block: nn.Module, classifier: nn.Module | None) -> None:
        super().__init__()
        self.stem = stem
        self.block = block
        self.classifier = classifier

    def forward(self, features: Tensor) -> Tensor:
        """See StandIn."""
        if self.stem is not None:
            features = self.stem(features)
        features = self.block(features)
        return features if self.classifier is None else self.classifier(features)


def add_heads(model: BlockModel, kind: str) -> None:
    """Give the network heads of that kind, drawn from torch's generator. Raises LocalFault: no such kind."""
    check_kind(kind)
    segments = len(model.cuts) - 1
    if kind == META:
        model.heads.update({str(segment): _meta(model, segment) for segment in range(segments)})
    else:
        model.heads.update({str(segment): _exit(model, kind, segment) for segment in range(segments - 1)})
    model.head_kind = kind


def mixed_logits(model: BlockModel, inputs: Tensor, real: Collection[int]) -> Tensor:
    """Logits of the meta model in which the segments of `real` stand in the place of their meta blocks.

    Whether they have grown or not: legs on different segments shall not see each other. Raises LocalFault without
    heads=meta.
    """
    if model.head_kind != META:
        raise LocalFault(f"the network has heads={model.head_kind or 'none'}, a meta model needs heads={META}")
    last = len(model.cuts) - 2
    for segment in range(last + 1):
        inputs = model.run_segment(segment, inputs) if segment in real else model.heads[str(segment)](inputs)
    logits: Tensor = model.head(inputs) if last in real else inputs
    return logits


def check_kind(kind: str) -> None:
    """Raise LocalFault when there are no heads of that kind."""
    if kind not in ("linear", "dgl", "mlaan", META) and not AUGLOCAL.fullmatch(kind):
        raise LocalFault(f"heads is {kind!r}, allowed are {ALLOWED}")


def bridge_stops(at: int, blocks: int, count: int) -> list[int]:
    """AugLocal's choice of later layers, evenly spaced: the block after each, in order; the last is `blocks`.

    `at` is the block before which the head sits. There are `count` of them, or one for each block that is left.
    """
    count = min(count, blocks - at)
    return [round(at + (blocks - at) / count * index) for index in range(1, count + 1)]


def pyramid(deepest: int, segment: int, segments: int) -> int:
    """How many blocks the AugLocal head of a segment has: `deepest` at the first, fewer towards the last."""
    fallen = PYRAMID_SLOPE * segment / (segments - 2) if segments > 2 else 0.0
    return max(1, round(deepest * (1 - fallen) + fallen))


def _exit(model: BlockModel, kind: str, segment: int) -> ExitHead:
    at = model.cuts[segment + 1]
    if kind == "linear":
        return PlainHead([model.classifier(at)])
    if kind == "dgl":
        return PlainHead([model.multilayer_head(at)])
    if kind == "mlaan":
        return LeapHead(model, at)
    return PlainHead(_auglocal(model, int(kind.partition("-")[2]), segment))


def _auglocal(model: BlockModel, deepest: int, segment: int) -> list[nn.Module]:
    at, blocks = model.cuts[segment + 1], len(model.blocks)
    stops = bridge_stops(at, blocks, pyramid(deepest, segment, len(model.cuts) - 1))
    bridges = [model.bridge(start, stop) for start, stop in zip([at, *stops], stops, strict=False)]
    return [*bridges, model.classifier(blocks)]


def _meta(model: BlockModel, segment: int) -> MetaSegment:
    start, stop = model.cuts[segment : segment + 2]
    return MetaSegment(
        deepcopy(model.stem) if start == 0 else None,
        model.bridge(start, stop),
        deepcopy(model.head) if stop == len(model.blocks) else None,
    )
