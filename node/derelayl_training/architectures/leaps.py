"""MLAAN's leap augmented module: an auxiliary head of copies of later blocks, tied to the backbone.

Zhang et al., AAAI 2025 (arXiv 2406.16633). The paper lists the blocks by hand for each of its networks; the rule here
serves any row of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn

from .blocks import BlockModel, ExitHead

MOST_LEAPS = 4
"""Leaps of the first block's head; towards the end of the network they fall to one."""


class LeapHead(ExitHead):
    """An independent classifier of the features, and a cascaded one behind the leaps.

    The first leap adds up what a trainable copy and a shadow of the same block make of the features; the others have a
    trainable copy alone. Copies and shadow start as the backbone's blocks are when the head is made. The shadow has no
    parameters: it follows the backbone, as an exponential moving average, by `follow` alone.
    """

    def __init__(self, model: BlockModel, at: int) -> None:
        super().__init__()
        blocks = len(model.blocks)
        chosen = leap_blocks(at, blocks, [block for block in range(blocks) if model.reshapes(block)])
        self.mirrored = chosen[0]
        self.independent_classifier = model.classifier(at)
        self.leaps = nn.Sequential(*(deepcopy(model.blocks[block]) for block in chosen))
        self.shadow = without_parameters(deepcopy(model.blocks[self.mirrored]))
        self.cascaded_classifier = model.classifier(blocks)

    def independent(self, features: Tensor) -> Tensor:
        """See ExitHead."""
        logits: Tensor = self.independent_classifier(features)
        return logits

    def forward(self, features: Tensor) -> Tensor:
        """See ExitHead."""
        features = self.leaps[0](features) + self.shadow(features)
        logits: Tensor = self.cascaded_classifier(self.leaps[1:](features))
        return logits

    @torch.no_grad()
    def follow(self, blocks: nn.Sequential, momentum: float) -> None:
        """Move the shadow towards the block it mirrors: shadow <- momentum·shadow + (1 - momentum)·block.

        Running statistics are averaged like weights, for the shadow always normalises by them.
        """
        live = blocks[self.mirrored].state_dict()
        for name, tensor in self.shadow.state_dict().items():
            tensor.lerp_(live[name], 1 - momentum)


def leap_blocks(at: int, blocks: int, reshaping: Iterable[int]) -> list[int]:
    """Which of `blocks` blocks the head before block `at` leaps to, in order of depth; the last is always the last.

    Four for a head behind the first block and fewer towards the end, evenly spread. As in the paper's lists the first
    leap leaves the present resolution where the network does so later (`reshaping` are the blocks that change it), and
    such a block stands for the first leap at its resolution, so that shapes match.
    """
    left = blocks - at
    count = max(1, round(MOST_LEAPS * left / max(1, blocks - 1)))
    ahead = [block for block in reshaping if block >= at]
    if ahead and count > 1:
        leaps = {ahead[0] + round((blocks - 1 - ahead[0]) * index / (count - 1)) for index in range(count)}
    else:
        leaps = {at - 1 + round(left * index / count) for index in range(1, count + 1)}
    for start, stop in pairwise([*ahead, blocks]):
        first = min((leap for leap in leaps if start <= leap < min(stop, blocks - 1)), default=start)
        leaps = leaps - {first} | {start}
    return sorted(leaps)


def without_parameters(module: nn.Module) -> nn.Module:
    """Turn the parameters of a module to buffers of the same names: no optimiser finds them, and they travel."""
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if parameter is not None:
                delattr(part, name)
                part.register_buffer(name, parameter.detach().clone())
    return module
