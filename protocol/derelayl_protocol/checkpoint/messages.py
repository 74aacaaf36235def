"""What peers say to each other: the announcement on gossip and the frames of the two request protocols, without I/O.

Frames (integers big-endian):

* `MANIFEST_PROTOCOL`: the client sends a root [32]; the server answers ``length u32 ‖ bytes``.
* `CHUNKS_PROTOCOL`: the client sends ``count u16 ‖ count × digest [32]``; the server answers ``length u32 ‖ bytes`` for
  each digest in order; then the client may send the next request or close.

A length of `NOT_HERE` has no bytes after it: the server lacks what was asked for. Nor has `NOT_FOR_YOU`, which answers
for a chunk that the server gives only to accounts that have paid for a checkpoint with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import limits
from ..encoding import MAX_INTEGER, decode, encode, read_address, read_hex, read_integer, read_object
from ..errors import LocalFault, PeerFault
from ..types import HASH_BYTES, Address, Digest, ModelId, Root

MANIFEST_PROTOCOL = "/derelayl/manifest/1"
CHUNKS_PROTOCOL = "/derelayl/chunks/1"

COUNT_BYTES = 2
"""The number of digests in front of a chunk request."""

LENGTH_BYTES = 4
"""The length in front of an answer."""

NOT_HERE = 0xFFFFFFFF
"""The length that says: I lack it."""

NOT_FOR_YOU = 0xFFFFFFFE
"""The length that says: I have the chunk, but your account has no access to it. No answer to a manifest's request."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A peer's word that it has this checkpoint; which peer it is, the network adds."""

    model: ModelId
    round: int
    root: Root
    trainer: Address


def encode_announcement(announcement: Announcement) -> bytes:
    """Write the announcement as canonical JSON."""
    return encode(
        {
            "model": announcement.model.hex(),
            "root": announcement.root.hex(),
            "round": announcement.round,
            "trainer": announcement.trainer,
        }
    )


def parse_announcement(data: bytes) -> Announcement:
    """Read an announcement. Raises PeerFault (EncodingError) naming what is wrong with it."""
    value = decode(data, limits.MAX_ANNOUNCEMENT_BYTES)
    found = read_object(value, ("model", "root", "round", "trainer"), "announcement")
    return Announcement(
        model=ModelId(read_hex(found["model"], HASH_BYTES, "model")),
        round=read_integer(found["round"], 0, MAX_INTEGER, "round"),
        root=Root(read_hex(found["root"], HASH_BYTES, "root")),
        trainer=read_address(found["trainer"], "trainer"),
    )


def encode_manifest_request(root: Root) -> bytes:
    """Write a request for one manifest. Raises LocalFault."""
    if len(root) != HASH_BYTES:
        raise LocalFault(f"root of {len(root)} bytes, expected are {HASH_BYTES}")
    return root


def parse_manifest_request(data: bytes) -> Root:
    """Read a request for one manifest from its HASH_BYTES. Raises PeerFault."""
    if len(data) != HASH_BYTES:
        raise PeerFault(f"manifest request of {len(data)} bytes, expected are {HASH_BYTES}")
    return Root(data)


def encode_chunks_request(digests: Sequence[Digest]) -> bytes:
    """Write a request for 1 … MAX_DIGESTS_PER_REQUEST chunks. Raises LocalFault."""
    if not 1 <= len(digests) <= limits.MAX_DIGESTS_PER_REQUEST:
        raise LocalFault(f"{len(digests)} digests in one request, allowed is 1 … {limits.MAX_DIGESTS_PER_REQUEST}")
    if wrong := [len(digest) for digest in digests if len(digest) != HASH_BYTES]:
        raise LocalFault(f"digest of {wrong[0]} bytes, expected are {HASH_BYTES}")
    return len(digests).to_bytes(COUNT_BYTES, "big") + b"".join(digests)


def parse_chunks_count(prefix: bytes) -> int:
    """Read the COUNT_BYTES in front of a chunk request; count × HASH_BYTES follow. Raises PeerFault."""
    if len(prefix) != COUNT_BYTES:
        raise PeerFault(f"count of {len(prefix)} bytes, expected are {COUNT_BYTES}")
    count = int.from_bytes(prefix, "big")
    if not 1 <= count <= limits.MAX_DIGESTS_PER_REQUEST:
        raise PeerFault(f"request for {count} chunks, allowed is 1 … {limits.MAX_DIGESTS_PER_REQUEST}")
    return count


def parse_digests(data: bytes, count: int) -> tuple[Digest, ...]:
    """Read the digests of a chunk request, in order. Raises PeerFault."""
    if len(data) != count * HASH_BYTES:
        raise PeerFault(f"{len(data)} bytes for {count} digests, expected are {count * HASH_BYTES}")
    return tuple(Digest(data[start : start + HASH_BYTES]) for start in range(0, len(data), HASH_BYTES))


def encode_answer_length(length: int | None, most: int) -> bytes:
    """Write the length in front of an answer, NOT_HERE for None. Raises LocalFault unless it is 1 … `most` bytes."""
    if length is None:
        return NOT_HERE.to_bytes(LENGTH_BYTES, "big")
    if not 1 <= length <= most:
        raise LocalFault(f"answer of {length} bytes, allowed is 1 … {most}")
    return length.to_bytes(LENGTH_BYTES, "big")


def encode_refusal() -> bytes:
    """Write the answer for a chunk that the asker may not have."""
    return NOT_FOR_YOU.to_bytes(LENGTH_BYTES, "big")


def is_refusal(prefix: bytes) -> bool:
    """Tell whether the bytes in front of a chunk's answer refuse it."""
    return prefix == encode_refusal()


def parse_answer_length(prefix: bytes, most: int) -> int | None:
    """Read the LENGTH_BYTES in front of an answer; None means that the peer lacks it.

    `most` is MAX_MANIFEST_BYTES or MAX_CHUNK_BYTES. Raises PeerFault unless the length is 1 … `most` bytes: neither a
    manifest nor a chunk is ever empty.
    """
    if len(prefix) != LENGTH_BYTES:
        raise PeerFault(f"length of {len(prefix)} bytes, expected are {LENGTH_BYTES}")
    length = int.from_bytes(prefix, "big")
    if length == NOT_HERE:
        return None
    if not 1 <= length <= most:
        raise PeerFault(f"answer of {length} bytes, allowed is 1 … {most}")
    return length
