"""A shard file: one peer's samples as safetensors, of any kind, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from derelayl_protocol.errors import LocalFault

from .kinds import InputKind
from .saving import save_arrays
from .split import MAX_SHARD_BYTES, Split, check_split

Layout = dict[str, tuple[str, int]]
"""Names of tensors with the safetensors type and the number of axes of each."""


def _layout(noun: str, dtype: str, axes: int, label_axes: int) -> Layout:
    return {
        f"train_{noun}": (dtype, axes),
        "train_labels": ("I64", label_axes),
        f"held_{noun}": (dtype, axes),
        "held_labels": ("I64", label_axes),
    }


NOUNS = {
    InputKind.IMAGE: "images",
    InputKind.TABLE: "rows",
    InputKind.TEXT: "text",
    InputKind.LABELLED_TEXT: "labelled_text",
}
"""What a kind's samples are called in a shard file."""

SHARD_TENSORS = {
    InputKind.IMAGE: _layout("images", "U8", 4, 1),
    InputKind.TABLE: _layout("rows", "F32", 2, 1),
    InputKind.TEXT: _layout("text", "U8", 2, 2),
    InputKind.LABELLED_TEXT: _layout("labelled_text", "U8", 2, 1),
}
"""The four tensors of a shard of each kind."""


def load_shard(path: str | Path) -> Split:
    """Read a shard file of any kind. Raises LocalFault naming the file and what is wrong."""
    path = Path(path)
    noun, tensors = _read_shard(path)
    split = Split(tensors[f"train_{noun}"], tensors["train_labels"], tensors[f"held_{noun}"], tensors["held_labels"])
    return check_split(str(path), split)


def write_shard(path: Path, split: Split) -> None:
    """Write a shard file; where samples come from is left out. The same split gives the same bytes.

    Raises LocalFault: the disk refused.
    """
    noun = NOUNS[split.kind]
    tensors = {
        f"train_{noun}": split.train_x,
        "train_labels": split.train_y.astype(np.int64),
        f"held_{noun}": split.held_x,
        "held_labels": split.held_y.astype(np.int64),
    }
    save_arrays(path, tensors)


def _read_shard(path: Path) -> tuple[str, dict[str, NDArray[Any]]]:
    try:
        size = path.stat().st_size
        if size > MAX_SHARD_BYTES:
            raise LocalFault(f"{path} has {size} bytes, allowed are {MAX_SHARD_BYTES}")
        with safe_open(path, framework="numpy") as file:
            found = {name: _type_and_axes(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
            kind = next((kind for kind, noun in NOUNS.items() if f"held_{noun}" in found), InputKind.IMAGE)
            if found != SHARD_TENSORS[kind]:
                raise LocalFault(
                    f"{path} holds {found} (name: type, axes), a shard holds {SHARD_TENSORS[kind]}, with rows (F32, 2) "
                    f"or text (U8, 2, its labels too) for images"
                )
            return NOUNS[kind], {name: file.get_tensor(name) for name in found}
    except OSError as error:
        raise LocalFault(f"cannot read the shard {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise LocalFault(f"{path} is not a shard file: {error}") from error


def _type_and_axes(tensor: Any) -> tuple[str, int]:
    return tensor.get_dtype(), len(tensor.get_shape())
