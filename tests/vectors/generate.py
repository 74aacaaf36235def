"""Write the test vectors of the protocol's hashed and signed forms; see README.md here for their format.

Run ``python tests/vectors/generate.py`` after a change of the protocol; a test checks that the files are up to date.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from eth_utils.crypto import keccak

from derelayl_protocol.checkpoint.manifest import (
    Chunk,
    Header,
    Manifest,
    TensorSpec,
    chunk_digests,
    chunk_proof,
    encode_manifest,
    header_proof,
    leg_digest,
    root_of,
)
from derelayl_protocol.checkpoint.merkle import MembershipProof, audit_path, leaf_hash, root
from derelayl_protocol.encoding import Value, encode
from derelayl_protocol.types import NO_ROOT, WHOLE_MODEL, Address, LedgerId, ModelId, Root

HERE = Path(__file__).parent

TREE_LEAVES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
"""The leaves that the test suites of Certificate Transparency use, so the roots can be compared with theirs."""

KEY = PrivateKey(hashlib.sha256(b"derelayl test key, worth nothing").digest())
CHAIN_ID = 1337
LEDGER = Address("0x" + "1e" * 20)
MODEL = ModelId(hashlib.sha256(b"a model").digest())


def files() -> dict[str, str]:
    """Return the text of each vector file by its path in this folder."""
    contents = {
        "encoding/canonical.json": canonical_cases(),
        "encoding/refused.json": refused_texts(),
        "merkle/trees.json": trees(),
        "merkle/refused.json": refused_proofs(),
        "manifest/checkpoints.json": [checkpoint(name, manifest) for name, manifest in manifests().items()],
        "manifest/children.json": children(),
        "manifest/refused.json": refused_manifests(),
    }
    return {path: json.dumps(cases, indent=1, ensure_ascii=True) + "\n" for path, cases in contents.items()}


# --- encoding ---------------------------------------------------------------------------------------------------------


def canonical_cases() -> list[dict[str, Any]]:
    """Return values and the text that is their only form."""
    values: dict[str, Value] = {
        "null": None,
        "booleans": [True, False],
        "largest integers": [2**53 - 1, 1 - 2**53, 0],
        "empty": [{}, [], ""],
        "keys sorted by code point": {"b": 1, "B": 2, "a": 3, "10": 4, "9": 5, "": 6},
        "escapes that JSON requires": '"\\/\b\f\n\r\t\x00\x1f\x7f',
        "text beyond ASCII": "Grüße, 世界, 🏃",
        "nested eight deep": [[[[[[[[0]]]]]]]],
    }
    return [{"name": name, "value": value, "text": encode(value).decode()} for name, value in values.items()]


def refused_texts() -> list[dict[str, str]]:
    """Return byte strings that no canonical encoder writes."""
    texts = {
        "nothing": b"",
        "byte order mark": b"\xef\xbb\xbf1",
        "white space": b"[1, 2]",
        "line feed at the end": b"1\n",
        "two values": b"1 2",
        "float": b"1.0",
        "exponent": b"1e3",
        "minus zero": b"-0",
        "leading zero": b"01",
        "plus": b"+1",
        "not a number": b"NaN",
        "infinity": b"-Infinity",
        "integer too large": b"9007199254740992",
        "integer too small": b"-9007199254740992",
        "very many digits": b"9" * 4301,
        "duplicate key": b'{"a":1,"a":1}',
        "keys not sorted": b'{"b":1,"a":2}',
        "key not ASCII": '{"ü":1}'.encode(),
        "short escape": rb'"\n"',
        "upper-case escape": rb'"\u001F"',
        "escape without need": rb'"\u0041"',
        "escaped slash": rb'"\/"',
        "control character": b'"\n"',
        "lone surrogate": rb'"\ud800"',
        "not UTF-8": b'"\xff"',
        "UTF-16": "[1]".encode("utf-16"),
        "nine deep": b"[" * 9 + b"]" * 9,
        "very deep": b"[" * 1500 + b"]" * 1500,
        "never closed": b"[[",
    }
    return [{"name": name, "hex": text.hex()} for name, text in texts.items()]


# --- merkle -----------------------------------------------------------------------------------------------------------


def trees() -> list[dict[str, Any]]:
    """Return the trees over the first n leaves with every audit path."""
    hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in TREE_LEAVES]
    return [
        {
            "leaves": list(TREE_LEAVES[:count]),
            "root": root(hashes[:count]).hex(),
            "paths": [[node.hex() for node in audit_path(hashes[:count], index)] for index in range(count)],
        }
        for count in range(len(TREE_LEAVES) + 1)
    ]


def refused_proofs() -> list[dict[str, Any]]:
    """Return proofs that do not hold; the first is right but for its change."""
    hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in TREE_LEAVES[:7]]
    path = audit_path(hashes, 4)
    changes: dict[str, dict[str, Any]] = {
        "another leaf": {"leaf": hashes[3]},
        "another index": {"index": 5},
        "index beyond the leaves": {"index": 7},
        "another count": {"count": 5},
        "no leaves": {"index": 0, "count": 0},
        "path too short": {"path": path[:-1]},
        "path too long": {"path": (*path, path[0])},
        "path in another order": {"path": path[::-1]},
        "another root": {"root": root(hashes[:6])},
        "sibling too short": {"path": (path[0][:31], *path[1:])},
    }
    right = {"root": root(hashes), "leaf": hashes[4], "index": 4, "count": 7, "path": path}
    return [{"name": name, **as_json(right | change)} for name, change in changes.items()]


def as_json(proof: dict[str, Any]) -> dict[str, Any]:
    """Write bytes as hex."""
    return proof | {
        "root": proof["root"].hex(),
        "leaf": proof["leaf"].hex(),
        "path": [node.hex() for node in proof["path"]],
    }


# --- manifest ---------------------------------------------------------------------------------------------------------


def manifests() -> dict[str, Manifest]:
    """Return a genesis and its child, which trained segment 1."""
    tensors = (
        TensorSpec("body.bias", "F32", (3,), 0),
        TensorSpec("body.empty", "I64", (0, 4), 0),
        TensorSpec("head.scale", "BF16", (), 1),
        TensorSpec("head.weight", "U8", (2**20 + 1,), 1),
    )
    genesis = signed(
        Header(
            model=ModelId(bytes(32)),
            parents=(),
            round=0,
            segment=WHOLE_MODEL,
            trainer=address_of(KEY),
            architecture="mlp",
            parameters={"bias": True, "width": 3},
            training={"seed": 7},
            tensors=tensors,
        ),
        (*chunk_digests(bytes(12)), *chunk_digests(b"\x80\x3f"), *chunk_digests(bytes(2**20 + 1))),
    )
    header = replace(
        genesis.header,
        model=MODEL,
        parents=(root_of(genesis),),
        round=3,
        segment=1,
        training={"method": "end-to-end", "steps": 100},
    )
    child = signed(header, (genesis.chunks[0], *chunk_digests(b"\x00\x40"), *chunk_digests(b"\x01" * (2**20 + 1))))
    return {"genesis": genesis, "child": child}


def signed(header: Header, chunks: tuple[Chunk, ...]) -> Manifest:
    """Put the test key's signature on a manifest."""
    manifest = Manifest(header, chunks)
    return replace(manifest, signature=KEY.sign_recoverable(digest_of(manifest), hasher=None))


