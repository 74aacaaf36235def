"""Manifests: the table of a checkpoint's tensors and chunks, its root, and what a child may change.

Source: docs/PROTOCOL.md sections 1 and 3. Everything here works without the weights.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TypeAlias

from blake3 import blake3

from .. import encoding, limits
from ..encoding import word
from ..errors import LocalFault, PeerFault
from ..spelling import from_hex, shown
from ..types import HASH_BYTES, NO_ROOT, WHOLE_MODEL, Address, Digest, LedgerId, ModelId, Root
from . import merkle
from .merkle import MembershipProof

FORMAT = "derelayl/1"
"""The first key of every header; another format is another protocol."""

DTYPE_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
"""Bytes of one element by its safetensors name; those that pack several elements into a byte are not taken."""

RESERVED_NAME = "__metadata__"
"""What a safetensors file calls the part that is no tensor."""

SIGNATURE_BYTES = 65
"""r [32] ‖ s [32] ‖ v [1]."""

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of secp256k1; a signature has s in the lower half, so nobody can write a second one (EIP-2)."""

HEADER_LEAF = b"\x01"
CHUNK_LEAF = b"\x02"
"""First bytes of the two kinds of leaves."""

_CHUNK_PLACE = struct.Struct(">IQI")  # tensor index, offset in the tensor, length

Setting: TypeAlias = bool | int | str
"""A parameter of an architecture or an entry of the training record."""


class ManifestRejected(PeerFault):
    """A manifest, or a child under its lease, that breaks a rule; the message names the values that disagree."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor: its safetensors name, type and shape, and the segment it belongs to."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    segment: int

    @property
    def size(self) -> int:
        """Bytes of the tensor."""
        return prod(self.shape) * DTYPE_BYTES[self.dtype]

    @property
    def chunk_count(self) -> int:
        """Chunks that the tensor is cut into."""
        return -(-self.size // limits.MAX_CHUNK_BYTES)


@dataclass(frozen=True, slots=True)
class Header:
    """Who made the checkpoint from what, and its tensors in order of their names. A genesis has no parents.

    `architecture` is a name in the registry of networks, `parameters` are that network's; `training` is the record of
    how the checkpoint was trained.
    """

    model: ModelId
    parents: tuple[Root, ...]
    round: int
    segment: int
    trainer: Address
    architecture: str
    parameters: Mapping[str, Setting]
    training: Mapping[str, Setting]
    tensors: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """At most MAX_CHUNK_BYTES of one tensor; `digest` is the BLAKE3-256 of its `length` bytes."""

    length: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checkpoint without its bytes: header, chunks in the order of the header's tensors, the trainer's signature."""

    header: Header
    chunks: tuple[Chunk, ...]
    signature: bytes = bytes(SIGNATURE_BYTES)


def chunk_digests(data: bytes | bytearray | memoryview) -> tuple[Chunk, ...]:
    """Cut the bytes of one tensor (contiguous, little-endian, C order) into chunks, without copying them."""
    view = memoryview(data)
    if view.nbytes == 0:  # an empty array has no byte view
        return ()
    view = view.cast("B")
    pieces = (view[start : start + limits.MAX_CHUNK_BYTES] for start in range(0, len(view), limits.MAX_CHUNK_BYTES))
    return tuple(Chunk(len(piece), Digest(blake3(piece).digest())) for piece in pieces)


def chunks_of(manifest: Manifest) -> Iterator[tuple[int, int, Chunk]]:
    """Yield (tensor index, offset in the tensor in bytes, chunk) in the order of the table.

    Raises LocalFault if the table has not the number of chunks that the tensors ask for; a parsed manifest always has.
    """
    tensors = manifest.header.tensors
    if (needed := sum(tensor.chunk_count for tensor in tensors)) != len(manifest.chunks):
        raise LocalFault(f"table of {len(manifest.chunks)} chunks, the tensors need {needed}")
    chunks = iter(manifest.chunks)
    for index, tensor in enumerate(tensors):
        for offset in range(0, tensor.size, limits.MAX_CHUNK_BYTES):
            yield index, offset, next(chunks)


