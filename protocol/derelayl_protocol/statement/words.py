"""Numbers and names for people. What they round away is exact in the data beside the sentence."""

from __future__ import annotations

from ..spelling import TOKEN_DECIMALS, first_digits
from ..types import TOKEN, UNAVAILABLE, WHOLE_MODEL, Ppm, Wei

DECIMALS = 6
"""Digits shown after the point, from the first that is not zero where nothing stands before the point."""

FEW_WEI = 10**9
"""Below this an amount is shown in wei: as tokens it would be mostly zeros."""


def tokens(amount: Wei) -> str:
    """An amount in tokens, rounded towards zero: `1,204.5`, `0.000123456`; `17 wei` where that is shorter."""
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if 0 < size < FEW_WEI:
        return f"{sign}{size:,} wei"
    whole, rest = divmod(size, TOKEN)
    digits = f"{rest:0{TOKEN_DECIMALS}d}"
    leading = len(digits) - len(digits.lstrip("0")) if whole == 0 and rest else 0
    decimals = digits[: leading + DECIMALS].rstrip("0") or "0"
    return f"{sign}{whole:,}.{decimals}"


def ppm(score: Ppm) -> str:
    """A score with its unit."""
    return "unavailable" if score == UNAVAILABLE else f"{score:,} ppm"


def percent(bps: int) -> str:
    """A share: `60 %`, `0.25 %`."""
    return f"{bps / 100:.2f}".rstrip("0").rstrip(".") + " %"


def short(name: bytes | str) -> str:
    """A root, model or address by its first eight digits."""
    return f"0x{first_digits(name)}…"


def segment_name(number: int) -> str:
    """A segment in a table's cell; a sentence says more, see `reasons.segment`."""
    return "whole" if number == WHOLE_MODEL else str(number)


def count(number: int, noun: str) -> str:
    """`1 leg`, `2 legs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
