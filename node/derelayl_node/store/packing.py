"""Weights between a safetensors file and the chunks of a checkpoint, one chunk in memory at a time.

A safetensors file is ``header length u64 little-endian ‖ JSON header ‖ tensor bytes``; the header maps each tensor's
name to its type, shape and place in the bytes. Source: the format's description in the safetensors repository.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.manifest import DTYPE_BYTES, Chunk, Manifest, TensorSpec, chunks_of
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MAX_CHUNK_BYTES, MAX_SEGMENTS, MAX_TENSOR_DIMENSIONS, MAX_TENSORS, MAX_TEXT, MIB
from derelayl_training.files import replacing
from derelayl_training.jobs import WeightsFile

from ..ports import CheckpointStore, StoreDamaged, StoreFull
from .chunks import DISK_IS_FULL

LENGTH_BYTES = 8
"""The header's length in front of a file."""

MAX_HEADER_BYTES = 16 * MIB
"""A header: MAX_TENSORS entries of a kilobyte."""

MAX_DIMENSION = 2**53 - 1
"""The largest integer of a manifest."""

METADATA = "__metadata__"
"""The header's key that is no tensor; it says where a file came from and is not part of a checkpoint."""

MAX_NESTING = 3
"""Levels of a plain header: the tensors, one tensor's entry, its shape."""

ALIGNMENT = 8
"""The header is padded with spaces to a multiple of this, as the reference implementation does."""


_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


