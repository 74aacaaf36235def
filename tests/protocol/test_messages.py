"""Announcements and frames: what a stranger may not send, and that both ends agree."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol import limits
from derelayl_protocol.checkpoint import messages
from derelayl_protocol.checkpoint.messages import Announcement, encode_announcement, parse_announcement
from derelayl_protocol.encoding import MAX_INTEGER, Value, encode
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.types import Address, Digest, Root

HASHES = st.binary(min_size=32, max_size=32)
ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))
ANNOUNCEMENTS = st.builds(Announcement, model=HASHES, round=st.integers(0, MAX_INTEGER), root=HASHES, trainer=ADDRESSES)
RIGHT: dict[str, Value] = {"model": "01" * 32, "root": "02" * 32, "round": 3, "trainer": "0x" + "04" * 20}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not canonical JSON"),
        (b"x" * (limits.MAX_ANNOUNCEMENT_BYTES + 1), "16385 bytes, allowed are 16384"),
        (encode([]), r"announcement is \[\], expected is an object"),
        (encode(RIGHT | {"note": 1}), "announcement has the keys"),
        (encode(RIGHT | {"model": "01" * 31}), "model is"),
        (encode(RIGHT | {"root": "AB" * 32}), "root is"),
        (encode(RIGHT | {"round": -1}), "round is -1"),
        (encode(RIGHT | {"trainer": "04" * 20}), "trainer is"),
    ],
)
def test_an_announcement_that_breaks_a_rule_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(PeerFault, match=why):
        parse_announcement(data)


@given(ANNOUNCEMENTS)
def test_an_announcement_is_read_back(announcement: Announcement) -> None:
    assert parse_announcement(encode_announcement(announcement)) == announcement


@pytest.mark.parametrize(
    ("parse", "why"),
    [
        (lambda: messages.parse_manifest_request(bytes(31)), "31 bytes, expected are 32"),
        (lambda: messages.parse_chunks_count(b"\x00"), "1 bytes, expected are 2"),
        (lambda: messages.parse_chunks_count(b"\x00\x00"), "request for 0 chunks, allowed is 1 … 16"),
        (lambda: messages.parse_chunks_count(b"\x00\x11"), "request for 17 chunks, allowed is 1 … 16"),
        (lambda: messages.parse_digests(bytes(63), 2), "63 bytes for 2 digests, expected are 64"),
        (lambda: messages.parse_answer_length(b"\x00" * 3, 9), "3 bytes, expected are 4"),
        (lambda: messages.parse_answer_length(b"\x00" * 4, 9), "answer of 0 bytes, allowed is 1 … 9"),
        (lambda: messages.parse_answer_length(b"\x00\x10\x00\x01", limits.MAX_CHUNK_BYTES), "1048577 bytes, allowed"),
        (
            lambda: messages.parse_answer_length(b"\x00\x40\x00\x01", limits.MAX_MANIFEST_BYTES),
            "4194305 bytes, allowed",
        ),
        (lambda: messages.parse_answer_length(b"\xff\xff\xff\xfe", 9), "4294967294 bytes, allowed"),
    ],
)
def test_a_frame_that_breaks_a_rule_is_the_peers_fault(parse: Callable[[], object], why: str) -> None:
    with pytest.raises(PeerFault, match=why):
        parse()


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda: messages.encode_manifest_request(Root(bytes(33))), "33 bytes, expected are 32"),
        (lambda: messages.encode_chunks_request([]), "0 digests in one request"),
        (lambda: messages.encode_chunks_request([Digest(bytes(32))] * 17), "17 digests in one request"),
        (lambda: messages.encode_chunks_request([Digest(bytes(32)), Digest(bytes(31))]), "digest of 31 bytes"),
        (lambda: messages.encode_answer_length(0, 9), "answer of 0 bytes"),
        (lambda: messages.encode_answer_length(10, 9), "answer of 10 bytes, allowed is 1 … 9"),
    ],
)
def test_a_frame_that_no_peer_would_take_is_not_written(write: Callable[[], object], why: str) -> None:
    with pytest.raises(LocalFault, match=why):
        write()


def test_frames_have_the_bytes_of_the_specification() -> None:
    assert messages.encode_manifest_request(Root(b"\x01" * 32)) == b"\x01" * 32
    digests = [Digest(b"\x02" * 32), Digest(b"\x03" * 32)]
    assert messages.encode_chunks_request(digests) == b"\x00\x02" + b"\x02" * 32 + b"\x03" * 32
    assert messages.encode_answer_length(258, 1000) == b"\x00\x00\x01\x02"
    assert messages.encode_answer_length(None, 1000) == b"\xff\xff\xff\xff"


def test_a_refusal_is_no_length_and_no_absence() -> None:
    assert messages.encode_refusal() == b"\xff\xff\xff\xfe"
    assert messages.is_refusal(messages.encode_refusal())
    assert not messages.is_refusal(messages.encode_answer_length(None, 1000))
    assert not messages.is_refusal(messages.encode_answer_length(limits.MAX_CHUNK_BYTES, limits.MAX_CHUNK_BYTES))


@given(st.lists(HASHES, min_size=1, max_size=limits.MAX_DIGESTS_PER_REQUEST))
def test_a_request_is_read_back(digests: list[Digest]) -> None:
    assert messages.parse_manifest_request(messages.encode_manifest_request(Root(digests[0]))) == Root(digests[0])
    frame = messages.encode_chunks_request(digests)
    count = messages.parse_chunks_count(frame[: messages.COUNT_BYTES])
    assert messages.parse_digests(frame[messages.COUNT_BYTES :], count) == tuple(digests)


@pytest.mark.parametrize("length", [None, 1, limits.MAX_CHUNK_BYTES])
def test_an_answers_length_is_read_back(length: int | None) -> None:
    prefix = messages.encode_answer_length(length, limits.MAX_CHUNK_BYTES)
    assert messages.parse_answer_length(prefix, limits.MAX_CHUNK_BYTES) == length
