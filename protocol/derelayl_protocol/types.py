"""Quantities of the protocol, each with its own type, so that a unit mistake reads as a type mistake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

HASH_BYTES = 32
"""SHA-256, BLAKE3-256, Keccak-256 and a word of the contract all have as many."""

ADDRESS_BYTES = 20
"""The end of the Keccak-256 of a public key."""

Address = NewType("Address", str)
"""A ledger account: ``0x`` and 40 lower-case hex digits (no checksum case inside the protocol)."""


@dataclass(frozen=True, slots=True)
class LedgerId:
    """Which ledger: its contract on a chain with this EIP-155 id. Every signature is for one ledger."""

    chain_id: int
    address: Address


Digest = NewType("Digest", bytes)
"""BLAKE3-256 of one chunk, 32 bytes."""

Root = NewType("Root", bytes)
"""SHA-256 Merkle root of a manifest, 32 bytes: the name of a checkpoint."""

ModelId = NewType("ModelId", bytes)
"""SHA-256 of creator, genesis root and rules, 32 bytes."""

Wei = NewType("Wei", int)
"""The smallest unit of the ledger's token; 10**18 wei are one token."""

TOKEN = Wei(10**18)
"""One token."""

Ppm = NewType("Ppm", int)
"""Millionths of ln(parent's loss / child's loss): a score or a gain; gains add up along a lineage."""

Timestamp = NewType("Timestamp", int)
"""Unix seconds of a block."""

NO_ROOT = Root(bytes(HASH_BYTES))
"""The parent of a genesis checkpoint."""

WHOLE_MODEL = 255
"""The segment number that stands for every segment at once."""

UNAVAILABLE = Ppm(-(2**63))
"""The score of a child that a validator could not fetch, verify or decode; it ranks below every number."""
