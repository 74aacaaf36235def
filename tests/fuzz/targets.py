"""Each decoder of strangers' bytes with good inputs to start from and the errors that it declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

from eth_account import Account
from pydantic import ValidationError

from derelayl_node.evm.typed_data import full_signature, sign_message
from derelayl_node.keys import NodeKey, recover_address
from derelayl_node.lineage.proof_format import Proof
from derelayl_node.network.addresses import parse_address
from derelayl_node.network.identity import address_of, peer_id_of
from derelayl_protocol import limits, spelling
from derelayl_protocol.checkpoint.manifest import (
    Chunk,
    Header,
    Manifest,
    ManifestRejected,
    TensorSpec,
    encode_manifest,
    parse_manifest,
)
from derelayl_protocol.checkpoint.messages import (
    Announcement,
    encode_announcement,
    encode_chunks_request,
    parse_announcement,
    parse_answer_length,
    parse_chunks_count,
    parse_digests,
    parse_manifest_request,
)
from derelayl_protocol.encoding import EncodingError, decode, encode
from derelayl_protocol.errors import PeerFault
from derelayl_protocol.ledger.commands import SignedBid, SignedCommit, SignedReveal
from derelayl_protocol.ledger.entries import LeasedChild, SignedEntry, encode_entry, parse_entry
from derelayl_protocol.ledger.signed import CommitMessage
from derelayl_protocol.types import WHOLE_MODEL, Address, Digest, LedgerId, ModelId, Ppm, Root, Timestamp, Wei
from derelayl_training.job_lines import JOB, Reply

KEY = NodeKey(b"\x07" * 32)
MODEL, ROOT = ModelId(b"\x11" * 32), Root(b"\x22" * 32)
LEDGER = LedgerId(31_337, Address("0x" + "1e" * 20))

Run = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Target:
    """`run` decodes one input and may raise `expected` alone; `share` is its part of all inputs of a long run.

    `max_bytes` is what the place in front of the decoder lets through.
    """

    name: str
    run: Run
    corpus: tuple[bytes, ...]
    expected: tuple[type[Exception], ...]
    max_bytes: int = 4_096
    share: float = 1.0
    guided: bool = True


def manifest() -> Manifest:
    """A small manifest with a signature of the right form."""
    tensors = (TensorSpec("a.weight", "F32", (4, 2), 0), TensorSpec("b.weight", "F32", (3,), 1))
    header = Header(
        model=MODEL,
        parents=(ROOT,),
        round=3,
        segment=WHOLE_MODEL,
        trainer=KEY.address,
        architecture="mlp",
        parameters={"width": 4, "deep": True},
        training={"method": "plain", "steps": 7},
        tensors=tensors,
    )
    chunks = (Chunk(32, Digest(b"\x01" * 32)), Chunk(12, Digest(b"\x02" * 32)))
    return Manifest(header, chunks, b"\x01" * 32 + b"\x02" * 32 + b"\x01")


def entries() -> tuple[bytes, ...]:
    """One signed entry of each kind."""
    signature = sign_message(KEY, CommitMessage(MODEL, 3, b"\x0c" * 32), LEDGER)
    contents = (
        SignedBid(KEY.address, WHOLE_MODEL, Wei(10**18), Timestamp(2_000_000_000), signature),
        SignedCommit(KEY.address, b"\x0c" * 32, signature),
        LeasedChild(KEY.address, Root(b"\x0a" * 32), Root(b"\x0b" * 32), signature),
        SignedReveal(KEY.address, (Ppm(5), Ppm(-7)), (0, 0), b"\x0d" * 32, signature),
    )
    return tuple(encode_entry(SignedEntry(MODEL, 3, content)) for content in contents)


def _canonical_json(data: bytes) -> None:
    assert encode(decode(data, limits.MAX_MANIFEST_BYTES)) == data, "what was read writes the same bytes"


def _manifest(data: bytes) -> None:
    found = parse_manifest(data)
    assert encode_manifest(found) == data, "what was read writes the same bytes"


def _announcement(data: bytes) -> None:
    assert encode_announcement(parse_announcement(data)) == data, "what was read writes the same bytes"


def _entry(data: bytes) -> None:
    assert encode_entry(parse_entry(data)) == data, "what was read writes the same bytes"


def _frames(data: bytes) -> None:
    """A request for chunks and the length of an answer, as the serving and the asking side read them."""
    match data[:1]:
        case b"\x00":
            parse_manifest_request(data[1:])
        case b"\x01":
            count = parse_chunks_count(data[1:3])
            assert len(parse_digests(data[3:], count)) == count <= limits.MAX_DIGESTS_PER_REQUEST
        case _:
            length = parse_answer_length(data[1:5], limits.MAX_CHUNK_BYTES)
            assert length is None or 1 <= length <= limits.MAX_CHUNK_BYTES


def _addresses(data: bytes) -> None:
    for line in data.decode("utf-8", errors="replace").splitlines()[:64]:
        peer, address = parse_address(line)
        assert len(str(address)) <= len(line) + 64
        address_of(peer)


def _signature(data: bytes) -> None:
    if len(data) % 2:
        recover_address(b"\x05" * 32, data)
    else:
        recover_address(b"\x05" * 32, full_signature(data))


def _spelled(read: Callable[[str], object], data: bytes) -> None:
    read(data.decode("utf-8", errors="replace"))


def _spelling(data: bytes) -> None:
    readers: tuple[Callable[[str], object], ...] = (
        spelling.from_hex,
        spelling.parse_address,
        partial(spelling.parse_hash, what="root"),
        spelling.parse_tokens,
    )
    _spelled(readers[data[0] % len(readers)] if data else spelling.from_hex, data[1:])


def _job(data: bytes) -> None:
    (JOB.validate_json if data[:1] == b"{" else Reply.model_validate_json)(data)


def _proof(data: bytes) -> None:
    Proof.model_validate_json(data)


def _transaction(data: bytes) -> object:
    return Account.recover_transaction(data)


def _proof_corpus() -> tuple[bytes, ...]:
    place = {
        "chain_id": 1,
        "ledger": "0x" + "1e" * 20,
        "block_number": 5,
        "block_hash": "0x" + "01" * 32,
        "transaction_hash": "0x" + "02" * 32,
        "log_index": 0,
        "event": "LegSubmitted",
    }
    step = {
        "root": "0x" + "22" * 32,
        "parent": "0x" + "00" * 32,
        "owner": "0x" + "aa" * 20,
        "round": 3,
        "leg": 0,
        "status": "selected",
        "gain_ppm": 12,
        "recorded": place,
        "settled": place,
        "manifest": {"header": "{}", "leaf_count": 3, "path": ["0x" + "03" * 32]},
    }
    import json

    proof = {"format": "derelayl-proof/1", "network": "n", "model": "0x" + "11" * 32, "steps": [step], "next": None}
    return (json.dumps(proof).encode(),)


def pure_targets() -> tuple[Target, ...]:
    """Targets that need nothing around them."""
    announcement = encode_announcement(Announcement(MODEL, 3, ROOT, KEY.address))
    wire = encode_manifest(manifest())
    other = encode_manifest(replace(manifest(), header=replace(manifest().header, segment=0)))
    chunks = encode_chunks_request([Digest(b"\x01" * 32), Digest(b"\x02" * 32)])
    peer = peer_id_of(KEY.secret)
    lines = "\n".join(f"{at}/tcp/4001/p2p/{peer}" for at in ("/ip4/127.0.0.1", "/ip6/::1", "/dns4/example.org"))
    jobs = (
        b'{"kind":"samples"}',
        b'{"kind":"losses","architecture":{"name":"mlp","parameters":{"width":4}},"weights":["/a"]}',
        b'{"kind":"genesis","architecture":{"name":"mlp","parameters":{}},"seed":1,"out":"/a"}',
        b' {"progress":0.5}',
        b' {"done":{"kind":"samples","train":1,"held":2}}',
        b' {"failed":"why"}',
    )
    return (
        Target("canonical-json", _canonical_json, (wire, announcement, *entries()), (EncodingError,), share=3),
        Target("manifest", _manifest, (wire, other), (ManifestRejected,), share=2),
        Target("announcement", _announcement, (announcement,), (EncodingError,), share=2),
        Target("entry", _entry, entries(), (PeerFault,), share=2),
        Target(
            "frames",
            _frames,
            (b"\x00" + ROOT, b"\x01" + chunks, b"\x02\x00\x00\x10\x00", b"\x02" + b"\xff" * 4),
            (PeerFault,),
            share=4,
        ),
        Target("addresses", _addresses, (lines.encode(), lines.splitlines()[0].encode()), (PeerFault,), share=0.5),
        Target("signature", _signature, (b"\x01" * 64, b"\x01" * 65, entries()[1][-66:-2]), (PeerFault,)),
        Target(
            "spelling",
            _spelling,
            (b"\x00" + b"0x" + b"ab" * 20, b"\x01" + KEY.address.encode(), b"\x02" + b"0x" + b"ab" * 32, b"\x031.5"),
            (spelling.Misspelled,),
            share=4,
        ),
        Target("job-lines", _job, jobs, (ValidationError,)),
        Target("proof", _proof, _proof_corpus(), (ValidationError,), share=0.5),
    )


@cache
def all_targets() -> Mapping[str, Target]:
    """Every target by its name."""
    from .adapters import adapter_targets

    return {target.name: target for target in (*pure_targets(), *adapter_targets())}
