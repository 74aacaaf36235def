"""What every architecture of the registry is: a classifier of images whose state is cut into segments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL


class SegmentedModel(nn.Module, ABC):
    """A classifier of images; its stages are cut into segments, the unit that one leg trains.

    Every tensor of the state dict belongs to exactly one segment. No layer may mix the samples of a batch (no batch
    normalisation): a running mean of one peer's data would be wrong for the next peer's.
    """

    def __init__(self, input_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.input_shape = input_shape  # (C, H, W)
        self.classes = classes

    @property
    @abstractmethod
    def segments(self) -> list[list[str]]:
        """The names of the state-dict tensors of each segment."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W), values in [-1, 1], to logits (B, classes)."""

    def names_of(self, segment: int) -> frozenset[str]:
        """Name the tensors that a leg on `segment` may change; WHOLE_MODEL means all. Raises LocalFault."""
        segments = self.segments
        if segment == WHOLE_MODEL:
            return frozenset(name for names in segments for name in names)
        if not 0 <= segment < len(segments):
            raise LocalFault(
                f"segment {segment} does not exist; the network has {len(segments)}, or {WHOLE_MODEL} for all"
            )
        return frozenset(segments[segment])

    def segment_of(self) -> dict[str, int]:
        """Map each tensor's name to its segment."""
        return {name: index for index, names in enumerate(self.segments) for name in names}


def tensors_under(model: nn.Module, stages: Sequence[str]) -> list[str]:
    """List the state-dict names that belong to the named direct children of `model`."""
    return [name for name in model.state_dict() if name.partition(".")[0] in stages]


def integers(
    architecture: str, parameters: Mapping[str, int | str | bool], bounds: Mapping[str, tuple[int, int]]
) -> dict[str, int]:
    """Check that exactly the parameters of `bounds` are given, each an integer within its bounds. Raises LocalFault."""
    if parameters.keys() != bounds.keys():
        raise LocalFault(f"{architecture} takes the parameters {sorted(bounds)}, not {sorted(parameters)}")
    checked: dict[str, int] = {}
    for name, (low, high) in bounds.items():
        value = parameters[name]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise LocalFault(f"{architecture}: {name} is {value!r}, allowed is an integer from {low} to {high}")
        checked[name] = value
    return checked
