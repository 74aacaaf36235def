"""The Merkle tree: against RFC 9162's recursive definition and Certificate Transparency's vectors."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from derelayl_protocol.checkpoint import merkle
from derelayl_protocol.errors import LocalFault

VECTORS = Path(__file__).parents[1] / "vectors" / "merkle"
SIZES = range(1, 71)

TRANSPARENCY_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
"""From the tests of Certificate Transparency (github.com/transparency-dev/merkle), by number of leaves."""


def leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(index.to_bytes(2, "big")) for index in range(count)]


def recursive_root(hashes: list[bytes]) -> bytes:
    """MTH as RFC 9162 section 2.1.1 defines it."""
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << ((len(hashes) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + recursive_root(hashes[:half]) + recursive_root(hashes[half:])).digest()


def recursive_path(index: int, hashes: list[bytes]) -> tuple[bytes, ...]:
    """PATH as RFC 9162 section 2.1.3.1 defines it."""
    if len(hashes) == 1:
        return ()
    half = 1 << ((len(hashes) - 1).bit_length() - 1)
    if index < half:
        return (*recursive_path(index, hashes[:half]), recursive_root(hashes[half:]))
    return (*recursive_path(index - half, hashes[half:]), recursive_root(hashes[:half]))


@pytest.mark.parametrize("case", json.loads((VECTORS / "refused.json").read_text()), ids=lambda case: case["name"])
def test_a_wrong_proof_does_not_hold(case: Any) -> None:
    path = [bytes.fromhex(node) for node in case["path"]]
    root, leaf = bytes.fromhex(case["root"]), bytes.fromhex(case["leaf"])
    assert not merkle.verify(root, leaf, case["index"], case["count"], path)


def test_a_negative_index_does_not_hold() -> None:
    hashes = leaves(2)
    assert not merkle.verify(merkle.root(hashes), hashes[1], -1, 2, [hashes[0]])


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_path_for_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(LocalFault, match=f"leaf {index} of 3"):
        merkle.audit_path(leaves(3), index)


@pytest.mark.parametrize("count", SIZES)
def test_a_proof_holds_for_its_leaf_and_place_only(count: int) -> None:
    hashes = leaves(count)
    root = merkle.root(hashes)
    for index in range(count):
        path = merkle.audit_path(hashes, index)
        holds = [merkle.verify(root, hashes[index], other, count, path) for other in range(count + 1)]
        assert holds == [other == index for other in range(count + 1)]
        assert not merkle.verify(root, merkle.leaf_hash(b"other"), index, count, path)


@pytest.mark.parametrize("count", SIZES)
def test_roots_and_paths_are_those_of_the_recursive_definition(count: int) -> None:
    hashes = leaves(count)
    assert merkle.root(hashes) == recursive_root(hashes)
    for index in range(0, count, 7):
        assert merkle.audit_path(hashes, index) == recursive_path(index, hashes)


@pytest.mark.parametrize("case", json.loads((VECTORS / "trees.json").read_text()), ids=lambda case: len(case["leaves"]))
def test_trees_are_those_of_the_vectors(case: Any) -> None:
    data = [bytes.fromhex(leaf) for leaf in case["leaves"]]
    hashes = [merkle.leaf_hash(leaf) for leaf in data]
    root = bytes.fromhex(case["root"])
    assert merkle.root(hashes) == root
    assert case["root"] == TRANSPARENCY_ROOTS.get(len(data), case["root"])
    for index, nodes in enumerate(case["paths"]):
        path = tuple(bytes.fromhex(node) for node in nodes)
        assert merkle.audit_path(hashes, index) == path
        assert merkle.MembershipProof(data[index], index, len(data), path).holds(root)
