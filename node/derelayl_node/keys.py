"""A participant's one key: it signs for the ledger account, manifests, and is the peer's identity on the network."""

from __future__ import annotations

import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any, NoReturn

from coincurve import PrivateKey, PublicKey
from eth_utils.crypto import keccak

from derelayl_protocol.checkpoint.manifest import CURVE_ORDER, SIGNATURE_BYTES
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import ADDRESS_BYTES, HASH_BYTES, Address
from derelayl_training.files import flush, write_private

from .keyfiles import create_keyfile_json, decode_keyfile_json
from .recursion import restrain_recursion

restrain_recursion()

SCRYPT_ITERATIONS = 2**18
"""scrypt's cost, as in Ethereum wallets: each guess of the password takes a second and 256 MiB. Tests pass less."""

FILE_MODE = 0o600
"""Nobody but the owner reads or writes the key file."""

MAX_KEYFILE_BYTES = 16 * 1024
"""A key file has about 500 bytes; anything much larger is something else."""

SECRET_BYTES = 32

MAX_S = CURVE_ORDER // 2
"""A signature (r, s) is as valid as (r, n - s); only the lower one counts, so that a signature has one spelling."""


class KeyFault(LocalFault):
    """The key file or its password is of no use; the message is one sentence with the remedy."""


class NodeKey:
    """A secp256k1 key pair. Its text form shows the address, never the secret."""

    __slots__ = ("_private", "address")

    def __init__(self, secret: bytes) -> None:
        """Take 32 secret bytes, big-endian in [1, n-1]. Raises KeyFault."""
        if len(secret) != SECRET_BYTES or not 0 < int.from_bytes(secret, "big") < CURVE_ORDER:
            raise KeyFault("A key has 32 bytes and is neither zero nor beyond the curve's order: create a new one.")
        self._private = PrivateKey(secret)
        self.address = _address(self._private.public_key)

    @classmethod
    def generate(cls) -> NodeKey:
        """A fresh key from the system's randomness."""
        return cls((1 + secrets.randbelow(CURVE_ORDER - 1)).to_bytes(SECRET_BYTES, "big"))

    @property
    def secret(self) -> bytes:
        """The 32 secret bytes, for libp2p's identity and for signing transactions; never log them."""
        return self._private.secret

    def __repr__(self) -> str:
        return f"NodeKey({self.address})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeKey) and secrets.compare_digest(self.secret, other.secret)

    def __hash__(self) -> int:
        return hash(self.address)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: it would leave this process in the clear")


def sign_digest(key: NodeKey, digest: bytes) -> bytes:
    """Sign 32 bytes: `r ‖ s ‖ v`, 65 bytes, v 0 or 1, low s, deterministic (RFC 6979)."""
    if len(digest) != HASH_BYTES:
        raise ValueError(f"a digest has {HASH_BYTES} bytes, not {len(digest)}")
    return PrivateKey(key.secret).sign_recoverable(digest, hasher=None)


def recover_address(digest: bytes, signature: bytes) -> Address:
    """The account that signed the digest. Raises PeerFault for a signature that is malformed or has a high s."""
    if len(signature) != SIGNATURE_BYTES:
        raise PeerFault(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
    if signature[64] > 1:
        raise PeerFault(f"a signature ends in 0 or 1, not {signature[64]}")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if not 0 < r < CURVE_ORDER or not 0 < s <= MAX_S:
        raise PeerFault("a signature's r or s is out of range")
    try:
        return _address(PublicKey.from_signature_and_message(signature, digest, hasher=None))
    except Exception as error:  # coincurve raises bare Exception
        raise PeerFault("a signature belongs to no key") from error


def create_key_file(
    path: Path, password: str, *, key: NodeKey | None = None, iterations: int = SCRYPT_ITERATIONS
) -> NodeKey:
    """Encrypt a key (a fresh one by default) into a new file of mode 0600; an existing file is never overwritten.

    Written to a temporary name, synchronised, then linked to its place, so that no half-written key file can exist.
    """
    if not password:
        raise KeyFault("An empty password protects nothing: give a password for the key file.")
    key = key or NodeKey.generate()
    content = json.dumps(create_keyfile_json(key.secret, password.encode(), kdf="scrypt", iterations=iterations))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(temporary, content)
        try:
            os.link(temporary, path)
        finally:
            temporary.unlink()
        flush(path.parent)
    except FileExistsError as error:
        raise KeyFault(f"{path} exists already: use it, or choose another file for the new key.") from error
    except OSError as error:
        raise KeyFault(
            f"Cannot write the key file {path} ({error.strerror}): check the folder and the disk."
        ) from error
    return key


def load_key_file(path: Path, password: str) -> NodeKey:
    """Decrypt a key file; takes about a second, so call it once and in a thread. Raises KeyFault."""
    document = _read_document(path)
    try:
        secret = decode_keyfile_json(document, password.encode())
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise KeyFault(
                f"The password does not open the key file {path}: check DERELAYL_PASSWORD or --password-file."
            ) from error
        raise _unreadable(path) from error
    except (KeyError, TypeError, NotImplementedError, MemoryError) as error:
        raise _unreadable(path) from error
    return NodeKey(bytes(secret))


def _read_document(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            _check_mode(path, os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_KEYFILE_BYTES + 1)
    except FileNotFoundError as error:
        raise KeyFault(f"There is no key file {path}: create one first.") from error
    except OSError as error:
        raise KeyFault(f"Cannot read the key file {path} ({error.strerror}): check its permissions.") from error
    try:
        document = json.loads(content) if len(content) <= MAX_KEYFILE_BYTES else None
    except ValueError as error:
        raise _unreadable(path) from error
    if not isinstance(document, dict):
        raise _unreadable(path)
    return document


def _check_mode(path: Path, mode: int) -> None:
    if stat.S_IMODE(mode) & ~FILE_MODE:
        raise KeyFault(f"Others may read the key file {path} (mode {stat.S_IMODE(mode):04o}): run chmod 600 on it.")


def _unreadable(path: Path) -> KeyFault:
    return KeyFault(f"{path} is no encrypted key file: restore it from a copy or create a new one.")


def _address(public: PublicKey) -> Address:
    return Address(to_hex(keccak(public.format(compressed=False)[1:])[-ADDRESS_BYTES:]))
