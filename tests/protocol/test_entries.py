"""Signed entries on the wire: what a stranger may not send, and that both ends agree."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol import limits
from derelayl_protocol.encoding import MAX_INTEGER, Value, encode
from derelayl_protocol.errors import PeerFault
from derelayl_protocol.ledger.commands import SignedBid, SignedCommit, SignedReveal
from derelayl_protocol.ledger.entries import LeasedChild, SignedEntry, encode_entry, parse_entry
from derelayl_protocol.ledger.signed import BidMessage, CommitMessage, HandOverMessage, RevealMessage
from derelayl_protocol.types import UNAVAILABLE, Address, ModelId, Ppm, Root, Timestamp, Wei

HASHES = st.binary(min_size=32, max_size=32)
SIGNATURES = st.binary(min_size=64, max_size=64)
ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
SCORES = st.just(UNAVAILABLE) | st.integers(-limits.MAX_SCORE_PPM, limits.MAX_SCORE_PPM)
BIDS = st.builds(
    SignedBid,
    trainer=ADDRESSES,
    segment=st.integers(0, 255),
    amount=st.integers(1, limits.MAX_AMOUNT_WEI),
    expiry=st.integers(0, MAX_INTEGER),
    signature=SIGNATURES,
)
CHILDREN = st.builds(LeasedChild, trainer=ADDRESSES, parent=HASHES, child=HASHES, signature=SIGNATURES)
COMMITS = st.builds(SignedCommit, validator=ADDRESSES, commitment=HASHES, signature=SIGNATURES)


def with_originals(reveal: SignedReveal) -> st.SearchStrategy[SignedReveal]:
    """The reveal with an original for each of its scores."""
    size = len(reveal.scores)
    named = st.lists(st.integers(0, limits.MAX_BIDS - 1), min_size=size, max_size=size).map(tuple)
    return named.map(lambda originals: replace(reveal, originals=originals))


REVEALS = st.builds(
    SignedReveal,
    validator=ADDRESSES,
    scores=st.lists(SCORES, max_size=limits.MAX_BIDS).map(tuple),
    originals=st.just(()),
    salt=HASHES,
    signature=SIGNATURES,
).flatmap(with_originals)
ENTRIES = st.builds(
    SignedEntry, model=HASHES, round=st.integers(1, MAX_INTEGER), content=BIDS | CHILDREN | COMMITS | REVEALS
)

PLACE: dict[str, Value] = {"model": "01" * 32, "round": 3, "account": "0x" + "04" * 20, "signature": "05" * 64}
BID = PLACE | {"kind": "bid", "segment": 255, "amount": "7", "expiry": 9}
CHILD = PLACE | {"kind": "child", "parent": "08" * 32, "child": "09" * 32}
COMMIT = PLACE | {"kind": "commit", "commitment": "06" * 32}
REVEAL = PLACE | {"kind": "reveal", "scores": [None, 5], "originals": [0, 0], "salt": "07" * 32}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not canonical JSON"),
        (b"x" * (limits.MAX_ANNOUNCEMENT_BYTES + 1), "16385 bytes, allowed are 16384"),
        (encode([]), "no bid, child, commit or reveal"),
        (encode(COMMIT | {"kind": 1}), "no bid, child, commit or reveal"),
        (encode(COMMIT | {"kind": "vote"}), "no bid, child, commit or reveal"),
        (encode(CHILD | {"leg": 0}), "child has the keys"),
        (encode(CHILD | {"parent": "08" * 31}), "parent is"),
        (encode(CHILD | {"child": None}), "child is"),
        (encode(COMMIT | {"salt": "07" * 32}), "commit has the keys"),
        (encode(COMMIT | {"model": "01" * 31}), "model is"),
        (encode(COMMIT | {"round": 0}), "round is 0"),
        (encode(COMMIT | {"account": "04" * 20}), "account is"),
        (encode(COMMIT | {"signature": "05" * 65}), "signature is"),
        (encode(COMMIT | {"commitment": None}), "commitment is"),
        (encode(BID | {"segment": 256}), "segment is 256"),
        (encode(BID | {"amount": 7}), "amount is 7"),
        (encode(BID | {"amount": "0"}), "amount is"),
        (encode(BID | {"amount": "07"}), "amount is"),
        (encode(BID | {"amount": str(2**96)}), "allowed is at most"),
        (encode(BID | {"expiry": -1}), "expiry is -1"),
        (encode(REVEAL | {"scores": [1] * (limits.MAX_BIDS + 1)}), "scores has 33 entries"),
        (encode(REVEAL | {"scores": [limits.MAX_SCORE_PPM + 1]}), "score is 20000001"),
        (encode(REVEAL | {"originals": [0]}), "originals has 1 entries for 2 scores"),
        (encode(REVEAL | {"originals": [0, limits.MAX_BIDS]}), "original is 32"),
        (encode(REVEAL | {"originals": None}), "originals is"),
        (encode(REVEAL | {"salt": "07" * 31}), "salt is"),
    ],
)
def test_an_entry_that_breaks_a_rule_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(PeerFault, match=why):
        parse_entry(data)


@given(ENTRIES)
def test_an_entry_is_read_back(entry: SignedEntry) -> None:
    assert parse_entry(encode_entry(entry)) == entry


def test_an_entry_stands_for_the_message_that_its_account_signed() -> None:
    bid, child, commit, reveal = (parse_entry(encode(wire)) for wire in (BID, CHILD, COMMIT, REVEAL))
    model = ModelId(bytes.fromhex("01" * 32))
    assert bid.message == BidMessage(model, 3, 255, Wei(7), Timestamp(9))
    assert child.message == HandOverMessage(model, 3, Root(b"\x08" * 32), Root(b"\x09" * 32))
    assert commit.message == CommitMessage(model, 3, bytes.fromhex("06" * 32))
    assert reveal.message == RevealMessage(model, 3, (UNAVAILABLE, Ppm(5)), (0, 0), bytes.fromhex("07" * 32))
    assert {entry.account for entry in (bid, child, commit, reveal)} == {"0x" + "04" * 20}


def test_the_largest_entry_fits_the_limit_of_gossip() -> None:
    scores = (Ppm(-limits.MAX_SCORE_PPM),) * limits.MAX_BIDS
    originals = (limits.MAX_BIDS - 1,) * limits.MAX_BIDS
    reveal = SignedReveal(Address("0x" + "ff" * 20), scores, originals, b"\xff" * 32, b"\xff" * 64)
    entry = SignedEntry(ModelId(b"\xff" * 32), MAX_INTEGER, reveal)
    assert len(encode_entry(entry)) < limits.MAX_ANNOUNCEMENT_BYTES
