"""The one place that writes safetensors files from arrays: atomically, in the right order, with a mode on purpose.

safetensors 0.8 leaves both to chance: it writes an array that is not C-contiguous as it lies in memory, which gives
other numbers without an error (findings/safetensors-noncontiguous.sh), and it makes every file 0600 whatever the umask
(findings/safetensors-file-mode.sh), so that weights could not be shared.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from derelayl_protocol.errors import LocalFault

from .files import replacing

if TYPE_CHECKING:
    from torch import Tensor

PRIVATE, SHARED = 0o600, 0o666
"""Modes before the umask: what never leaves a peer is its owner's alone; what is to be shared is like other files."""


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, private: bool = False) -> None:
    """Write arrays so that `path` holds all of them or is as it was. Raises LocalFault: the disk refused.

    With `private` only the owner may read the file; else the umask decides.
    """
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}  # keeps a single number's shape ()
    _write(path, private, partial(safetensors.numpy.save_file, ordered))


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, private: bool = False, metadata: Mapping[str, str] | None = None
) -> None:
    """Like `save_arrays`. Give at most one key of `metadata`: safetensors writes several in changing order."""
    import safetensors.torch  # only here, because whoever saves arrays may do without torch

    ordered = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save = partial(safetensors.torch.save_file, ordered, metadata=None if metadata is None else dict(metadata))
    _write(path, private, save)


def _write(path: Path, private: bool, save: Callable[..., None]) -> None:
    try:
        with replacing(path) as part:
            part.unlink(missing_ok=True)  # a killed process may have left one of another mode
            part.touch(PRIVATE if private else SHARED)
            mode = stat.S_IMODE(part.stat().st_mode)
            save(filename=part)
            part.chmod(mode)
    except (OSError, SafetensorError) as error:
        raise LocalFault(f"{path} cannot be written: {error}") from error