def root_of(manifest: Manifest) -> Root:
    """Return the root: the Merkle tree hash over the header and the chunk table; the signature is no part of it."""
    return Root(merkle.root(_leaf_hashes(manifest)))


def header_proof(manifest: Manifest) -> MembershipProof:
    """Return what shows that the header belongs to the root."""
    return _proof(manifest, HEADER_LEAF + encoding.encode(_header_value(manifest.header)), 0)


def chunk_proof(manifest: Manifest, index: int) -> MembershipProof:
    """Return what shows that chunk `index` of the table belongs to the root. Raises LocalFault if there is none."""
    if not 0 <= index < len(manifest.chunks):
        raise LocalFault(f"chunk {index} of {len(manifest.chunks)}")
    return _proof(manifest, _chunk_leaves(manifest)[index], 1 + index)


def leg_digest(ledger: LedgerId, model: ModelId, round: int, parent: Root, child: Root) -> bytes:
    """Return the 32 bytes that the trainer signs; for a genesis, model, round and parent are zero."""
    place = word(ledger.chain_id) + from_hex(ledger.address) + model + round.to_bytes(8, "big")
    return hashlib.sha256(b"derelayl/leg/1\x00" + place + parent + child).digest()


def bytes_changed(child: Manifest, parent: Manifest) -> int:
    """Return the bytes that a peer with the parent still has to fetch: each chunk that the parent lacks, once."""
    known = {chunk.digest for chunk in parent.chunks}
    return sum({chunk.digest: chunk.length for chunk in child.chunks if chunk.digest not in known}.values())


def _proof(manifest: Manifest, leaf: bytes, index: int) -> MembershipProof:
    hashes = _leaf_hashes(manifest)
    return MembershipProof(leaf, index, len(hashes), merkle.audit_path(hashes, index))


def _leaf_hashes(manifest: Manifest) -> list[bytes]:
    header = HEADER_LEAF + encoding.encode(_header_value(manifest.header))
    return [merkle.leaf_hash(leaf) for leaf in (header, *_chunk_leaves(manifest))]


def _chunk_leaves(manifest: Manifest) -> list[bytes]:
    return [
        CHUNK_LEAF + _CHUNK_PLACE.pack(index, offset, chunk.length) + chunk.digest
        for index, offset, chunk in chunks_of(manifest)
    ]


def check_child(
    child: Manifest,
    parent: Manifest,
    *,
    model: ModelId,
    round: int,
    segment: int,
    trainer: Address,
    parent_root: Root,
) -> None:
    """Raise ManifestRejected unless `child` is acceptable under the lease, but for its signature.

    The arguments by name are the lease's; `parent` is the parsed manifest whose root is `parent_root`.
    """
    header = child.header
    _agree("model", header.model.hex(), model.hex())
    _agree("round", header.round, round)
    _agree("segment", header.segment, segment)
    _agree("trainer", header.trainer, trainer)
    # A second parent, where a header names one, is its trainer's word alone: the ledger knows the first.
    _agree("first parent", [root.hex() for root in header.parents[:1]], [parent_root.hex()])
    _agree("architecture", _architecture_bytes(child), _architecture_bytes(parent))
    _agree("number of tensors", len(header.tensors), len(parent.header.tensors))
    for own, inherited in zip(header.tensors, parent.header.tensors, strict=True):
        _agree("tensor", own, inherited)
    if segment != WHOLE_MODEL:
        _check_untouched(child, parent, segment)


def _architecture_bytes(manifest: Manifest) -> bytes:
    return encoding.encode(_architecture_value(manifest.header))  # as bytes, because Python takes True for equal to 1


def _check_untouched(child: Manifest, parent: Manifest, segment: int) -> None:
    """Raise ManifestRejected if a chunk outside `segment` differs; the tensor tables are the same."""
    for (index, offset, ours), (_, _, theirs) in zip(chunks_of(child), chunks_of(parent), strict=True):
        tensor = child.header.tensors[index]
        if tensor.segment != segment and ours != theirs:
            raise ManifestRejected(
                f"chunk at byte {offset} of {tensor.name}, which is in segment {tensor.segment} and not in the leased "
                f"{segment}, is {ours.digest.hex()}, the parent's is {theirs.digest.hex()}"
            )


