"""Amounts, scores and names as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derelayl_protocol.statement.words import count, percent, ppm, segment_name, short, tokens
from derelayl_protocol.types import TOKEN, UNAVAILABLE, WHOLE_MODEL, Ppm, Wei


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0.0"),
        (1, "1 wei"),
        (-1_204, "-1,204 wei"),
        (10**9, "0.000000001"),
        (3 * 10**18, "3.0"),
        (-3 * 10**18, "-3.0"),
        (1_234_567_891_234_567_891_234, "1,234.567891"),
        (123_456_789_123_456, "0.000123456"),
        (10**18 - 1, "0.999999"),
        (10**18 + 1, "1.0"),
        (2**96 - 1, "79,228,162,514.264337"),
    ],
)
def test_an_amount_has_six_significant_decimals_and_is_never_rounded_up(wei: int, text: str) -> None:
    assert tokens(Wei(wei)) == text


@given(st.integers(10**9, 2**96))
def test_what_is_shown_is_at_most_a_millionth_less(wei: int) -> None:
    whole, decimals = tokens(Wei(wei)).replace(",", "").split(".")
    shown = int(whole) * TOKEN + int(decimals.ljust(18, "0"))
    assert 0 <= wei - shown < max(TOKEN, wei) / 10**5 / 10
    assert tokens(Wei(-wei)) == "-" + tokens(Wei(wei))


def test_scores_shares_names_and_numbers_of_things() -> None:
    assert (ppm(Ppm(1_204)), ppm(Ppm(-4_000)), ppm(UNAVAILABLE)) == ("1,204 ppm", "-4,000 ppm", "unavailable")
    assert (percent(6_000), percent(25), percent(10_000), percent(0)) == ("60 %", "0.25 %", "100 %", "0 %")
    assert (short(bytes.fromhex("ab" * 32)), short("0x" + "cd" * 20)) == ("0xabababab…", "0xcdcdcdcd…")
    assert (segment_name(0), segment_name(WHOLE_MODEL)) == ("0", "whole")
    assert (count(1, "leg"), count(0, "leg")) == ("1 leg", "0 legs")
