"""What every architecture of the registry is: a classifier whose state is cut into segments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL

from ..kinds import InputKind

IMPORTANCE_PREFIX = "importance."
"""State-dict names of the importance weights, followed by the parameter's name with slashes for dots."""


class SegmentedModel(nn.Module, ABC):
    """A classifier of samples of one kind; its stages are cut into segments, the unit that one leg trains.

    Every tensor of the state dict belongs to exactly one segment. By default no layer mixes the samples of a batch: a
    running mean of one peer's data is wrong for the next peer's. A family may offer batch normalisation all the same;
    then running statistics are tensors of their layer's segment, and a segment that is not leased keeps them.
    """

    input_kind: InputKind = InputKind.IMAGE

    def __init__(self, input_shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.input_shape = input_shape  # of one sample: images (C, H, W), table rows (F,), text (T,)
        self.classes = classes  # for text the byte values

    @property
    @abstractmethod
    def segments(self) -> list[list[str]]:
        """The names of the state-dict tensors of each segment, but for importance weights."""

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """Map a batch as `inputs.to_inputs` makes it to logits (B, classes); for text (B, classes, T)."""

    def names_of(self, segment: int) -> frozenset[str]:
        """Name the tensors that a leg on `segment` may change; WHOLE_MODEL means all. Raises LocalFault."""
        places = self.segment_of()
        count = 1 + max(places.values())
        if segment != WHOLE_MODEL and not 0 <= segment < count:
            raise LocalFault(f"segment {segment} does not exist; the network has {count}, or {WHOLE_MODEL} for all")
        return frozenset(name for name, place in places.items() if segment in (place, WHOLE_MODEL))

    def segment_of(self) -> dict[str, int]:
        """Map each tensor's name to its segment."""
        places = {name: index for index, names in enumerate(self.segments) for name in names}
        return places | {importance_name(name): places[name] for name, _ in self.named_importance()}

    def add_importance(self) -> None:
        """Give every parameter a buffer of its shape for its importance, zero at first; they travel with the baton."""
        names = [(name, torch.zeros_like(parameter)) for name, parameter in self.named_parameters()]
        self.importance = nn.Module()
        for name, zeros in names:
            self.importance.register_buffer(importance_name(name).removeprefix(IMPORTANCE_PREFIX), zeros.detach())

    def named_importance(self) -> Iterator[tuple[str, Tensor]]:
        """Each parameter's name and importance; nothing where the network was built without."""
        if not hasattr(self, "importance"):
            return
        for name, _ in self.named_parameters():
            yield name, self.get_buffer(importance_name(name))


def importance_name(parameter: str) -> str:
    """The state-dict name of a parameter's importance; a buffer's own name may hold no dots."""
    return IMPORTANCE_PREFIX + parameter.replace(".", "/")


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
