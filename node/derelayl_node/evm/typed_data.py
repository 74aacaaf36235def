"""Signatures over what others may send: EIP-712 digests, signing, recovery. Source: docs/PROTOCOL.md section 3.

Written out by hand rather than through a JSON schema, because a digest is needed for each message that a peer gossips
and each of a random history; the tests compare with eth_account's general encoder.
"""

from __future__ import annotations

from collections.abc import Callable

from eth_utils.crypto import keccak

from derelayl_protocol.checkpoint.manifest import SIGNATURE_BYTES, leg_digest
from derelayl_protocol.encoding import word
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.ledger.duplicates import encode_originals
from derelayl_protocol.ledger.signed import (
    COMPACT_SIGNATURE_BYTES,
    BidMessage,
    CommitMessage,
    HandOverMessage,
    Recover,
    RevealMessage,
    SignedMessage,
)
from derelayl_protocol.types import Address, LedgerId

from ..keys import NodeKey, recover_address, sign_digest

DOMAIN_NAME = "derelayl"
DOMAIN_VERSION = "2"

DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
BID_TYPE = "Bid(bytes32 model,uint64 round,uint8 segment,uint256 amount,uint64 expiry)"
COMMIT_TYPE = "Commit(bytes32 model,uint64 round,bytes32 commitment)"
REVEAL_TYPE = "Reveal(bytes32 model,uint64 round,int64[] scores,bytes32 originals,bytes32 salt)"

_BID, _COMMIT, _REVEAL = (keccak(text=text) for text in (BID_TYPE, COMMIT_TYPE, REVEAL_TYPE))

_PARITY = 1 << 255
"""The bit of `yParityAndS` that EIP-2098 takes for the parity: a low s never needs it."""


def digest_of(message: SignedMessage, ledger: LedgerId) -> bytes:
    """The 32 bytes that are signed: EIP-712's, or the leg digest of a manifest."""
    return _digest(message, ledger, domain_separator(ledger))


def domain_separator(ledger: LedgerId) -> bytes:
    """The hash that ties a message to one ledger on one chain."""
    name, version = keccak(text=DOMAIN_NAME), keccak(text=DOMAIN_VERSION)
    return keccak(keccak(text=DOMAIN_TYPE) + name + version + word(ledger.chain_id) + word(int(ledger.address, 16)))


def sign_message(key: NodeKey, message: SignedMessage, ledger: LedgerId) -> bytes:
    """Sign for this ledger: COMPACT_SIGNATURE_BYTES, deterministic."""
    return compact_signature(sign_digest(key, digest_of(message, ledger)))


def recoverer(ledger: LedgerId) -> Recover:
    """What names the signers of messages for this ledger; it takes any bytes."""
    separator = domain_separator(ledger)

    def recover(message: SignedMessage, signature: bytes) -> Address | None:
        try:
            return recover_address(_digest(message, ledger, separator), full_signature(signature))
        except PeerFault:
            return None

    return recover


def signer(key: NodeKey, ledger: LedgerId) -> Callable[[SignedMessage], bytes]:
    """What signs messages for this ledger with the key."""
    return lambda message: sign_message(key, message, ledger)


def compact_signature(signature: bytes) -> bytes:
    """The 64 bytes `r ‖ yParityAndS` (EIP-2098) of a signature of 65 bytes `r ‖ s ‖ v`, as manifests have them.

    Raises LocalFault for another length, a high s or a v that is neither 0 nor 1: such a one has no compact form.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise LocalFault(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    s, parity = int.from_bytes(signature[32:64], "big"), signature[64]
    if parity > 1 or s >= _PARITY:
        raise LocalFault("a signature with a high s, or a v that is neither 0 nor 1, has no compact form")
    return signature[:32] + word(s | parity * _PARITY)


def full_signature(signature: bytes) -> bytes:
    """The 65 bytes `r ‖ s ‖ v` of a compact signature. Raises PeerFault for another length."""
    if len(signature) != COMPACT_SIGNATURE_BYTES:
        raise PeerFault(f"a compact signature has {COMPACT_SIGNATURE_BYTES} bytes, not {len(signature)}")
    parity_and_s = int.from_bytes(signature[32:], "big")
    return signature[:32] + word(parity_and_s % _PARITY) + bytes([parity_and_s // _PARITY])


def _digest(message: SignedMessage, ledger: LedgerId, separator: bytes) -> bytes:
    if isinstance(message, HandOverMessage):
        return leg_digest(ledger, message.model, message.round, message.parent, message.child)
    return keccak(b"\x19\x01" + separator + keccak(_encoded(message)))


def _encoded(message: BidMessage | CommitMessage | RevealMessage) -> bytes:
    place = message.model + word(message.round)
    match message:
        case BidMessage():
            return _BID + place + word(message.segment) + word(message.amount) + word(message.expiry)
        case CommitMessage():
            return _COMMIT + place + message.commitment
        case RevealMessage():
            scores = keccak(b"".join(map(word, message.scores)))
            return _REVEAL + place + scores + encode_originals(message.originals) + message.salt