def digest_of(manifest: Manifest) -> bytes:
    """Return the leg digest for the test ledger."""
    header = manifest.header
    return leg_digest(LedgerId(CHAIN_ID, LEDGER), header.model, header.round, parent_of(manifest), root_of(manifest))


def parent_of(manifest: Manifest) -> Root:
    """Return the first parent, zero for a genesis."""
    return (*manifest.header.parents, NO_ROOT)[0]


def address_of(key: PrivateKey) -> Address:
    """Return the ledger account of a key."""
    return Address("0x" + keccak(key.public_key.format(compressed=False)[1:])[-20:].hex())


def checkpoint(name: str, manifest: Manifest) -> dict[str, Any]:
    """Return a manifest with everything that is computed from it."""
    return {
        "name": name,
        "wire": encode_manifest(manifest).decode(),
        "root": root_of(manifest).hex(),
        "chain_id": CHAIN_ID,
        "ledger": LEDGER,
        "parent": parent_of(manifest).hex(),
        "leg_digest": digest_of(manifest).hex(),
        "signer": address_of(KEY),
        "header_proof": proof_json(header_proof(manifest)),
        "chunk_proofs": [proof_json(chunk_proof(manifest, index)) for index in range(len(manifest.chunks))],
    }


def proof_json(proof: MembershipProof) -> dict[str, Any]:
    """Write a proof with its bytes as hex."""
    return {
        "leaf": proof.leaf.hex(),
        "index": proof.index,
        "count": proof.count,
        "path": [node.hex() for node in proof.path],
    }


