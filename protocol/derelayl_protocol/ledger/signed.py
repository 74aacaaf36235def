"""What participants sign so that somebody else may send it, or prove it against them: docs/PROTOCOL.md section 3.

Digests need Keccak-256 and recovery needs secp256k1; both are arguments here (`Recover`), the adapters have them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..types import Address, ModelId, Ppm, Root, Timestamp, Wei

COMPACT_SIGNATURE_BYTES = 64
"""r ‖ yParityAndS, the compact form of EIP-2098."""


@dataclass(frozen=True, slots=True)
class BidMessage:
    """A bid in the round, void from `expiry` on (Unix seconds)."""

    model: ModelId
    round: int
    segment: int
    amount: Wei
    expiry: Timestamp


@dataclass(frozen=True, slots=True)
class CommitMessage:
    """Sealed scores; the commitment is bound to its validator by `scoring.commitment`."""

    model: ModelId
    round: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class RevealMessage:
    """An opened seal. Two different ones of a round cost the whole stake."""

    model: ModelId
    round: int
    scores: tuple[Ppm, ...]
    originals: tuple[int, ...]
    salt: bytes


@dataclass(frozen=True, slots=True)
class HandOverMessage:
    """A child under a lease: what the signature of a manifest says. Two children under one lease cost the bid."""

    model: ModelId
    round: int
    parent: Root
    child: Root


SignedMessage = BidMessage | CommitMessage | RevealMessage | HandOverMessage

Recover = Callable[[SignedMessage, bytes], Address | None]
"""Name the account that made a 64-byte signature over a message for this ledger, None if nobody did."""


def no_signatures(message: SignedMessage, signature: bytes) -> Address | None:
    """A `Recover` for ledgers that nobody signs for."""
    return None
