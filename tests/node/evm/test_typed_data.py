"""Signed messages: the same digests as eth_account's general encoder, recovered only where they belong."""

import dataclasses
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from derelayl_node.evm.typed_data import (
    compact_signature,
    digest_of,
    full_signature,
    recoverer,
    sign_message,
    signer,
)
from derelayl_node.keys import NodeKey, recover_address, sign_digest
from derelayl_protocol.checkpoint.manifest import CURVE_ORDER, leg_digest
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.ledger.signed import (
    BidMessage,
    CommitMessage,
    HandOverMessage,
    RevealMessage,
    SignedMessage,
)
from derelayl_protocol.types import UNAVAILABLE, Address, LedgerId, ModelId, Ppm, Root, Timestamp, Wei

LEDGER = LedgerId(31337, Address("0x" + "5c" * 20))
KEY = NodeKey(b"\x2a" * 32)
MODEL = ModelId(b"\x01" * 32)

BID = BidMessage(MODEL, 7, 255, Wei(2**96 - 1), Timestamp(1_700_000_000))
COMMIT = CommitMessage(MODEL, 2**64 - 1, b"\x03" * 32)
REVEAL = RevealMessage(MODEL, 7, (Ppm(1204), UNAVAILABLE, Ppm(-20_000_000), Ppm(0)), (0, 1, 0, 3), b"\x04" * 32)
HAND_OVER = HandOverMessage(MODEL, 7, Root(b"\x05" * 32), Root(b"\x06" * 32))
MESSAGES = (BID, COMMIT, REVEAL, HAND_OVER)

TYPES = {
    BidMessage: ("Bid", "bytes32 model,uint64 round,uint8 segment,uint256 amount,uint64 expiry"),
    CommitMessage: ("Commit", "bytes32 model,uint64 round,bytes32 commitment"),
    RevealMessage: ("Reveal", "bytes32 model,uint64 round,int64[] scores,bytes32 originals,bytes32 salt"),
}


def general_digest(message: SignedMessage) -> bytes:
    """The digest by eth_account, from the specification's text."""
    name, members = TYPES[type(message)]
    fields = [dict(zip(("type", "name"), member.split(), strict=True)) for member in members.split(",")]
    values: dict[str, Any] = {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}
    if isinstance(message, RevealMessage):
        values |= {"scores": list(message.scores), "originals": bytes(message.originals).ljust(32, b"\0")}
    domain = {"name": "derelayl", "version": "2", "chainId": LEDGER.chain_id, "verifyingContract": LEDGER.address}
    signable = encode_typed_data(domain, {name: fields}, values)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_belongs_to_nobody(length: int) -> None:
    assert recoverer(LEDGER)(BID, bytes(length)) is None
    with pytest.raises(PeerFault, match="64 bytes"):
        full_signature(bytes(length))


@pytest.mark.parametrize("signature", [bytes(64), b"\xff" * 64, b"\x01" * 32 + bytes(32)])
def test_bytes_that_are_no_signature_belong_to_nobody(signature: bytes) -> None:
    assert recoverer(LEDGER)(COMMIT, signature) is None


def test_a_high_s_belongs_to_nobody_and_has_no_compact_form() -> None:
    signature = sign_digest(KEY, digest_of(BID, LEDGER))
    s = int.from_bytes(signature[32:64], "big")
    high = signature[:32] + (CURVE_ORDER - s).to_bytes(32, "big") + bytes([1 - signature[64]])
    assert recoverer(LEDGER)(BID, high[:64]) != KEY.address
    with pytest.raises(LocalFault, match="no compact form"):
        compact_signature(high)


@pytest.mark.parametrize("signature", [bytes(64), bytes(66), bytes(64) + b"\x02", bytes(64) + b"\x1b"])
def test_only_r_s_and_a_parity_have_a_compact_form(signature: bytes) -> None:
    with pytest.raises(LocalFault):
        compact_signature(signature)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_signature_for_another_ledger_or_chain_is_no_signature_of_the_account(message: SignedMessage) -> None:
    signature = sign_message(KEY, message, LEDGER)
    assert recoverer(dataclasses.replace(LEDGER, chain_id=LEDGER.chain_id + 1))(message, signature) != KEY.address
    assert recoverer(dataclasses.replace(LEDGER, address=Address("0x" + "5d" * 20)))(message, signature) != KEY.address


def _changed(message: SignedMessage) -> list[SignedMessage]:
    """The message with each of its fields changed in turn."""
    others = {int: 1, bytes: b"\x77" * 32, tuple: (Ppm(1),)}
    values: dict[str, Any] = {
        field.name: others[type(getattr(message, field.name))] for field in dataclasses.fields(message)
    }
    return [dataclasses.replace(message, **{name: value}) for name, value in values.items()]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_field_is_signed(message: SignedMessage) -> None:
    signature = sign_message(KEY, message, LEDGER)
    recover = recoverer(LEDGER)
    assert recover(message, signature) == KEY.address
    assert KEY.address not in [recover(other, signature) for other in _changed(message)]


@pytest.mark.parametrize("message", [BID, COMMIT, REVEAL], ids=lambda message: type(message).__name__)
def test_digests_are_those_of_a_general_encoder(message: SignedMessage) -> None:
    assert digest_of(message, LEDGER) == general_digest(message)


def test_a_reveal_of_no_legs_has_a_digest_too() -> None:
    empty = dataclasses.replace(REVEAL, scores=())
    assert digest_of(empty, LEDGER) == general_digest(empty)


def test_a_hand_over_is_what_a_manifest_s_trainer_signs() -> None:
    digest = leg_digest(LEDGER, MODEL, 7, HAND_OVER.parent, HAND_OVER.child)
    assert digest_of(HAND_OVER, LEDGER) == digest
    of_manifest = compact_signature(sign_digest(KEY, digest))
    assert recoverer(LEDGER)(HAND_OVER, of_manifest) == KEY.address


@pytest.mark.parametrize("number", range(8))
def test_the_compact_form_loses_nothing(number: int) -> None:
    """Several messages, so that both parities occur."""
    message = dataclasses.replace(BID, round=number)
    signature = sign_digest(KEY, digest_of(message, LEDGER))
    assert full_signature(compact_signature(signature)) == signature
    assert recover_address(digest_of(message, LEDGER), signature) == KEY.address


def test_a_signer_signs_for_its_ledger() -> None:
    sign = signer(KEY, LEDGER)
    assert [recoverer(LEDGER)(message, sign(message)) for message in MESSAGES] == [KEY.address] * 4
