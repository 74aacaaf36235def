"""ela: layer attention that learns which of its retrievals are redundant and leaves them out.

ELA (Li and Huang, "Enhancing Layer Attention Efficiency through Pruning Redundant Retrievals", arXiv 2503.06473), here
reconstructed from the abstract, for there is no public code: neighbouring blocks learn nearly equal rows of attention,
the Kullback-Leibler divergence between the rows tells how redundant a retrieval is, and an "enhanced beta quantile
mapping" (EBQM) of the divergences says which retrievals to skip while training stays stable. How the divergence is
taken between rows of different lengths, the laws of the mapping, its thresholds and its schedule are ours. The network
is `models.layer_attention`; what is skipped is a block's retrieval, never its convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from derelayl_protocol.errors import LocalFault

from ..architectures.layer_attention import NAME, LayerAttention, LayerAttentionResNet
from ..batches import Batches
from ..jobs import Record
from ..leg import Leg
from .backprop import BackpropMethod

TINY = 1e-30
"""Stands for a weight of 0, which a float32 softmax gives, where its logarithm is taken."""

ALWAYS_RETRIEVE = 2
"""The first blocks of a run never skip: before the third there is no row of two weights to compare with."""

WATCH_EVERY = 2
"""Steps from one measurement of the divergences to the next: they change slowly, and a look costs a little time."""

BUFFERS = ("attention.skipped", "attention.divergence")
"""Ends of the names of what this method changes beside the parameters."""

CAUTIOUS, DECISIVE = 16.0, 0.25
"""The first parameter of the law at the first evaluation and once the ramp is over.

