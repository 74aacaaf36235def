"""Manifests: what is refused, what a child may change, and that roots and proofs are those of the specification."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from coincurve import PublicKey
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol import limits
from derelayl_protocol.checkpoint import merkle
from derelayl_protocol.checkpoint.manifest import (
    DTYPE_BYTES,
    Chunk,
    Header,
    Manifest,
    ManifestRejected,
    TensorSpec,
    bytes_changed,
    check_child,
    chunk_digests,
    chunk_proof,
    chunks_of,
    encode_manifest,
    header_proof,
    leg_digest,
    parse_manifest,
    root_of,
)
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.types import WHOLE_MODEL, Address, Digest, LedgerId, ModelId, Root

VECTORS = Path(__file__).parents[1] / "vectors" / "manifest"
MEBIBYTE = limits.MAX_CHUNK_BYTES
SIGNATURE = (1).to_bytes(32, "big") * 2 + b"\x01"
TRAINER = Address("0x" + "77" * 20)


def cases(name: str) -> list[pytest.ParameterSet]:
    return [pytest.param(case, id=case["name"]) for case in json.loads((VECTORS / f"{name}.json").read_text())]


def wire_of(name: str) -> bytes:
    (wire,) = (case["wire"] for case in json.loads((VECTORS / "checkpoints.json").read_text()) if case["name"] == name)
    return wire.encode()


def digest(text: str) -> Digest:
    return Digest(blake3(text.encode()).digest())


def checkpoint(sizes: Sequence[int], label: str = "", **changes: Any) -> Manifest:
    """A manifest of U8 tensors with these sizes in bytes; each in a segment of its own, `label` names the contents."""
    tensors = tuple(TensorSpec(f"t{index:02}", "U8", (size,), index) for index, size in enumerate(sizes))
    chunks = tuple(
        Chunk(min(MEBIBYTE, size - offset), digest(f"{label}{index}:{offset}"))
        for index, size in enumerate(sizes)
        for offset in range(0, size, MEBIBYTE)
    )
    fields: dict[str, Any] = {
        "model": bytes(32),
        "parents": (),
        "round": 0,
        "segment": WHOLE_MODEL,
        "trainer": TRAINER,
        "architecture": "mlp",
        "parameters": {"width": 3},
        "training": {},
        "tensors": tensors,
    }
    return Manifest(Header(**fields | changes), chunks, SIGNATURE)


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("refused"))
def test_a_manifest_with_one_thing_wrong_is_refused(case: Any) -> None:
    with pytest.raises(ManifestRejected):
        parse_manifest(case["wire"].encode())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tensor larger than its chunk", "length of a chunk of body.bias is 12, expected is 16"),
        ("tensor larger than the universe", r"body.bias needs \d+ chunks, 4 are left"),
        ("chunk too few", "head.weight needs 2 chunks, 1 are left"),
        ("chunk too many", "number of chunks is 5, expected is 4"),
        ("one digest with two lengths", r"length of [0-9a-f]{64} is 2, expected is 12"),
        ("tensors not sorted", "tensor head.scale comes after head.weight"),
        ("tensor twice", "tensor head.weight comes after head.weight"),
        ("another format", "format is 'derelayl/2', expected is 'derelayl/1'"),
        ("model zero", "1 parents with model 0{64} and round 3"),
        ("the same parent twice", "zero or the same"),
        ("signature with v 27", "signature's v is 27, allowed is 0 … 1"),
        ("signature with a high s", "signature's s is"),
    ],
)
def test_a_refusal_names_the_values_that_disagree(name: str, why: str) -> None:
    case: Any
    (case,) = (case.values[0] for case in cases("refused") if case.id == name)
    with pytest.raises(ManifestRejected, match=why):
        parse_manifest(case["wire"].encode())


def test_a_refusal_is_a_peers_fault() -> None:
    assert issubclass(ManifestRejected, PeerFault)


def test_more_bytes_than_a_manifest_may_have_are_refused() -> None:
    with pytest.raises(ManifestRejected, match="4194305 bytes, allowed are 4194304"):
        parse_manifest(b" " * (limits.MAX_MANIFEST_BYTES + 1))


def test_more_chunks_than_the_limit_are_refused() -> None:
    text = wire_of("genesis").decode().replace('"chunks":[', '"chunks":[' + "0," * limits.MAX_CHUNKS)
    with pytest.raises(ManifestRejected, match="chunk table has 65540 entries, allowed are 65536"):
        parse_manifest(text.encode())


@given(st.data())
def test_a_manifest_with_one_byte_changed_is_refused_or_another_checkpoint(data: st.DataObject) -> None:
    wire = wire_of("child")
    right = parse_manifest(wire)
    changed = bytearray(wire)
    changed[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = parse_manifest(bytes(changed))
    except ManifestRejected:
        return
    assert found != right
    assert root_of(found) != root_of(right) or found.signature != right.signature


def test_our_own_manifest_is_not_written_if_peers_would_refuse_it() -> None:
    with pytest.raises(LocalFault, match="round is -1"):
        encode_manifest(checkpoint([3], round=-1))
    with pytest.raises(LocalFault, match="signature's r is 0"):
        encode_manifest(replace(checkpoint([3]), signature=bytes(65)))


def test_chunks_that_do_not_fit_the_tensors_are_our_own_fault() -> None:
    manifest = checkpoint([3, 4])
    with pytest.raises(LocalFault, match="table of 1 chunks, the tensors need 2"):
        root_of(replace(manifest, chunks=manifest.chunks[:1]))


@pytest.mark.parametrize("index", [-1, 2])
def test_there_is_no_proof_for_a_chunk_that_is_not_there(index: int) -> None:
    with pytest.raises(LocalFault, match=f"chunk {index} of 2"):
        chunk_proof(checkpoint([3, 4]), index)


# --- What a child may change ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("children"))
def test_a_child_is_accepted_only_under_its_lease(case: Any) -> None:
    lease, parent, child = (
        case["lease"],
        parse_manifest(case["parent"].encode()),
        parse_manifest(case["child"].encode()),
    )
    terms = {
        "model": bytes.fromhex(lease["model"]),
        "round": lease["round"],
        "segment": lease["segment"],
        "trainer": lease["trainer"],
        "parent_root": bytes.fromhex(lease["parent"]),
    }
    if case["accepted"]:
        check_child(child, parent, **terms)
        return
    with pytest.raises(ManifestRejected):
        check_child(child, parent, **terms)


def child_of(parent: Manifest, label: str, segment: int) -> Manifest:
    return checkpoint(
        [tensor.shape[0] for tensor in parent.header.tensors],
        label,
        model=b"\x05" * 32,
        parents=(root_of(parent),),
        round=1,
        segment=segment,
    )


def check(child: Manifest, parent: Manifest, segment: int) -> None:
    check_child(
        child,
        parent,
        model=ModelId(b"\x05" * 32),
        round=1,
        segment=segment,
        trainer=TRAINER,
        parent_root=root_of(parent),
    )


def test_a_leg_of_the_whole_model_may_change_every_chunk() -> None:
    parent = checkpoint([3, 4])
    check(child_of(parent, "new", WHOLE_MODEL), parent, WHOLE_MODEL)


def test_a_leg_of_one_segment_may_change_no_chunk_outside() -> None:
    parent = checkpoint([3, MEBIBYTE + 1])
    everything = child_of(parent, "new", 0)
    check(replace(everything, chunks=(everything.chunks[0], *parent.chunks[1:])), parent, 0)
    with pytest.raises(
        ManifestRejected, match="chunk at byte 1048576 of t01, which is in segment 1 and not in the leased 0"
    ):
        check(replace(everything, chunks=(*parent.chunks[:2], everything.chunks[2])), parent, 0)


@pytest.mark.parametrize("kept", range(5))
def test_bytes_changed_are_those_of_the_chunks_that_the_parent_lacks(kept: int) -> None:
    parent = checkpoint([10, 20, 30, 40])
    child = child_of(parent, "new", WHOLE_MODEL)
    child = replace(child, chunks=parent.chunks[:kept] + child.chunks[kept:])
    assert bytes_changed(child, parent) == sum([10, 20, 30, 40][kept:])


def test_bytes_changed_count_equal_chunks_once() -> None:
    parent, child = checkpoint([8, 8]), checkpoint([8, 8], "new")
    assert bytes_changed(replace(child, chunks=(child.chunks[0],) * 2), parent) == 8


# --- What is computed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("checkpoints"))
def test_a_manifest_has_the_root_and_the_proofs_of_the_vectors(case: Any) -> None:
    manifest = parse_manifest(case["wire"].encode())
    root = root_of(manifest)
    assert encode_manifest(manifest) == case["wire"].encode()
    assert root.hex() == case["root"]
    proofs = [header_proof(manifest), *(chunk_proof(manifest, index) for index in range(len(manifest.chunks)))]
    for proof, expected in zip(proofs, [case["header_proof"], *case["chunk_proofs"]], strict=True):
        assert proof.holds(root)
        assert proof.leaf.hex() == expected["leaf"]
        assert (proof.index, proof.count) == (expected["index"], expected["count"])
        assert [node.hex() for node in proof.path] == expected["path"]


@pytest.mark.parametrize("case", cases("checkpoints"))
def test_a_signature_recovers_to_its_signer(case: Any) -> None:
    manifest = parse_manifest(case["wire"].encode())
    model, round_number = manifest.header.model, manifest.header.round
    parent, child = bytes.fromhex(case["parent"]), bytes.fromhex(case["root"])
    found = leg_digest(LedgerId(case["chain_id"], case["ledger"]), model, round_number, Root(parent), Root(child))
    assert found.hex() == case["leg_digest"]
    key = PublicKey.from_signature_and_message(manifest.signature, found, hasher=None)
    assert "0x" + keccak(key.format(compressed=False)[1:])[-20:].hex() == case["signer"] == manifest.header.trainer


def test_the_root_is_that_of_the_specification() -> None:
    case = json.loads((VECTORS / "checkpoints.json").read_text())[1]
    value = json.loads(case["wire"])
    header = json.dumps(value["header"], sort_keys=True, separators=(",", ":")).encode()
    places = [(0, 0), (2, 0), (3, 0), (3, MEBIBYTE)]  # body.empty has no chunk, head.weight has two
    leaves = [b"\x01" + header]
    for (tensor, offset), (length, name) in zip(places, value["chunks"], strict=True):
        place = tensor.to_bytes(4, "big") + offset.to_bytes(8, "big") + length.to_bytes(4, "big")
        leaves.append(b"\x02" + place + bytes.fromhex(name))
    assert merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]).hex() == case["root"]


def test_the_leg_digest_is_that_of_the_specification() -> None:
    data = b"derelayl/leg/1\x00" + bytes(31) + b"\x07" + b"\x11" * 20 + b"\x22" * 32 + bytes(7) + b"\x05" + b"\x33" * 64
    found = leg_digest(
        LedgerId(7, Address("0x" + "11" * 20)), ModelId(b"\x22" * 32), 5, Root(b"\x33" * 32), Root(b"\x33" * 32)
    )
    assert found == hashlib.sha256(data).digest()


@given(st.lists(st.integers(0, 3 * MEBIBYTE), max_size=6), st.sampled_from(["", "note ~"]))
def test_a_manifest_is_read_back(sizes: list[int], note: str) -> None:
    manifest = checkpoint(sizes, training={"note": note, "steps": 3, "done": True})
    found = parse_manifest(encode_manifest(manifest))
    assert found == manifest
    assert root_of(found) == root_of(manifest)
    assert sum(chunk.length for _, _, chunk in chunks_of(found)) == sum(sizes)


def test_chunks_know_their_tensor_and_offset() -> None:
    manifest = checkpoint([0, 5, 2 * MEBIBYTE + 3, 0])
    found = [(index, offset, chunk.length) for index, offset, chunk in chunks_of(manifest)]
    assert found == [(1, 0, 5), (2, 0, MEBIBYTE), (2, MEBIBYTE, MEBIBYTE), (2, 2 * MEBIBYTE, 3)]


def test_a_tensors_bytes_are_cut_into_full_chunks_and_a_rest() -> None:
    data = bytes(range(256)) * 4096 * 2 + b"rest"
    pieces = [data[:MEBIBYTE], data[MEBIBYTE : 2 * MEBIBYTE], b"rest"]
    assert chunk_digests(data) == tuple(Chunk(len(piece), Digest(blake3(piece).digest())) for piece in pieces)
    assert chunk_digests(bytearray(data[:MEBIBYTE])) == chunk_digests(data)[:1]


def test_an_array_is_cut_by_its_bytes_and_an_empty_one_not_at_all() -> None:
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    assert chunk_digests(array.data) == chunk_digests(array.tobytes())
    assert chunk_digests(np.zeros((0, 3), dtype="<f4").data) == ()
    assert chunk_digests(b"") == ()


@pytest.mark.parametrize("dtype", DTYPE_BYTES)
def test_a_tensor_takes_the_bytes_of_its_type(dtype: str) -> None:
    assert TensorSpec("t", dtype, (2, 3), 0).size == 6 * DTYPE_BYTES[dtype]
    assert TensorSpec("t", dtype, (), 0).size == DTYPE_BYTES[dtype]
