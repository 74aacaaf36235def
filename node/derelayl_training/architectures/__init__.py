"""Building networks: a manifest names one of `registry.ARCHITECTURES` and its parameters; no code ever travels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch

from derelayl_plugins import resolve
from derelayl_protocol.errors import LocalFault

from ..jobs import Architecture
from ..registry import ARCHITECTURES, Parameters
from .blocks import BlockModel, check_weights
from .heads import add_heads
from .segmented import SegmentedModel

IMPORTANCE = "importance"
"""Optional parameter of every network: whether weights of importance travel with it, for recipes that consolidate."""

HEADS = "heads"
"""Optional parameter of every network made of blocks: the auxiliary heads of its segments (`heads.ALLOWED`), as text.

An integer of that name is a transformer's number of attention heads; beside auxiliary heads that is ATTENTION_HEADS.
"""

ATTENTION_HEADS = "attention_heads"

CUTS, EVEN, BALANCED = "cuts", "even", "balanced"
"""Optional parameter of every network made of blocks: cut evenly (the default) or by what segments keep in memory."""


def build(architecture: Architecture, seed: int = 0) -> SegmentedModel:
    """Build the named network, initialised from `seed` alone. Raises LocalFault: unknown name or bad parameters."""
    blueprint = ARCHITECTURES.get(architecture.name)
    if blueprint is None:
        raise LocalFault(f"architecture {architecture.name!r} is unknown; this version has {sorted(ARCHITECTURES)}")
    builder: Callable[[Parameters], SegmentedModel] = resolve(blueprint.place)
    own, common = _split_parameters(architecture.parameters)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = builder(own)
        if HEADS in common or CUTS in common:
            _shape(architecture.name, model, common, lambda: builder(own))
    if common.get(IMPORTANCE):
        model.add_importance()
    return model


def _split_parameters(parameters: Parameters) -> tuple[Parameters, Parameters]:
    """Part what a family takes from what every network takes. Raises LocalFault."""
    common = {
        name: value
        for name, value in parameters.items()
        if name in (IMPORTANCE, CUTS) or (name == HEADS and isinstance(value, str))
    }
    if not isinstance(common.get(IMPORTANCE, False), bool):
        raise LocalFault(f"{IMPORTANCE} is {common[IMPORTANCE]!r}, allowed are true and false")
    if common.get(CUTS, EVEN) not in (EVEN, BALANCED):
        raise LocalFault(f"{CUTS} is {common[CUTS]!r}, allowed are {EVEN} and {BALANCED}")
    own = {name: value for name, value in parameters.items() if name not in common}
    if HEADS in common and ATTENTION_HEADS in own:
        own[HEADS] = own.pop(ATTENTION_HEADS)
    return own, common


def _shape(name: str, model: SegmentedModel, common: Parameters, again: Callable[[], SegmentedModel]) -> None:
    """Cut the network and add auxiliary heads, after counting their weights on a copy without memory for them.

    Raises LocalFault.
    """
    if not isinstance(model, BlockModel):
        raise LocalFault(f"{name} has no blocks to cut or to add {HEADS} to")
    with torch.device("meta"):
        trial = again()
    assert isinstance(trial, BlockModel)
    for each in (trial, model):
        if common.get(CUTS) == BALANCED:
            each.balance()
        if HEADS in common:
            with torch.device("meta") if each is trial else nullcontext():
                add_heads(each, str(common[HEADS]))
        check_weights(name, each)


__all__ = ["SegmentedModel", "build"]
