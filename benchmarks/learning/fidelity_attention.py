"""Figures of layer attention (MRLA) and of what decides which of its retrievals are skipped (ELA)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.learning.fidelity_local import RESNET, samples
from benchmarks.learning.figure import LARGEST, RELATIVE, Figure
from derelayl_training.architectures.layer_attention import build_layer_attention
from derelayl_training.inputs import to_inputs
from derelayl_training.methods.ela import law_at, row_divergence, scores_of

DEPTH = 26
"""Four blocks in each of the three stages."""


def rows_of_attention(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Each block's row (B, heads, t) and the row (B, heads, t - 1) before it, for all but the first of each stage."""
    torch.manual_seed(seed)
    model = build_layer_attention({**RESNET, "depth": DEPTH, "base": 8, "head_channels": 4})
    with torch.no_grad(), model.watch() as pairs:
        model(to_inputs(samples(seed).train_x))
        return list(pairs.values())


def rows_sum_to_one(seed: int, steps: int) -> float:
    """How far the sum of a row of attention is from 1, at worst."""
    return max(float((row.sum(-1) - 1).abs().max()) for row, _ in rows_of_attention(seed))


def first_row_is_one(seed: int, steps: int) -> float:
    """How far the weight of a stage's first block on itself, its whole row, is from 1."""
    firsts = [before for _, before in rows_of_attention(seed) if before.shape[-1] == 1]
    assert len(firsts) == RESNET["segments"]
    return max(float((first - 1).abs().max()) for first in firsts)


def equal_rows_do_not_diverge(seed: int, steps: int) -> float:
    """The divergence of a row that gives part of its weight to its own block and else repeats the row before."""
    before = torch.rand(4, 2, 5, generator=torch.Generator().manual_seed(seed)).softmax(-1)
    row = torch.cat([0.7 * before, torch.full((4, 2, 1), 0.3)], -1)
    return float(row_divergence(row, before))


def scores_move_with_the_blocks(seed: int, steps: int) -> float:
    """Largest difference of scores: of permuted divergences against the permuted scores."""
    rng = np.random.default_rng(seed)
    divergences, order = rng.random(9), rng.permutation(9)
    law = law_at(0.5, 0.5)
    straight = np.array(scores_of(divergences.tolist(), law))
    return float(np.abs(straight[order] - scores_of(divergences[order].tolist(), law)).max())


FIGURES = (
    Figure("layer attention, a row sums to 1", RELATIVE, rows_sum_to_one),
    Figure("layer attention, the first row of a stage is 1", LARGEST, first_row_is_one),
    Figure("ELA, equal rows have no divergence", LARGEST, equal_rows_do_not_diverge),
    Figure("ELA, permuted divergences give permuted scores", LARGEST, scores_move_with_the_blocks),
)
