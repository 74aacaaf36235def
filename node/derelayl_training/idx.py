"""The idx.gz format of MNIST and Fashion-MNIST: a magic word, big-endian dimensions, then raw bytes."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MIB

UNSIGNED_BYTE = 0x08
"""The type code of uint8 in the third byte of the magic word."""

MAX_IDX_BYTES = 512 * MIB
"""Unpacked size of one file: ten times the 47 MB of the Fashion-MNIST training images; stops a gzip bomb."""


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read one gzipped idx file of uint8 with exactly `dimensions` axes. Raises LocalFault naming the file."""
    try:
        with gzip.open(path, "rb") as file:
            header = file.read(4 + 4 * dimensions)
            shape = _shape(path, header, dimensions)
            size = int(np.prod(shape, dtype=np.int64))
            if size > MAX_IDX_BYTES:
                raise LocalFault(f"{path} announces {size} bytes, allowed are {MAX_IDX_BYTES}")
            data = file.read(size + 1)  # one more than announced, to notice a longer file
    except (OSError, EOFError, zlib.error) as error:
        raise LocalFault(f"{path} cannot be read as idx.gz: {error}") from error
    if len(data) != size:
        found = "more" if len(data) > size else str(len(data))
        raise LocalFault(f"{path} announces {size} bytes and holds {found}")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _shape(path: Path, header: bytes, dimensions: int) -> tuple[int, ...]:
    if len(header) != 4 + 4 * dimensions:
        raise LocalFault(f"{path} ends within its header")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    expected = UNSIGNED_BYTE << 8 | dimensions
    if magic != expected:
        raise LocalFault(
            f"{path} begins with {magic:#010x}; an idx file of {dimensions} axes begins with {expected:#010x}"
        )
    return tuple(shape)
