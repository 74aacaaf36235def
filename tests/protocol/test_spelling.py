"""What people write is read to the bit and the wei, or refused with what was expected; what we write is read back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MAX_AMOUNT_WEI
from derelayl_protocol.spelling import (
    MAX_SHOWN,
    Misspelled,
    exact_tokens,
    first_digits,
    from_hex,
    is_address,
    parse_address,
    parse_hash,
    parse_tokens,
    shown,
    to_hex,
)
from derelayl_protocol.types import TOKEN, Address

DIGEST, ACCOUNT = "ab" * 32, "0x" + "cd" * 20


@pytest.mark.parametrize("text", ["", "0x1", "12", "0X12", "0xgg", "0x12 34", "0x12\n", " 0x12", "0x１２"])
def test_what_is_no_hex_is_refused(text: str) -> None:
    with pytest.raises(Misspelled, match="is not 0x and pairs of hex digits"):
        from_hex(text)


@pytest.mark.parametrize(
    "text", ["", "0x12", ACCOUNT[2:], ACCOUNT + "00", ACCOUNT[:-1], ACCOUNT + "\n", "0x" + "g" * 40]
)
def test_what_is_no_account_is_refused_in_words(text: str) -> None:
    with pytest.raises(Misspelled, match=r"is not an account address \(0x and 40 hex digits\)"):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["", "0x12", DIGEST[1:], DIGEST + "0", f"{DIGEST}\n", "a b" + DIGEST[3:], "0x0x" + DIGEST]
)
def test_what_is_no_hash_is_refused_in_words(text: str) -> None:
    with pytest.raises(Misspelled, match=r"is not a checkpoint's root \(0x and 64 hex digits\)"):
        parse_hash(text, "a checkpoint's root")


@pytest.mark.parametrize(
    "text",
    ["", "many", "0", "0.0", "-1", "+1", "nan", "inf", "1e3", "1.", ".5", "1,5", "1_0", "１", "0." + "0" * 18 + "1"],
)
def test_what_is_no_amount_of_tokens_is_refused_in_words(text: str) -> None:
    with pytest.raises(Misspelled, match=r"is not an amount of tokens .*at most 18 digits after the point"):
        parse_tokens(text)


@pytest.mark.parametrize("text", ["79228162514.264337593543950336", "1" + "0" * 12, "9" * 5_000])
def test_more_tokens_than_the_ledger_takes_are_refused(text: str) -> None:
    with pytest.raises(Misspelled, match=r"no more than 79228162514\.264337593543950335"):
        parse_tokens(text)


@pytest.mark.parametrize("refusal", [lambda: from_hex("x" * 1_000), lambda: parse_tokens("x" * 1_000)])
def test_a_long_text_is_cut_in_the_refusal_which_is_the_caller_s_fault(refusal: Callable[[], object]) -> None:
    assert len(shown("x" * 1_000)) == MAX_SHOWN
    with pytest.raises(LocalFault, match="x…") as caught:
        refusal()
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 3 * MAX_SHOWN


def test_people_may_write_upper_case_and_a_hash_without_0x() -> None:
    assert parse_address("0x" + "Cd" * 20) == ACCOUNT
    assert parse_hash(DIGEST.upper(), "a root") == parse_hash("0x" + DIGEST, "a root") == bytes.fromhex(DIGEST)


def test_an_account_has_one_spelling() -> None:
    assert is_address(ACCOUNT)
    assert not any(map(is_address, ("0x" + "CD" * 20, ACCOUNT + "\n", ACCOUNT[2:], bytes(20), None)))


def test_a_name_is_shortened_with_or_without_0x() -> None:
    assert first_digits(Address(ACCOUNT)) == "cd" * 4
    assert first_digits(bytes.fromhex(DIGEST)) == first_digits(DIGEST) == "ab" * 4


@given(st.binary(max_size=70))
def test_bytes_are_read_back(value: bytes) -> None:
    assert from_hex(to_hex(value)) == from_hex(to_hex(value).upper().replace("X", "x")) == value


@pytest.mark.parametrize(
    ("wei", "text"),
    [(0, "0"), (1, "0.000000000000000001"), (TOKEN // 2, "0.5"), (-TOKEN // 4, "-0.25"), (1_500 * TOKEN, "1500")],
)
def test_an_amount_is_written_to_the_wei_without_trailing_zeros(wei: int, text: str) -> None:
    assert exact_tokens(wei) == text


@given(st.integers(1, MAX_AMOUNT_WEI))
def test_amounts_are_read_back_to_the_wei(wei: int) -> None:
    assert parse_tokens(exact_tokens(wei)) == wei
