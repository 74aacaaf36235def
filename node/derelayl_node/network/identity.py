"""One key pair per participant: the ledger key is the network identity too."""

from __future__ import annotations

from eth_utils.crypto import keccak
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.secp256k1 import Secp256k1PublicKey, create_new_key_pair
from libp2p.peer.id import ID

from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import ADDRESS_BYTES, Address

from ..keys import SECRET_BYTES
from ..ports import PeerId


def key_pair_of(secret: bytes) -> KeyPair:
    """Make the libp2p key pair of a ledger key. Raises LocalFault for what is not a secp256k1 secret."""
    if len(secret) != SECRET_BYTES:
        raise LocalFault(f"the node's key has {len(secret)} bytes, a secp256k1 secret has {SECRET_BYTES}")
    try:
        return create_new_key_pair(secret)
    except ValueError:
        raise LocalFault("the node's key is not a secp256k1 secret: it is zero or not below the group order") from None


def peer_id_of(secret: bytes) -> PeerId:
    """Return the peer id that a node with this ledger key has. Raises LocalFault."""
    return str(ID.from_pubkey(key_pair_of(secret).public_key))


def address_of(peer: PeerId) -> Address | None:
    """Return the ledger account of a peer: its id holds the public key, the account is its Keccak hash.

    None for an id that holds no secp256k1 key: such a peer is nobody on the ledger. Raises PeerFault for what is no id.
    """
    key = parse_peer_id(peer).extract_public_key()
    if not isinstance(key, Secp256k1PublicKey):
        return None
    return Address(to_hex(keccak(key.impl.format(compressed=False)[1:])[-ADDRESS_BYTES:]))


def parse_peer_id(peer: PeerId) -> ID:
    """Read a base58 peer id. Raises PeerFault."""
    try:
        parsed = ID.from_base58(peer)
    except ValueError:
        raise PeerFault(f"{peer[:64]!r} is not a peer id") from None
    if not parsed.to_bytes():
        raise PeerFault("a peer id is empty")
    return parsed
