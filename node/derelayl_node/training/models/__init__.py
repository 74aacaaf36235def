"""The registry of architectures: a manifest names one of ours and its parameters; no code ever travels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from derelayl_node.ports import Architecture
from derelayl_protocol.errors import LocalFault

from . import resnet, small_cnn, vit
from .segmented import SegmentedModel

REGISTRY: Mapping[str, Callable[[Mapping[str, int | str | bool]], SegmentedModel]] = {
    resnet.NAME: resnet.build_resnet,
    small_cnn.NAME: small_cnn.build_small_cnn,
    vit.NAME: vit.build_vit,
}


def build(architecture: Architecture, seed: int = 0) -> SegmentedModel:
    """Build the named network, initialised from `seed` alone. Raises LocalFault: unknown name or bad parameters."""
    builder = REGISTRY.get(architecture.name)
    if builder is None:
        raise LocalFault(f"architecture {architecture.name!r} is unknown; this version has {sorted(REGISTRY)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return builder(architecture.parameters)


__all__ = ["REGISTRY", "SegmentedModel", "build"]
