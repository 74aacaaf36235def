"""Accounts with keys, and their signatures for the one ledger that the histories are about.

Digests are eth_account's and curve arithmetic is coincurve's: nothing here shares code with what the node signs with.
"""

from __future__ import annotations

import hashlib
from typing import Any

from coincurve import PrivateKey, PublicKey
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from derelayl_protocol.checkpoint.manifest import leg_digest
from derelayl_protocol.ledger.signed import BidMessage, CommitMessage, HandOverMessage, RevealMessage, SignedMessage
from derelayl_protocol.types import Address, LedgerId

CHAIN_ID = 31337
LEDGER = Address("0x" + "1e" * 20)

DOMAIN = {"name": "derelayl", "version": "2", "chainId": CHAIN_ID, "verifyingContract": LEDGER}
TYPES: dict[type[SignedMessage], dict[str, list[dict[str, str]]]] = {
    kind: {name: [dict(zip(("type", "name"), field.split(), strict=True)) for field in listed.split(",")]}
    for kind, name, listed in (
        (BidMessage, "Bid", "bytes32 model,uint64 round,uint8 segment,uint256 amount,uint64 expiry"),
        (CommitMessage, "Commit", "bytes32 model,uint64 round,bytes32 commitment"),
        (RevealMessage, "Reveal", "bytes32 model,uint64 round,int64[] scores,bytes32 originals,bytes32 salt"),
    )
}
"""The EIP-712 types of PROTOCOL.md section 3."""

KEYS: dict[Address, PrivateKey] = {}
"""The key of each account that `address` has made."""


def address(name: str) -> Address:
    """Return the account whose secret key is SHA-256 of its name: known to everybody, worth nothing."""
    key = PrivateKey(hashlib.sha256(name.encode()).digest())
    account = _account(key.public_key)
    KEYS[account] = key
    return account


def digest(message: SignedMessage) -> bytes:
    """Return the 32 bytes that are signed."""
    if isinstance(message, HandOverMessage):
        return leg_digest(LedgerId(CHAIN_ID, LEDGER), message.model, message.round, message.parent, message.child)
    types = TYPES[type(message)]
    (fields,) = types.values()
    values: dict[str, Any] = {field["name"]: getattr(message, field["name"]) for field in fields}
    if isinstance(message, RevealMessage):
        values["scores"] = list(message.scores)
        values["originals"] = bytes(message.originals).ljust(32, b"\0")
    signable = encode_typed_data(DOMAIN, types, values)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def sign(account: Address, message: SignedMessage) -> bytes:
    """Sign as `r ‖ yParityAndS` (EIP-2098); coincurve's s is always low."""
    signature = KEYS[account].sign_recoverable(digest(message), hasher=None)
    return signature[:32] + bytes([signature[32] | signature[64] << 7]) + signature[33:64]


def recover(message: SignedMessage, signature: bytes) -> Address | None:
    """Name the account whose signature it is."""
    full = signature[:32] + bytes([signature[32] & 0x7F]) + signature[33:] + bytes([signature[32] >> 7])
    try:
        return _account(PublicKey.from_signature_and_message(full, digest(message), hasher=None))
    except Exception as fault:  # coincurve raises a bare Exception for a signature of no key
        if type(fault) is Exception or isinstance(fault, ValueError):
            return None
        raise


def _account(key: PublicKey) -> Address:
    return Address("0x" + keccak(key.format(compressed=False)[1:])[-20:].hex())