@dataclass(frozen=True, slots=True)
class _Place:
    """A tensor in a file: its type, its shape and the half-open range of its bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def split_weights(file: WeightsFile, store: CheckpointStore) -> tuple[tuple[TensorSpec, ...], tuple[Chunk, ...]]:
    """Put the tensors of a safetensors file into the store.

    Returns their table, sorted by name, and their chunks in the table's order.
    Raises LocalFault for a file that is not plain safetensors or whose tensors have no segment, StoreFull.
    """
    try:
        with file.path.open("rb") as source:
            places, begin = _read_header(source, file.path)
            tensors = tuple(_spec(name, places[name], file.segment_of) for name in sorted(places))
            _check_named(places, file.segment_of)
            with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
                chunks = tuple(
                    chunk for tensor in tensors for chunk in _split(content, begin, places[tensor.name], store)
                )
    except OSError as error:
        raise LocalFault(f"the weights file {file.path} cannot be read: {error.strerror}") from error
    return tensors, chunks


def assemble_weights(manifest: Manifest, store: CheckpointStore, out: Path) -> None:
    """Write a checkpoint as a safetensors file: the same manifest gives the same bytes; `out` is complete or as it was.

    Raises StoreDamaged when a chunk is absent or altered, StoreFull, LocalFault when `out` cannot be written.
    """
    try:
        with replacing(out, shared=True) as part, part.open("xb") as target:
            target.write(_write_header(manifest.header.tensors))
            for _, _, chunk in chunks_of(manifest):
                target.write(_chunk(store, chunk))
    except OSError as error:
        if error.errno in DISK_IS_FULL:
            raise StoreFull(f"no room for the weights file {out}: {error.strerror}; free some space") from error
        raise LocalFault(f"the weights file {out} cannot be written: {error.strerror}") from error


def is_assembled(manifest: Manifest, file: Path) -> bool:
    """Tell whether a file is what `assemble_weights` writes of the checkpoint, down to the last byte."""
    try:
        with file.open("rb") as source:
            header = _write_header(manifest.header.tensors)
            return (
                source.read(len(header)) == header
                and all(
                    HashedChunk(source.read(chunk.length)).digest == chunk.digest for _, _, chunk in chunks_of(manifest)
                )
                and not source.read(1)
            )
    except OSError:
        return False


# --- reading ----------------------------------------------------------------------------------------------------------


def _read_header(source: BinaryIO, path: Path) -> tuple[Mapping[str, _Place], int]:
    """Return the tensors of an open file and where their bytes begin. Raises LocalFault for anything unusual."""
    total = os.fstat(source.fileno()).st_size
    prefix = source.read(LENGTH_BYTES)
    length = int.from_bytes(prefix, "little")
    begin = LENGTH_BYTES + length
    if len(prefix) != LENGTH_BYTES or not 2 <= length <= MAX_HEADER_BYTES or begin > total:
        raise LocalFault(f"{path} is not a safetensors file: a header of {length} bytes in a file of {total}")
    text = source.read(length)
    # before a recursive parser sees it: py_ecc raises Python's recursion limit beyond what the stack of C can hold
    if _nested_deeper_than(text, MAX_NESTING):
        raise LocalFault(f"{path} is not a plain safetensors file: its header nests deeper than {MAX_NESTING}")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
        if not isinstance(header, dict):
            raise ValueError("the header is not an object")
        entries = {name: value for name, value in header.items() if name != METADATA}
        if len(entries) > MAX_TENSORS:
            raise ValueError(f"{len(entries)} tensors, allowed are {MAX_TENSORS}")
        places = {name: _read_place(name, value) for name, value in entries.items()}
        _check_cover(places, total - begin)
    except ValueError as error:
        raise LocalFault(f"{path} is not a plain safetensors file: {error}") from None
    return places, begin


def _nested_deeper_than(text: bytes, levels: int) -> bool:
    """Tell in linear time and without recursion: take away the innermost brackets outside strings, a level a time."""
    outside = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside).translate(None, _NOT_BRACKETS)
    for _ in range(levels):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return bool(brackets)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key of the header appears twice")
    return found


def _read_place(name: str, value: Any) -> _Place:
    if not 1 <= len(name) <= MAX_TEXT:
        raise ValueError(f"a tensor's name has {len(name)} characters, allowed are 1 to {MAX_TEXT}")
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of {name} has not exactly the keys dtype, shape, data_offsets")
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise ValueError(f"the type of {name} is {dtype!r:.40}, known are {', '.join(DTYPE_BYTES)}")
    shape = _integers(value["shape"], f"the shape of {name}")
    if len(shape) > MAX_TENSOR_DIMENSIONS:
        raise ValueError(f"{name} has {len(shape)} dimensions, allowed are {MAX_TENSOR_DIMENSIONS}")
    start, end = _integers(value["data_offsets"], f"the place of {name}", count=2)
    size = TensorSpec(name, dtype, shape, 0).size
    if end - start != size:
        raise ValueError(f"{name} has {size} bytes by its shape and {end - start} by its place")
    return _Place(dtype, shape, start, end)


def _integers(value: Any, what: str, count: int | None = None) -> tuple[int, ...]:
    if not isinstance(value, list) or (count is not None and len(value) != count):
        raise ValueError(f"{what} is not a list of {count or 'some'} numbers")
    if any(type(each) is not int or not 0 <= each <= MAX_DIMENSION for each in value):
        raise ValueError(f"{what} has an entry that is not an integer from 0 to 2**53 - 1")
    return tuple(value)


def _check_cover(places: Mapping[str, _Place], size: int) -> None:
    """Raise ValueError unless the tensors lie side by side and fill all bytes after the header."""
    ordered = sorted(places.values(), key=lambda place: (place.start, place.end))
    ends = [0, *(place.end for place in ordered)]
    if [place.start for place in ordered] != ends[:-1] or ends[-1] != size:
        raise ValueError(
            f"the tensors overlap, leave a gap or do not end with the file, which has {size} bytes of them"
        )


def _check_named(places: Mapping[str, _Place], segment_of: Mapping[str, int]) -> None:
    if extra := sorted(segment_of.keys() - places.keys()):
        raise LocalFault(f"tensor {extra[0]!r} has a segment but is not in the file")


def _spec(name: str, place: _Place, segment_of: Mapping[str, int]) -> TensorSpec:
    segment = segment_of.get(name)
    if segment is None or not 0 <= segment < MAX_SEGMENTS:
        raise LocalFault(f"tensor {name!r} has the segment {segment}, allowed are 0 to {MAX_SEGMENTS - 1}")
    return TensorSpec(name, place.dtype, place.shape, segment)


def _split(content: mmap.mmap, begin: int, place: _Place, store: CheckpointStore) -> list[Chunk]:
    chunks = []
    for start in range(begin + place.start, begin + place.end, MAX_CHUNK_BYTES):
        data = content[start : min(start + MAX_CHUNK_BYTES, begin + place.end)]
        chunks.append(Chunk(len(data), store.put_chunk(HashedChunk(data))))
    return chunks


# --- writing ----------------------------------------------------------------------------------------------------------


def _write_header(tensors: tuple[TensorSpec, ...]) -> bytes:
    """Write the header for tensors that lie in the file in the order of the table."""
    ends = [0]
    for tensor in tensors:
        ends.append(ends[-1] + tensor.size)
    header = {
        tensor.name: {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
        for tensor, (start, end) in zip(tensors, pairwise(ends), strict=True)
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(LENGTH_BYTES + len(text)) % ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def _chunk(store: CheckpointStore, chunk: Chunk) -> bytes:
    data = store.chunk(chunk.digest)
    if data is None or len(data) != chunk.length:
        raise StoreDamaged(f"chunk {chunk.digest.hex()} is not in the store; fetch the checkpoint again")
    return data
