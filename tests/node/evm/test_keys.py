"""The key file and the signatures of a participant."""

import json
import pickle
from pathlib import Path

import pytest
from coincurve import PrivateKey
from eth_account import Account

from derelayl_node.keys import (
    KeyFault,
    NodeKey,
    create_key_file,
    load_key_file,
    recover_address,
    sign_digest,
)
from derelayl_protocol.checkpoint.manifest import CURVE_ORDER
from derelayl_protocol.errors import PeerFault

KEY = NodeKey(b"\x07" * 32)
DIGEST = b"\x55" * 32
FAST = 2**10


def _high_s(signature: bytes) -> bytes:
    s = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([1 - signature[64]])


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(64),
        bytes(65),
        sign_digest(KEY, DIGEST)[:64] + b"\x02",
        sign_digest(KEY, DIGEST)[:64] + b"\x1b",
        b"\xff" * 32 + sign_digest(KEY, DIGEST)[32:],
        _high_s(sign_digest(KEY, DIGEST)),
        sign_digest(KEY, DIGEST) + b"\x00",
        (5).to_bytes(32, "big") + (1).to_bytes(32, "big") + b"\x00",
    ],
    ids=["empty", "short", "zero", "v is 2", "v is 27", "r too large", "high s", "long", "r is on no point"],
)
def test_a_malformed_signature_is_the_peers_fault(signature: bytes) -> None:
    with pytest.raises(PeerFault):
        recover_address(DIGEST, signature)


def test_another_digest_recovers_another_address() -> None:
    assert recover_address(b"\x56" * 32, sign_digest(KEY, DIGEST)) != KEY.address


def test_a_signature_recovers_its_signer_and_has_one_spelling() -> None:
    signature = sign_digest(KEY, DIGEST)
    assert recover_address(DIGEST, signature) == KEY.address == Account.from_key(KEY.secret).address.lower()
    assert len(signature) == 65
    assert signature == sign_digest(KEY, DIGEST)
    assert int.from_bytes(signature[32:64], "big") <= CURVE_ORDER // 2


@pytest.mark.parametrize(
    "secret", [b"", bytes(32), b"\xff" * 32, b"\x01" * 31], ids=["empty", "zero", "large", "short"]
)
def test_a_secret_outside_the_curve_is_refused(secret: bytes) -> None:
    with pytest.raises(KeyFault):
        NodeKey(secret)


def test_a_key_shows_its_address_and_hides_its_secret() -> None:
    key = NodeKey.generate()
    shown = f"{key!r} {key} {[key]}"
    assert key.address in shown
    assert key.secret.hex() not in shown
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_key_file_opens_only_with_its_password(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "key.json"
    created = create_key_file(file, "right", iterations=FAST)
    with pytest.raises(KeyFault, match="password does not open"):
        load_key_file(file, "wrong")
    assert load_key_file(file, "right") == created
    assert load_key_file(file, "right").secret == PrivateKey(created.secret).secret
    assert file.stat().st_mode & 0o777 == 0o600
    assert created.secret.hex() not in file.read_text()


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    create_key_file(file, "right", iterations=FAST)
    file.chmod(0o640)
    with pytest.raises(KeyFault, match="chmod 600"):
        load_key_file(file, "right")


def test_an_existing_key_file_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    create_key_file(file, "right", key=KEY, iterations=FAST)
    with pytest.raises(KeyFault, match="exists already"):
        create_key_file(file, "other", iterations=FAST)
    assert load_key_file(file, "right") == KEY
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.json"]


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFault, match="empty password"):
        create_key_file(tmp_path / "key.json", "")


def _without(document: dict[str, object], field: str) -> str:
    return json.dumps({**document, "crypto": {k: v for k, v in document["crypto"].items() if k != field}})  # type: ignore[attr-defined]


@pytest.mark.parametrize("damage", ["truncated", "no mac", "a list", "binary", "huge", "bad hex"])
def test_a_damaged_key_file_is_named_with_a_remedy(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "key.json"
    create_key_file(file, "right", iterations=FAST)
    text = file.read_text()
    file.write_bytes(
        {
            "truncated": text[: len(text) // 2].encode(),
            "no mac": _without(json.loads(text), "mac").encode(),
            "a list": b"[]",
            "binary": b"\xff\xfe\x00",
            "huge": text.encode() + b" " * 20_000,
            "bad hex": text.replace(json.loads(text)["crypto"]["ciphertext"], "zz").encode(),
        }[damage]
    )
    with pytest.raises(KeyFault, match="no encrypted key file"):
        load_key_file(file, "right")


def test_a_missing_key_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(KeyFault, match="create one first"):
        load_key_file(tmp_path / "key.json", "right")
