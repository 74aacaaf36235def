"""Weights between a network and a safetensors file: read strictly, written atomically."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from derelayl_protocol.errors import PeerFault
from derelayl_protocol.limits import MIB
from derelayl_protocol.types import WHOLE_MODEL

from .architectures import SegmentedModel
from .bar import Candidate
from .saving import save_tensors

MAX_HEADER_BYTES = 8 * MIB
"""What a weights file may hold beside its tensors: the table of MAX_TENSORS names."""

_DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}


def load_weights(model: SegmentedModel, path: Path) -> None:
    """Fill the network from a file; its table is compared before a tensor is read.

    Raises PeerFault (whoever made the file is at fault): not safetensors, truncated, other names, shapes or types, or a
    number that is not finite. After a raise the network's weights are undefined.
    """
    with opened(model, path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    _fill(model, path.name, tensors)


def load_candidate(model: SegmentedModel, files: Sequence[Path], candidate: Candidate) -> None:
    """Fill the network with what is made of the files of tips: one, a plain average, or a composition.

    Averages are computed in double precision, tensor by tensor, and rounded to the tensors' own type; what is no
    floating-point number is taken from the base. Raises PeerFault like `load_weights`.
    """
    if len(candidate.tips) == 1:
        load_weights(model, files[candidate.tips[0]])
        return
    with ExitStack() as stack:
        tips = [stack.enter_context(opened(model, files[place])) for place in candidate.tips]
        if candidate.segment != WHOLE_MODEL:
            theirs = model.names_of(candidate.segment)
            tensors = {name: tips[name in theirs].get_tensor(name) for name in model.state_dict()}
        else:
            base = stack.enter_context(opened(model, files[candidate.base]))
            tensors = {name: _average(name, tips, base) for name in model.state_dict()}
    _fill(model, " and ".join(files[place].name for place in candidate.tips), tensors)


@contextmanager
def opened(model: SegmentedModel, path: Path) -> Iterator[Any]:
    """Open a weights file with the network's own table. Raises PeerFault, also for what fails while it is read."""
    expected = model.state_dict()
    try:
        limit = sum(tensor.nbytes for tensor in expected.values()) + MAX_HEADER_BYTES
        if (size := path.stat().st_size) > limit:
            raise PeerFault(f"{path.name} has {size} bytes, weights of this network have at most {limit}")
        with safe_open(path, framework="pt") as file:
            _compare(path, {name: _kind(file.get_slice(name)) for name in file.keys()}, expected)  # noqa: SIM118
            yield file
    except (OSError, SafetensorError) as error:
        raise PeerFault(f"{path.name} is not a weights file: {error}") from error


def _average(name: str, tips: Sequence[Any], base: Any) -> Tensor:
    first: Tensor = base.get_tensor(name)
    if not first.is_floating_point():
        return first
    total = torch.zeros(first.shape, dtype=torch.float64)
    for tip in tips:
        total += tip.get_tensor(name)
    return (total / len(tips)).to(first.dtype)


def _fill(model: SegmentedModel, name: str, tensors: Mapping[str, Tensor]) -> None:
    if broken := first_not_finite(tensors):
        raise PeerFault(f"{name}: {broken} holds numbers that are not finite")
    model.load_state_dict(tensors, strict=True)


def save_weights(model: SegmentedModel, path: Path) -> None:
    """Write the network's state so that `path` holds all of it or is untouched. Raises LocalFault: the disk refused."""
    save_tensors(path, model.state_dict())


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Name the first tensor that holds an infinity or a NaN; None if there is none."""
    return next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)


def _kind(tensor: object) -> tuple[str, tuple[int, ...]]:
    return tensor.get_dtype(), tuple(tensor.get_shape())  # type: ignore[attr-defined]  # safetensors has no type for it


def _compare(path: Path, table: Mapping[str, tuple[str, tuple[int, ...]]], expected: Mapping[str, Tensor]) -> None:
    if missing := sorted(expected.keys() - table.keys()):
        raise PeerFault(f"{path.name} lacks {missing[0]} and {len(missing) - 1} more tensors of this network")
    if unknown := sorted(table.keys() - expected.keys()):
        raise PeerFault(
            f"{path.name} holds {unknown[0][:64]!r} and {len(unknown) - 1} more tensors unknown to this network"
        )
    for name, tensor in expected.items():
        wanted = (_DTYPES[tensor.dtype], tuple(tensor.shape))
        if table[name] != wanted:
            raise PeerFault(f"{path.name}: {name} is {table[name]}, the network's is {wanted}")