def _agree(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise ManifestRejected(f"{what} is {shown(found)}, expected is {shown(expected)}")


def encode_manifest(manifest: Manifest) -> bytes:
    """Write the manifest for the wire. Raises LocalFault if any peer would refuse it."""
    wire = encoding.encode(
        {
            "header": _header_value(manifest.header),
            "chunks": [[chunk.length, chunk.digest.hex()] for chunk in manifest.chunks],
            "signature": manifest.signature.hex(),
        }
    )
    try:
        parse_manifest(wire)
    except ManifestRejected as fault:
        raise LocalFault(f"our own manifest breaks a rule: {fault}") from fault
    return wire


def _header_value(header: Header) -> encoding.Value:
    return {
        "format": FORMAT,
        "model": header.model.hex(),
        "parents": [parent.hex() for parent in header.parents],
        "round": header.round,
        "segment": header.segment,
        "trainer": header.trainer,
        "architecture": _architecture_value(header),
        "training": header.training,
        "tensors": [
            {"name": tensor.name, "dtype": tensor.dtype, "shape": tensor.shape, "segment": tensor.segment}
            for tensor in header.tensors
        ],
    }


def _architecture_value(header: Header) -> encoding.Value:
    return {"name": header.architecture, "parameters": header.parameters}


def parse_manifest(wire: bytes) -> Manifest:
    """Read a stranger's manifest and check all that can be checked without its parent and the ledger.

    The signature's form is checked, its signer is not. Raises ManifestRejected.
    """
    try:
        found = encoding.read_object(
            encoding.decode(wire, limits.MAX_MANIFEST_BYTES), ("header", "chunks", "signature"), "manifest"
        )
        header = _read_header(found["header"])
        entries = encoding.read_list(found["chunks"], limits.MAX_CHUNKS, "chunk table")
        manifest = Manifest(header, tuple(map(_read_chunk, entries)), _read_signature(found["signature"]))
    except encoding.EncodingError as fault:
        raise ManifestRejected(str(fault)) from fault
    _check_genesis(header)
    _check_names(header.tensors)
    _check_table(manifest)
    return manifest


def _read_header(value: encoding.Value) -> Header:
    keys = ("format", "model", "parents", "round", "segment", "trainer", "architecture", "training", "tensors")
    found = encoding.read_object(value, keys, "header")
    _agree("format", found["format"], FORMAT)
    architecture = encoding.read_object(found["architecture"], ("name", "parameters"), "architecture")
    return Header(
        model=ModelId(encoding.read_hex(found["model"], HASH_BYTES, "model")),
        parents=tuple(
            Root(encoding.read_hex(parent, HASH_BYTES, "parent"))
            for parent in encoding.read_list(found["parents"], limits.MAX_PARENTS, "parents")
        ),
        round=encoding.read_integer(found["round"], 0, encoding.MAX_INTEGER, "round"),
        segment=_read_segment(found["segment"], "segment"),
        trainer=encoding.read_address(found["trainer"], "trainer"),
        architecture=encoding.read_text(architecture["name"], 1, limits.MAX_TEXT, "architecture's name"),
        parameters=_read_settings(architecture["parameters"], "architecture's parameters"),
        training=_read_settings(found["training"], "training"),
        tensors=tuple(map(_read_tensor, encoding.read_list(found["tensors"], limits.MAX_TENSORS, "tensors"))),
    )


def _read_segment(value: encoding.Value, what: str) -> int:
    return value if value == WHOLE_MODEL else encoding.read_integer(value, 0, limits.MAX_SEGMENTS - 1, what)


def _read_settings(value: encoding.Value, what: str) -> Mapping[str, Setting]:
    settings: dict[str, Setting] = {}
    for name, setting in encoding.read_mapping(value, what).items():
        encoding.read_text(name, 1, limits.MAX_TEXT, f"name in {what}")
        if isinstance(setting, str):
            encoding.read_text(setting, 0, limits.MAX_TEXT, f"{what}: {name}")
        elif not isinstance(setting, int):
            raise encoding.EncodingError(
                f"{what}: {name} is {shown(setting)}, expected is an integer, a string or a boolean"
            )
        settings[name] = setting
    return settings


def _read_tensor(value: encoding.Value) -> TensorSpec:
    found = encoding.read_object(value, ("name", "dtype", "shape", "segment"), "tensor")
    name = encoding.read_text(found["name"], 1, limits.MAX_TEXT, "tensor's name")
    dtype, shape = found["dtype"], encoding.read_list(found["shape"], limits.MAX_TENSOR_DIMENSIONS, f"shape of {name}")
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise encoding.EncodingError(f"type of {name} is {shown(dtype)}, expected is one of {', '.join(DTYPE_BYTES)}")
    return TensorSpec(
        name=name,
        dtype=dtype,
        shape=tuple(encoding.read_integer(size, 0, encoding.MAX_INTEGER, f"dimension of {name}") for size in shape),
        segment=encoding.read_integer(found["segment"], 0, limits.MAX_SEGMENTS - 1, f"segment of {name}"),
    )


def _read_chunk(value: encoding.Value) -> Chunk:
    entry = encoding.read_list(value, 2, "chunk")
    if len(entry) != 2:
        raise encoding.EncodingError(f"chunk is {shown(entry)}, expected are a length and a digest")
    length = encoding.read_integer(entry[0], 1, limits.MAX_CHUNK_BYTES, "length of a chunk")
    return Chunk(length, Digest(encoding.read_hex(entry[1], HASH_BYTES, "digest of a chunk")))


def _read_signature(value: encoding.Value) -> bytes:
    signature = encoding.read_hex(value, SIGNATURE_BYTES, "signature")
    encoding.read_integer(int.from_bytes(signature[:32], "big"), 1, CURVE_ORDER - 1, "signature's r")
    encoding.read_integer(int.from_bytes(signature[32:64], "big"), 1, CURVE_ORDER // 2, "signature's s")
    encoding.read_integer(signature[64], 0, 1, "signature's v")
    return signature


def _check_genesis(header: Header) -> None:
    """Raise ManifestRejected unless model, round and parents agree on whether this is a genesis."""
    genesis = not header.parents
    if genesis != (header.model == bytes(HASH_BYTES)) or genesis != (header.round == 0):
        raise ManifestRejected(
            f"{len(header.parents)} parents with model {header.model.hex()} and round {header.round}: "
            f"a genesis has none of them, every other checkpoint has all"
        )
    if NO_ROOT in header.parents or len(set(header.parents)) != len(header.parents):
        raise ManifestRejected(f"parents {[parent.hex() for parent in header.parents]} are zero or the same")


def _check_names(tensors: Sequence[TensorSpec]) -> None:
    for tensor in tensors:
        if tensor.name == RESERVED_NAME:
            raise ManifestRejected(f"tensor {tensor.name}: safetensors keeps this name for itself")
    for before, after in pairwise(tensors):
        if before.name >= after.name:
            raise ManifestRejected(f"tensor {after.name} comes after {before.name}, expected is ascending order")


def _check_table(manifest: Manifest) -> None:
    """Raise ManifestRejected unless each tensor has full chunks but for its last, which has the rest of its bytes."""
    at, lengths = 0, dict[Digest, int]()
    for tensor in manifest.header.tensors:
        # Before any loop: a shape may ask for more chunks than there are atoms.
        left = len(manifest.chunks) - at
        if tensor.chunk_count > left:
            raise ManifestRejected(f"{tensor.name} needs {tensor.chunk_count} chunks, {left} are left")
        rest = tensor.size
        for chunk in manifest.chunks[at : at + tensor.chunk_count]:
            expected = min(rest, limits.MAX_CHUNK_BYTES)
            _agree(f"length of a chunk of {tensor.name}", chunk.length, expected)
            _agree(f"length of {chunk.digest.hex()}", chunk.length, lengths.setdefault(chunk.digest, chunk.length))
            rest -= expected
        at += tensor.chunk_count
    _agree("number of chunks", len(manifest.chunks), at)