Above 1 the scores lie about the middle, between the thresholds, and little changes; below 1 they are driven to 0 and 1.
"""

SKIP_BELOW, RETURN_ABOVE = 0.4, 0.6
"""Thresholds of the score; between them a block stays as it is."""


@dataclass(frozen=True, slots=True)
class KumaraswamyLaw:
    """The distribution with F(x) = 1 - (1 - x^a)^b on [0, 1]: much like Beta(a, b), but its quantiles have a formula.

    Kumaraswamy, Journal of Hydrology 46 (1980). a and b are positive.
    """

    a: float
    b: float

    def quantile(self, share: float) -> float:
        """The score that `share` of all scores lie below."""
        return float((1 - (1 - share) ** (1 / self.b)) ** (1 / self.a))

    def share_below(self, score: float) -> float:
        """The inverse of `quantile`."""
        return float(1 - (1 - score**self.a) ** self.b)


def law_at(progress: float, redundant: float) -> KumaraswamyLaw:
    """The law of the scores at a progress from 0, cautious, to 1, decisive.

    `redundant` is the share of the scores that lie below 1/2 throughout, 0 < redundant < 1.
    """
    a = CAUTIOUS ** (1 - progress) * DECISIVE**progress
    return KumaraswamyLaw(a, math.log1p(-redundant) / math.log1p(-(0.5**a)))


def row_divergence(row: Tensor, before: Tensor) -> Tensor:
    """KL divergence in nats of a row of attention from the row before, a scalar; 0 where they are equal.

    `row` is (B, heads, t), `before` (B, heads, t - 1). The block itself, which the row before knows nothing of, is left
    out of `row`, and the rest brought to a sum of 1. The mean over samples and heads.
    """
    shared, known = row[..., :-1].float(), before.float()
    shared = shared / shared.sum(-1, keepdim=True).clamp(min=TINY)
    logs = shared.clamp(min=TINY).log() - known.clamp(min=TINY).log()
    return (shared * logs).sum(-1).mean().clamp(min=0.0)


def scores_of(divergences: Sequence[float], law: KumaraswamyLaw) -> list[float]:
    """Spread the divergences by their ranks to follow the law: the lowest is the most redundant, with a score near 0.

    Equal divergences have equal scores.
    """
    ordered = sorted(divergences)
    count = len(ordered)
    middle = [ordered.index(value) + ordered.count(value) / 2 for value in divergences]
    return [law.quantile(rank / count) for rank in middle]


def choose_skips(
    divergences: Sequence[float], skipped: Sequence[bool], law: KumaraswamyLaw, floor: float
) -> list[bool]:
    """Which blocks of one run skip after an evaluation; all three sequences go over the run's blocks in order.

    A block that is not among the first ALWAYS_RETRIEVE and was measured is skipped when its score is below SKIP_BELOW
    and its divergence below `floor`, and taken back when its score is above RETURN_ABOVE or its divergence at or above
    `floor`. Of two retrieving neighbours at most one is newly skipped, the one of the lower divergence: the other's was
    measured against it.
    """
    candidates = [block for block in range(ALWAYS_RETRIEVE, len(divergences)) if divergences[block] >= 0]
    scores = dict(zip(candidates, scores_of([divergences[block] for block in candidates], law), strict=True))
    chosen = list(skipped)
    for block, score in scores.items():
        if score > RETURN_ABOVE or divergences[block] >= floor:
            chosen[block] = False
    retrieving = [block for block, skips in enumerate(chosen) if not skips]
    place = {block: index for index, block in enumerate(retrieving)}
    for block in sorted(set(scores) & set(place), key=lambda each: (divergences[each], each)):
        neighbours = [retrieving[index] for index in (place[block] - 1, place[block] + 1) if index < len(retrieving)]
        if scores[block] < SKIP_BELOW and divergences[block] < floor and not any(chosen[each] for each in neighbours):
            chosen[block] = True
    return chosen


class ElaMethod(BackpropMethod):
    """End-to-end training that measures redundancy as it goes and skips retrievals that have become redundant.

    A block that skips is still asked for its row, so that it is taken back when it would tell something new. A leg
    whose parent skips already goes on from there, decisive and without a warm-up.
    """

    @property
    def changes(self) -> frozenset[str]:
        """See Method."""
        return super().changes | self._buffers

    def prepare(self, leg: Leg) -> Batches:
        """See Method. Raises LocalFault also when the network has no layer attention, or too few blocks to skip any."""
        if not isinstance(leg.model, LayerAttentionResNet):
            raise LocalFault(f"method ela needs layer attention; the architecture must be {NAME}")
        self._network = leg.model
        self._buffers = frozenset(name for name in leg.leased if name.endswith(BUFFERS))
        self._runs = [run for run in _runs(leg) if len(run) > ALWAYS_RETRIEVE]
        if not self._runs:
            raise LocalFault(
                f"no block can skip: the first {ALWAYS_RETRIEVE} of each stage in a segment never do; "
                "a deeper network or fewer segments may help"
            )
        self._goes_on = any(self._attention(block).skips for run in self._runs for block in run)
        self._measured: Tensor | None = None
        return super().prepare(leg)

    def backward(self, inputs: Tensor, labels: Tensor, share: float) -> float:
        """See GradientMethod; measures the divergences at every WATCH_EVERY-th step."""
        if self.taken % WATCH_EVERY:
            return super().backward(inputs, labels, share)
        with self._network.watch() as pairs:
            loss = super().backward(inputs, labels, share)
        measured = torch.stack([row_divergence(*pairs[block]) * share for block in self._candidates()])
        self._measured = measured if self._measured is None else self._measured + measured
        return loss

    def after_step(self) -> None:
        """See GradientMethod."""
        if self._measured is not None:
            self._average(self._measured)
            self._measured = None
        recipe, steps = self.leg.recipe, self.leg.steps
        warm = 0 if self._goes_on else math.ceil(recipe.ela_warmup * steps)
        if self.taken > warm and (self.taken - warm) % recipe.ela_every == 0:
            ramp = 0.0 if self._goes_on else recipe.ela_ramp * steps
            self._evaluate(law_at(min(1.0, (self.taken - warm) / max(ramp, 1.0)), recipe.ela_share))

    def finish(self) -> Record:
        """See Method; tells how many blocks of the network retrieve and how many of them all there are."""
        blocks = range(len(self._network.blocks))
        retrieving = sum(not self._attention(block).skips for block in blocks)
        return {**super().finish(), "ela_blocks": len(blocks), "ela_retrieving": retrieving}

    def _candidates(self) -> list[int]:
        return [block for run in self._runs for block in run[ALWAYS_RETRIEVE:]]

    def _attention(self, block: int) -> LayerAttention:
        return self._network.attention_of(block)

    def _average(self, measured: Tensor) -> None:
        """Take a measurement (candidates,) into the running divergences; all processes of a leg come to the same."""
        if self.leg.resources.world > 1:
            dist.all_reduce(measured)
        memory = self.leg.recipe.ela_memory
        for block, new in zip(self._candidates(), measured, strict=True):
            running = self._attention(block).divergence
            running.copy_(torch.where(running < 0, new, memory * running + (1 - memory) * new))

    def _evaluate(self, law: KumaraswamyLaw) -> None:
        """Choose anew which blocks skip."""
        for run in self._runs:
            attentions = [self._attention(block) for block in run]
            divergences = torch.cat([attention.divergence for attention in attentions]).tolist()
            before = [attention.skips for attention in attentions]
            chosen = choose_skips(divergences, before, law, self.leg.recipe.ela_floor)
            for attention, was, skips in zip(attentions, before, chosen, strict=True):
                if skips != was:
                    attention.skips = skips


def _runs(leg: Leg) -> list[range]:
    """The runs of blocks that this leg may change."""
    model = leg.model
    assert isinstance(model, LayerAttentionResNet)
    runs = [run for segment in range(len(model.cuts) - 1) for run in model.runs(segment)]
    return [run for run in runs if f"blocks.{run[0]}.{BUFFERS[0]}" in leg.leased]
