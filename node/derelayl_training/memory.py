"""How much a step keeps in memory for its backward pass, measured before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MIB

from .inputs import to_inputs
from .leg import Leg

PROBE_SAMPLES = 2
"""Samples of the probing pass; what a step keeps grows linearly with them."""

Loss = Callable[[Tensor, Tensor], Tensor]


def samples_within(leg: Leg, loss: Loss, batch: int) -> int:
    """How many samples of a batch may go through the network at once within the leg's memory budget, at most `batch`.

    Raises LocalFault when one sample alone needs more.
    """
    budget = leg.resources.memory_bytes
    if budget is None:
        return batch
    rows = slice(0, min(PROBE_SAMPLES, len(leg.data.train_y)))
    inputs = to_inputs(leg.data.train_x[rows]).to(leg.device)
    labels = torch.from_numpy(leg.data.train_y[rows]).to(leg.device)
    before = {name: buffer.clone() for name, buffer in leg.model.named_buffers()}  # running statistics move
    with leg.resources.autocast():
        kept = bytes_kept(lambda: loss(inputs, labels), storages_of(leg.model.parameters()))
    for name, buffer in leg.model.named_buffers():
        buffer.copy_(before[name])
    per_sample = -(-kept // len(inputs))
    if per_sample > budget:
        raise LocalFault(
            f"one sample keeps {per_sample / MIB:.1f} MiB for the backward pass, the memory budget is "
            f"{budget / MIB:.1f} MiB; a smaller segment or a larger budget may help"
        )
    return min(batch, budget // max(1, per_sample))


def bytes_kept(forward: Callable[[], Tensor], weights: AbstractSet[int]) -> int:
    """Bytes of the tensors that a forward pass saves for its backward pass, each storage once, but for `weights`."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = forward()  # noqa: F841 - its graph keeps the storages apart while they are counted
    return sum(storages.values())


def storages_of(tensors: Iterable[Tensor]) -> AbstractSet[int]:
    """Where the tensors' bytes lie; views of a tensor lie there too."""
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}