def children() -> list[dict[str, Any]]:
    """Return the child under leases, only the first of which allows it, and children that break the first lease."""
    genesis, child = manifests().values()
    trainer = address_of(KEY)
    lease = {"model": MODEL.hex(), "round": 3, "segment": 1, "trainer": trainer, "parent": root_of(genesis).hex()}
    leases: dict[str, dict[str, Any]] = {
        "as leased": {},
        "another model": {"model": "11" * 32},
        "another round": {"round": 4},
        "another segment": {"segment": 0},
        "another trainer": {"trainer": LEDGER},
        "another parent": {"parent": "22" * 32},
    }
    header, tensors = child.header, child.header.tensors
    changed = {
        "chunk outside the segment": replace(child, chunks=(*chunk_digests(b"\x01" * 12), *child.chunks[1:])),
        "another architecture": replace(child, header=replace(header, architecture="cnn")),
        "true becomes 1": replace(child, header=replace(header, parameters={"bias": 1, "width": 3})),
        "tensor renamed": replace(child, header=replace(header, tensors=(*tensors[:3], replace(tensors[3], name="x")))),
        "tensor moved to another segment": replace(
            child, header=replace(header, tensors=(replace(tensors[0], segment=1), *tensors[1:]))
        ),
        "tensor left out": replace(child, header=replace(header, tensors=(tensors[0], *tensors[2:]))),
        "composed of two parents": replace(
            child, header=replace(header, parents=(*header.parents, Root(b"\x03" * 32)))
        ),
        "composed of two parents, the leased one second": replace(
            child, header=replace(header, parents=(Root(b"\x03" * 32), *header.parents))
        ),
    }
    cases = [(name, child, lease | change) for name, change in leases.items()]
    cases += [(name, signed(manifest.header, manifest.chunks), lease) for name, manifest in changed.items()]
    return [
        {
            "name": name,
            "accepted": name in ("as leased", "composed of two parents"),
            "lease": terms,
            "parent": encode_manifest(genesis).decode(),
            "child": encode_manifest(manifest).decode(),
        }
        for name, manifest, terms in cases
    ]


def refused_manifests() -> list[dict[str, str]]:
    """Return the child's manifest with one thing wrong each."""
    wire = encode_manifest(manifests()["child"]).decode()
    value = json.loads(wire)
    header, chunks, tensors = value["header"], value["chunks"], value["header"]["tensors"]
    half_order = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
    high_s = value["signature"][:64] + f"{half_order + 1:064x}" + value["signature"][128:]
    headers: dict[str, dict[str, Any]] = {
        "unknown key": {"note": ""},
        "another format": {"format": "derelayl/2"},
        "model not hex": {"model": "zz" * 32},
        "model zero": {"model": "00" * 32},
        "no parents": {"parents": []},
        "three parents": {"parents": ["01" * 32, "02" * 32, "03" * 32]},
        "the same parent twice": {"parents": ["01" * 32, "01" * 32]},
        "parent zero": {"parents": ["00" * 32]},
        "round zero": {"round": 0},
        "round negative": {"round": -1},
        "segment beyond the limit": {"segment": 64},
        "segment is true": {"segment": True},
        "trainer in upper case": {"trainer": header["trainer"].upper().replace("X", "x")},
        "architecture without a name": {"architecture": {"name": "", "parameters": {}}},
        "parameter is a list": {"architecture": {"name": "mlp", "parameters": {"widths": [1]}}},
        "training entry is null": {"training": {"steps": None}},
        "training text with a control character": {"training": {"note": "\u001b[2J"}},
        "training text too long": {"training": {"note": "x" * 257}},
        "tensors not sorted": {"tensors": tensors[::-1]},
        "tensor twice": {"tensors": [*tensors, tensors[-1]]},
        "tensor with an unknown type": {"tensors": [tensors[0] | {"dtype": "F4"}, *tensors[1:]]},
        "tensor with a reserved name": {"tensors": [tensors[0] | {"name": "__metadata__"}, *tensors[1:]]},
        "tensor with nine dimensions": {"tensors": [tensors[0] | {"shape": [1] * 9}, *tensors[1:]]},
        "tensor with a negative dimension": {"tensors": [tensors[0] | {"shape": [-3]}, *tensors[1:]]},
        "tensor of every segment": {"tensors": [tensors[0] | {"segment": 255}, *tensors[1:]]},
        "tensor larger than its chunk": {"tensors": [tensors[0] | {"shape": [4]}, *tensors[1:]]},
        "tensor larger than the universe": {"tensors": [tensors[0] | {"shape": [2**53 - 1] * 8}, *tensors[1:]]},
    }
    changes: dict[str, dict[str, Any]] = {name: {"header": header | change} for name, change in headers.items()}
    changes |= {
        "unknown part": {"note": ""},
        "chunk too many": {"chunks": [*chunks, chunks[0]]},
        "chunk too few": {"chunks": chunks[:-1]},
        "chunk not full": {"chunks": [*chunks[:2], [2**20 - 1, chunks[2][1]], [2, chunks[3][1]]]},
        "chunk without bytes": {"chunks": [[0, chunks[0][1]], *chunks[1:]]},
        "chunk without a digest": {"chunks": [[12], *chunks[1:]]},
        "one digest with two lengths": {"chunks": [chunks[0], [2, chunks[0][1]], *chunks[2:]]},
        "signature too short": {"signature": value["signature"][2:]},
        "signature with r zero": {"signature": "00" * 32 + value["signature"][64:]},
        "signature with a high s": {"signature": high_s},
        "signature with v 27": {"signature": value["signature"][:128] + "1b"},
    }
    return [{"name": name, "wire": encode(value | change).decode()} for name, change in changes.items()]


def main() -> None:
    """Write all files."""
    for path, text in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
