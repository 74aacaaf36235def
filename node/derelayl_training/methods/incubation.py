"""incubation: Deep Incubation (Ni et al., ICCV 2023): segments that grow in a meta model, at peers that never talk.

First a meta model of one block for each segment is trained end to end (`meta=true`). Then each segment, at any peer and
at any time, takes the place of its meta block and is trained by the loss of the whole while all else stays as it is.
The grown segments are put together by taking each from its child; a short leg of backprop on the whole joins them.
The network answers at every stage, and is judged so: a segment that has not grown is answered for by its meta block.

The meta model has a stem and a classifier of its own (`models.heads.MetaSegment`), so that the network's stem may grow
with the first segment and its classifier with the last, and still no leg changes what another is trained against: legs
on different segments give the same bytes at once as one after another. Until a segment has grown, the network's stem
and classifier are kept equal to the meta model's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL

from ..architectures.blocks import BlockModel
from ..architectures.heads import META, MetaSegment, mixed_logits
from .gradient import GradientMethod
from .port import Batches, Leg, Record


class IncubationMethod(GradientMethod):
    """Trains the meta model, or one segment inside it."""

    model: BlockModel

    def prepare(self, leg: Leg) -> Batches:
        """See Method."""
        self.model = _network(leg)
        self.real = frozenset() if leg.recipe.meta else frozenset({leg.segment})
        self._followers = _followers(self.model, leg) if leg.recipe.meta else []
        return super().prepare(leg)

    @property
    def changes(self) -> frozenset[str]:
        """See Method."""
        followers = frozenset(f"{name}.{key}" for name, to, _ in self._followers for key in to.state_dict())
        return super().changes | followers | frozenset(f"heads.{segment}.grown" for segment in self.real)

    def trained_names(self, leg: Leg) -> frozenset[str]:
        """See GradientMethod: meta blocks with their stem and classifier, or all but those."""
        return frozenset(name for name in leg.leased if name.startswith("heads.") == leg.recipe.meta)

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """See GradientMethod."""
        return self.cross_entropy(mixed_logits(self.model, inputs, self.real), labels)

    def finish(self) -> Record:
        """See Method; the segment has grown, or the network's own stem and classifier take over the meta model's."""
        record = super().finish()
        with torch.no_grad():
            for segment in self.real:
                self.model.heads[str(segment)].get_buffer("grown").fill_(1)
            for _, follower, leader in self._followers:
                follower.load_state_dict(leader.state_dict())
        return record


def _followers(model: BlockModel, leg: Leg) -> list[tuple[str, nn.Module, nn.Module]]:
    """The network's stem and classifier and the meta model's, where leased and still equal: name, to, from."""
    first, last = model.heads["0"], model.heads[str(len(model.cuts) - 2)]
    assert isinstance(first, MetaSegment)
    assert isinstance(last, MetaSegment)
    pairs = [("stem", model.stem, first.stem), ("head", model.head, last.classifier)]
    return [
        (name, own, meta)
        for name, own, meta in pairs
        if meta is not None and any(key.startswith(f"{name}.") for key in leg.leased) and _equal(own, meta)
    ]


def _equal(module: nn.Module, other: nn.Module) -> bool:
    state = other.state_dict()
    return all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())


def _network(leg: Leg) -> BlockModel:
    """The leg's network, if it can be trained this way. Raises LocalFault."""
    model, recipe = leg.model, leg.recipe
    if not isinstance(model, BlockModel) or model.head_kind != META:
        kind = model.head_kind if isinstance(model, BlockModel) else ""
        raise LocalFault(f"method=incubation needs a network with heads={META}; this one has heads={kind or 'none'}")
    if leg.segment == WHOLE_MODEL and not recipe.meta:
        raise LocalFault(
            "method=incubation trains one segment at a time, or the meta model with meta=true; "
            "for the whole network take method=backprop"
        )
    if recipe.distil or recipe.consolidate:
        raise LocalFault(
            "method=incubation does not go with distil or consolidate: they ask the network as it stands, "
            "and not the meta model that the segment grows in"
        )
    return model
