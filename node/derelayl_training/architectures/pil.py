"""pil: random layers with output weights solved in closed form, for images and table rows.

Pseudoinverse learning (Guo and Lyu, Neurocomputing 2004) with direct links. The state holds the statistics that the
output weights follow from, so that peers add to them in any order and take away again what they added; see
`methods.pseudoinverse`. Each subsystem is a segment of its own: other random features, other statistics; their
probabilities are averaged (the synergy of SST-PILS, arXiv 2406.18931).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from ..kinds import InputKind
from ..pseudoinverse.random_features import LEVELS, DenseProjection, PatchProjection, Projection
from ..pseudoinverse.solve import RIDGES, solve_calibrated
from ..pseudoinverse.sums import Statistics, shapes
from .blocks import MAX_WEIGHTS, SEGMENT_BOUNDS
from .segmented import SegmentedModel, integers

NAME = "pil"

SEEDS = 2**31
"""Seeds of random layers are below it; subsystem i draws from seed + i * SEEDS."""

COMMON = {
    "classes": (2, 1000),
    "neurons": (1, 8192),  # random features of a subsystem
    "subsystems": SEGMENT_BOUNDS,
    "seed": (0, SEEDS - 1),
}

IMAGE_BOUNDS = {
    "channels": (1, 16),
    "height": (8, 256),
    "width": (8, 256),
    "patch": (0, 9),  # side of local filters; 0: every random feature sees the whole image
    **COMMON,
}

TABLE_BOUNDS = {"features": (1, 8192), **COMMON}
"""Allowed parameters; MAX_WEIGHTS bounds the state, which grows with the square of the features."""

MIN_PATCH = 2

RIDGE = "ridge"
"""Optional: one of RIDGE_POWERS, a power of ten times the mean diagonal of the Gram matrix; or AUTO, the default."""

AUTO = "auto"
"""The ridge with the least error by generalised cross-validation, chosen anew with every leg."""

RIDGE_POWERS = range(-8, 1)

LEAST_PROBABILITY = 1e-12
"""Of any class; a logit stays finite."""


class Subsystem(nn.Module):
    """One random layer, the sums over all samples that peers have added, and the weights solved from them."""

    gram: Tensor  # (L, L), the upper triangle
    cross: Tensor  # (L, classes)
    count: Tensor  # (classes,)
    output: Tensor  # (L, classes)

    def __init__(self, projection: Projection, classes: int) -> None:
        super().__init__()
        self.projection = projection
        gram, cross, count = shapes(projection.size, classes)
        for name, shape in (("gram", gram), ("cross", cross), ("count", count), ("output", cross)):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    @property
    def statistics(self) -> Statistics:
        """What peers have added so far."""
        return Statistics(self.gram, self.cross, self.count)

    def take(self, statistics: Statistics, ridges: Sequence[float]) -> None:
        """Replace the statistics and solve the output weights anew. Raises LocalFault: they cannot be such sums."""
        statistics.check()
        solution = solve_calibrated(statistics, ridges)
        for name, tensor in zip(("gram", "cross", "count"), statistics.tensors, strict=True):
            self.get_buffer(name).copy_(tensor)
        self.output.copy_(solution.weights * (solution.scale * LEVELS))  # features are integers, LEVELS stands for 1

    def probabilities(self, features: Tensor) -> Tensor:
        """Features (B, L) -> (B, classes), float64, after the first sample.

        A class of which no sample was ever added cannot be told from the others. The K classes seen share the
        probability K / C as the scores say, each other one has 1 / C: so the loss falls with every class that a peer
        adds, even where every peer has a class of its own.
        """
        seen = self.count > 0
        classes = len(self.count)
        scores = features.double() @ (self.output / LEVELS)
        known = scores.masked_fill(~seen, -math.inf).softmax(1) * (seen.sum() / classes)
        return torch.where(seen, known, 1 / classes)


class Pil(SegmentedModel):
    """Images (B, C, H, W) or rows (B, F) -> logits (B, classes): the logarithm of the subsystems' mean probability."""

    def __init__(
        self, input_shape: tuple[int, ...], classes: int, ridges: Sequence[float], projections: list[Projection]
    ) -> None:
        super().__init__(input_shape, classes)
        self.input_kind = InputKind.IMAGE if len(input_shape) > 1 else InputKind.TABLE
        self.ridges = ridges
        self.subsystems = nn.ModuleList(Subsystem(projection, classes) for projection in projections)

    @property
    def segments(self) -> list[list[str]]:
        names = list(self.state_dict())
        prefixes = [f"subsystems.{index}." for index in range(len(self.subsystems))]
        return [[name for name in names if name.startswith(prefix)] for prefix in prefixes]

    def subsystem(self, index: int) -> Subsystem:
        """The subsystem that is segment `index`."""
        found = self.subsystems[index]
        assert isinstance(found, Subsystem)
        return found

    def features(self, index: int, inputs: Tensor) -> Tensor:
        """The features (B, L) of one subsystem, integers in float32, in full precision even under autocast."""
        with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
            features: Tensor = self.subsystem(index).projection(inputs)
            return features

    def forward(self, inputs: Tensor) -> Tensor:
        return self.combine([self.features(index, inputs) for index in range(len(self.subsystems))])

    def combine(self, features: list[Tensor]) -> Tensor:
        """The logits (B, classes) from the features of every subsystem."""
        used = [index for index in range(len(features)) if self.subsystem(index).count.any()]
        several = [self.subsystem(index).probabilities(features[index]) for index in used]
        if not several:
            return features[0].new_zeros(len(features[0]), self.classes)
        return torch.stack(several).mean(0).clamp_min(LEAST_PROBABILITY).log().float()


def build_pil(parameters: Mapping[str, int | str | bool]) -> Pil:
    """Check the parameters and build the network, without any sample. Raises LocalFault."""
    images = "features" not in parameters
    bounds = IMAGE_BOUNDS if images else TABLE_BOUNDS
    checked = integers(NAME, {name: value for name, value in parameters.items() if name != RIDGE}, bounds)
    shape = (checked["channels"], checked["height"], checked["width"]) if images else (checked["features"],)
    _check_size(checked, math.prod(shape) + checked["neurons"] + 1)
    patch = checked.get("patch", 0)
    if patch == 1:
        raise LocalFault(f"{NAME}: patch is 1, allowed is 0 or an integer from {MIN_PATCH} to 9")
    projections: list[Projection] = []
    for index in range(checked["subsystems"]):
        seed = checked["seed"] + index * SEEDS
        if len(shape) == 3 and patch:
            projections.append(PatchProjection(shape, checked["neurons"], patch, seed))
        else:
            projections.append(DenseProjection(shape, checked["neurons"], seed))
    return Pil(shape, checked["classes"], _ridges(parameters.get(RIDGE, AUTO)), projections)


def _ridges(given: int | str | bool) -> Sequence[float]:
    if given == AUTO:
        return RIDGES
    if not isinstance(given, int) or isinstance(given, bool) or given not in RIDGE_POWERS:
        raise LocalFault(f"{NAME}: ridge is {given!r}, allowed are {AUTO!r} and integers from -8 to 0")
    return (10.0**given,)


def _check_size(checked: Mapping[str, int], features: int) -> None:
    numbers = checked["subsystems"] * (features**2 + (2 * features + 1) * checked["classes"])
    if numbers > MAX_WEIGHTS:
        raise LocalFault(
            f"{NAME}: {checked['subsystems']} subsystems of {features} features (neurons, the samples' own numbers and "
            f"a constant) hold {numbers} numbers, allowed are {MAX_WEIGHTS}"
        )
