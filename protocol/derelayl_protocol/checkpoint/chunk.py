"""Chunks with the digest that their bytes have: the one place where what comes from a peer is hashed."""

from __future__ import annotations

from dataclasses import dataclass, field

from blake3 import blake3

from ..errors import PeerFault
from ..types import Digest


@dataclass(frozen=True, slots=True)
class HashedChunk:
    """Bytes and their BLAKE3-256. Only making one computes the digest, so whoever has one need not hash again."""

    data: bytes
    digest: Digest = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", Digest(blake3(self.data).digest()))


def verified(digest: Digest, data: bytes) -> HashedChunk:
    """The chunk of this name out of what a peer sent for it. Raises PeerFault for other bytes."""
    chunk = HashedChunk(data)
    if chunk.digest != digest:
        raise PeerFault(f"chunk {digest.hex()} has other bytes than its name says")
    return chunk
