import json
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from derelayl_node.ports import StoreDamaged, StoreFull
from derelayl_node.store.packing import assemble_weights, split_weights
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.manifest import Chunk, Header, Manifest, TensorSpec
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MAX_CHUNK_BYTES
from derelayl_protocol.types import Address, ModelId
from derelayl_training.jobs import WeightsFile

TENSORS: dict[str, np.ndarray] = {
    "stage1.weight": np.arange(600_000, dtype=np.float32).reshape(600, 1000),
    "stage0.weight": np.ones((3, 5), dtype=np.float32),
    "stage0.bias": np.array(7, dtype=np.int64),
    "stage1.empty": np.zeros((0, 4), dtype=np.float16),
    "stage0.exact": np.zeros(MAX_CHUNK_BYTES, dtype=np.uint8),
}


def weights_file(path: Path, tensors: dict[str, np.ndarray] = TENSORS) -> WeightsFile:
    save_file(tensors, path, metadata={"made": "by a test"})
    return WeightsFile(path, {name: int(name[5]) for name in tensors})


def manifest_of(tensors: tuple[TensorSpec, ...], chunks: tuple[Chunk, ...]) -> Manifest:
    header = Header(ModelId(bytes(32)), (), 0, 255, Address("0x" + "11" * 20), "mlp", {}, {}, tensors)
    return Manifest(header, chunks)


def raw_file(path: Path, header: object, body: bytes = b"") -> WeightsFile:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return WeightsFile(path, {"a": 0})


def entry(dtype: object = "U8", shape: object = (2,), offsets: object = (0, 2)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


NOT_PLAIN = {
    "no JSON": (b"{]", b""),
    "no object": ([], b""),
    "not UTF-8": (b'{"\xff": 1}', b""),
    "deeply nested": (b"[" * 100_000, b""),
    "nested inside a shape": (b'{"a\\"":{"dtype":"U8","shape":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", b"12"),
    "a key twice": (b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{}}', b"12"),
    "a key too many": ({"a": {**entry(), "code": "x"}}, b"12"),
    "a key missing": ({"a": {"dtype": "U8", "shape": [2]}}, b"12"),
    "an unknown type": ({"a": entry(dtype="PICKLE")}, b"12"),
    "a type that is no text": ({"a": entry(dtype=["U8"])}, b"12"),
    "a negative dimension": ({"a": entry(shape=[-2])}, b"12"),
    "a dimension that is no integer": ({"a": entry(shape=[2.0])}, b"12"),
    "a boolean dimension": ({"a": entry(shape=[True, 2])}, b"12"),
    "too many dimensions": ({"a": entry(shape=[1] * 8 + [2])}, b"12"),
    "a shape of another size": ({"a": entry(shape=[3])}, b"12"),
    "a place that is no pair": ({"a": entry(offsets=[0, 1, 2])}, b"12"),
    "a place beyond the file": ({"a": entry(offsets=[0, 2])}, b"1"),
    "bytes behind the last tensor": ({"a": entry()}, b"123"),
    "a gap before the first tensor": ({"a": entry(offsets=[1, 3])}, b"123"),
    "tensors that overlap": ({"a": entry(), "b": entry(offsets=[1, 3])}, b"123"),
    "an empty name": ({"": entry()}, b"12"),
}


@pytest.mark.parametrize("case", NOT_PLAIN)
def test_a_file_that_is_not_plain_safetensors_is_refused(tmp_path: Path, case: str) -> None:
    header, body = NOT_PLAIN[case]
    with pytest.raises(LocalFault, match="safetensors"):
        split_weights(raw_file(tmp_path / "bad.safetensors", header, body), MemoryStore())


def test_nesting_is_bounded_however_high_a_library_sets_the_recursion_limit(
    tmp_path: Path,
) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)  # as py_ecc does when it is imported; a recursive parser then kills the process
    try:
        with pytest.raises(LocalFault, match="nests deeper than 3"):
            split_weights(raw_file(tmp_path / "bad", b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}"), MemoryStore())
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 8, (10**6).to_bytes(8, "little") + b"{}"])
def test_a_header_that_is_longer_than_the_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(LocalFault, match="not a safetensors file"):
        split_weights(WeightsFile(tmp_path / "bad", {}), MemoryStore())


@given(content=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_local_fault(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "weights"
    path.write_bytes(min(len(content), 90).to_bytes(8, "little") + content)
    with suppress(LocalFault):
        split_weights(WeightsFile(path, {}), MemoryStore())


def test_an_absent_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="cannot be read: No such file"):
        split_weights(WeightsFile(tmp_path / "absent", {}), MemoryStore())


@pytest.mark.parametrize("segments", [{}, {"a": -1}, {"a": 64}, {"a": 0, "ghost": 1}])
def test_segments_and_tensors_must_agree(tmp_path: Path, segments: dict[str, int]) -> None:
    path = raw_file(tmp_path / "w", {"a": entry()}, b"12").path
    with pytest.raises(LocalFault, match="segment"):
        split_weights(WeightsFile(path, segments), MemoryStore())


def test_an_absent_chunk_leaves_no_file(tmp_path: Path) -> None:
    manifest = manifest_of(*split_weights(weights_file(tmp_path / "in"), MemoryStore()))
    with pytest.raises(StoreDamaged, match="is not in the store"):
        assemble_weights(manifest, MemoryStore(), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_full_store_is_told_while_splitting(tmp_path: Path) -> None:
    with pytest.raises(StoreFull):
        split_weights(weights_file(tmp_path / "in"), MemoryStore(max_bytes=100))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    store = MemoryStore()
    manifest = manifest_of(*split_weights(weights_file(tmp_path / "in"), store))
    with pytest.raises(LocalFault, match="cannot be written"):
        assemble_weights(manifest, store, tmp_path / "absent" / "out")


def test_assembled_weights_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    store = MemoryStore()
    manifest = manifest_of(*split_weights(weights_file(tmp_path / "in"), store))
    before = os.umask(0o022)
    assemble_weights(manifest, store, tmp_path / "out")
    os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o644


def test_splitting_and_assembling_gives_the_same_tensors(tmp_path: Path) -> None:
    store = MemoryStore()
    manifest = manifest_of(*split_weights(weights_file(tmp_path / "in"), store))
    assemble_weights(manifest, store, tmp_path / "out")
    found = load_file(tmp_path / "out")
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found[name], tensor)


def test_the_same_manifest_gives_the_same_bytes(tmp_path: Path) -> None:
    store = MemoryStore()
    manifest = manifest_of(*split_weights(weights_file(tmp_path / "in"), store))
    assemble_weights(manifest, store, tmp_path / "one")
    assemble_weights(manifest, store, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = split_weights(WeightsFile(tmp_path / "one", {name: int(name[5]) for name in TENSORS}), store)
    assert manifest_of(*again) == manifest


def test_the_table_is_sorted_and_names_types_shapes_and_segments(tmp_path: Path) -> None:
    tensors, chunks = split_weights(weights_file(tmp_path / "in"), MemoryStore())
    assert tensors == (
        TensorSpec("stage0.bias", "I64", (), 0),
        TensorSpec("stage0.exact", "U8", (MAX_CHUNK_BYTES,), 0),
        TensorSpec("stage0.weight", "F32", (3, 5), 0),
        TensorSpec("stage1.empty", "F16", (0, 4), 1),
        TensorSpec("stage1.weight", "F32", (600, 1000), 1),
    )
    assert [chunk.length for chunk in chunks] == [8, MAX_CHUNK_BYTES, 60, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES, 302_848]
