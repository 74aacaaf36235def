"""A network as a row of exits, and what each costs in multiply-adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..architectures import SegmentedModel
from ..architectures.blocks import BlockModel
from ..architectures.heads import META


@dataclass(frozen=True, slots=True)
class Stage:
    """The way from one exit to the next, and the head there; `head` is None where `run` gives logits already."""

    run: Callable[[Tensor], Tensor]
    head: nn.Module | None

    def logits(self, features: Tensor) -> Tensor:
        if self.head is None:
            return features
        found: Tensor = self.head(features)
        return found


def stages_of(model: SegmentedModel) -> list[Stage]:
    """The stretches between the exits of a network: its segments if their heads classify, else the network whole."""
    if not isinstance(model, BlockModel) or model.head_kind in ("", META):
        return [Stage(model, None)]
    segments = range(len(model.segments))
    return [Stage(partial(model.run_segment, each), model.exit_head(each)) for each in segments]


@torch.no_grad()
def count_operations(stages: Sequence[Stage], blank: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count the multiply-adds that one sample costs in each stage, and in each head.

    Convolutions and matrix products are counted, those of attention too; sums, norms and activations are not.
    """
    trunk, heads = [], []
    features = blank
    with sdpa_kernel(SDPBackend.MATH):  # the counter does not know the CPU's fused attention
        for stage in stages:
            with FlopCounterMode(display=False) as way:
                features = stage.run(features)
            with FlopCounterMode(display=False) as head:
                stage.logits(features)
            trunk.append(way.get_total_flops() // 2)
            heads.append(head.get_total_flops() // 2)
    return tuple(trunk), tuple(heads)
