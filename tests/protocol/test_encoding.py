"""Canonical JSON: what is refused, what is written, and that both agree."""

import json
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol import encoding
from derelayl_protocol.encoding import MAX_INTEGER, EncodingError, Value, decode, encode
from derelayl_protocol.errors import LocalFault, PeerFault

VECTORS = Path(__file__).parents[1] / "vectors" / "encoding"
MEBIBYTE = 2**20

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner),
    max_leaves=8,
)


def cases(name: str) -> list[pytest.ParameterSet]:
    return [pytest.param(case, id=case["name"]) for case in json.loads((VECTORS / f"{name}.json").read_text())]


@pytest.mark.parametrize("case", cases("refused"))
def test_bytes_that_no_encoder_writes_are_refused(case: Any) -> None:
    with pytest.raises(EncodingError):
        decode(bytes.fromhex(case["hex"]), MEBIBYTE)


def test_a_byte_more_than_allowed_is_refused() -> None:
    assert decode(b"123", 3) == 123
    with pytest.raises(EncodingError, match="4 bytes, allowed are 3"):
        decode(b"1234", 3)


def test_a_refusal_is_a_peers_fault_and_a_value_error() -> None:
    assert issubclass(EncodingError, PeerFault)
    assert issubclass(EncodingError, ValueError)


def test_a_refusal_says_where_the_bytes_differ() -> None:
    with pytest.raises(EncodingError, match=r"at byte 7: .*second.* should be .*second"):
        decode(b'{"a":1, "second":2}', 100)
    with pytest.raises(EncodingError, match="at byte 1"):
        decode(b"1 ", 100)


@pytest.mark.parametrize(
    "bad",
    [
        b"[" * MEBIBYTE,
        b'{"a":' * (MEBIBYTE // 5),
        b"[" * (MEBIBYTE // 2) + b"]" * (MEBIBYTE // 2),
        b'"' + b'\\"' * (MEBIBYTE // 2),
        b"\\" * MEBIBYTE,
        b"7" * MEBIBYTE,
        b"[[],[" + b'"",' * (MEBIBYTE // 3) + b'""',
    ],
    ids=["lists", "objects", "closed lists", "open string", "backslashes", "digits", "open list"],
)
def test_hostile_bytes_are_refused_quickly(bad: bytes) -> None:
    start = time.process_time()
    with pytest.raises(EncodingError):
        decode(bad, MEBIBYTE)
    assert time.process_time() - start < 5  # linear takes a tenth; anything worse would take minutes


def test_brackets_inside_strings_are_no_nesting() -> None:
    value = ["[" * 100, '"[{' * 100, "\\" * 7 + "]"]
    assert decode(encode(value), 10_000) == value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1.0, "a float"),
        ([float("nan")], "a float"),
        (MAX_INTEGER + 1, "integer beyond"),
        (-MAX_INTEGER - 1, "integer beyond"),
        (b"bytes", "a bytes"),
        ({1, 2}, "a set"),
        ({1: 2}, "not ASCII text"),
        ({"ü": 2}, "not ASCII text"),
        ("\ud800", "surrogate"),
        ([[[[[[[[[]]]]]]]]], "nesting deeper than 8"),
    ],
)
def test_what_has_no_canonical_form_is_our_own_fault(value: Any, why: str) -> None:
    with pytest.raises(LocalFault, match=why):
        encode(value)


@pytest.mark.parametrize("case", cases("canonical"))
def test_values_have_the_form_of_the_vectors(case: Any) -> None:
    text = case["text"].encode()
    assert encode(case["value"]) == text
    assert decode(text, len(text)) == case["value"]


def test_tuples_are_lists_and_enums_are_integers() -> None:
    class Colour(IntEnum):
        RED = 3

    assert encode({"colours": (Colour.RED, True)}) == b'{"colours":[3,true]}'


@given(VALUES)
def test_what_is_written_is_read_back(value: Value) -> None:
    text = encode(value)
    assert decode(text, len(text)) == value
    assert json.loads(text) == value


@given(VALUES, st.data())
def test_bytes_with_one_change_are_refused_or_another_value(value: Value, data: st.DataObject) -> None:
    text = bytearray(encode(value))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(text), len(text))
    except EncodingError:
        return
    assert encode(found) == text


# --- Readers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (lambda: encoding.read_object([], ["a"], "it"), r"it is \[\], expected is an object"),
        (
            lambda: encoding.read_object({"a": 1, "b": 2}, ["a"], "it"),
            r"it has the keys \['a', 'b'\], expected are \['a'\]",
        ),
        (lambda: encoding.read_list({}, 2, "it"), r"it is {}, expected is a list"),
        (lambda: encoding.read_list([1, 2, 3], 2, "it"), "it has 3 entries, allowed are 2"),
        (lambda: encoding.read_integer(True, 0, 9, "it"), "it is True, allowed is 0 … 9"),
        (lambda: encoding.read_integer(10, 0, 9, "it"), "it is 10, allowed is 0 … 9"),
        (lambda: encoding.read_integer(-1, 0, 9, "it"), "it is -1, allowed is 0 … 9"),
        (lambda: encoding.read_text(None, 0, 3, "it"), "it is None, expected are 0 to 3 printable"),
        (lambda: encoding.read_text("", 1, 3, "it"), "it is '', expected are 1 to 3 printable"),
        (lambda: encoding.read_text("abcd", 1, 3, "it"), "it is 'abcd', expected are 1 to 3 printable"),
        (lambda: encoding.read_text("ü", 1, 3, "it"), "it is 'ü', expected are 1 to 3 printable"),
        (lambda: encoding.read_text("a\n", 1, 3, "it"), r"it is 'a\\n', expected are 1 to 3 printable"),
        (lambda: encoding.read_hex(12, 1, "it"), "it is 12, expected are 2 lower-case hex digits"),
        (lambda: encoding.read_hex("AB", 1, "it"), "it is 'AB', expected are 2 lower-case hex digits"),
        (lambda: encoding.read_hex("ab\n", 1, "it"), "expected are 2 lower-case hex digits"),
        (lambda: encoding.read_hex("abcd", 1, "it"), "it is 'abcd', expected are 2 lower-case hex digits"),
        (lambda: encoding.read_address(None, "it"), "it is None, expected are 0x and 40"),
        (lambda: encoding.read_address("0x" + "A" * 40, "it"), "expected are 0x and 40"),
    ],
)
def test_readers_name_what_they_found_and_what_they_expected(read: Callable[[], object], why: str) -> None:
    with pytest.raises(EncodingError, match=why):
        read()


def test_readers_return_what_is_right() -> None:
    assert encoding.read_object({"a": 1}, ("a",), "it") == {"a": 1}
    assert encoding.read_list([1, 2], 2, "it") == [1, 2]
    assert encoding.read_integer(9, 0, 9, "it") == 9
    assert encoding.read_text(" ~", 0, 2, "it") == " ~"
    assert encoding.read_hex("00ff", 2, "it") == b"\x00\xff"
    assert encoding.read_address("0x" + "ab" * 20, "it") == "0x" + "ab" * 20
