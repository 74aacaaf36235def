"""How accounts, hashes and amounts are written, and how what somebody wrote is read back.

We write ``0x`` and lower-case hex. What a person wrote may have upper-case digits too. Peers are held to one spelling:
for canonical JSON `encoding` has readers of its own.
"""

from __future__ import annotations

import re
from typing import TypeGuard

from .errors import LocalFault
from .limits import MAX_AMOUNT_WEI
from .types import ADDRESS_BYTES, HASH_BYTES, TOKEN, Address, Wei

ADDRESS_PATTERN = rf"^0x[0-9a-f]{{{2 * ADDRESS_BYTES}}}$"
HASH_PATTERN = rf"^0x[0-9a-f]{{{2 * HASH_BYTES}}}$"
"""The one spelling of an account and of a hash, root or id, as regular expressions."""

ANY_CASE_ADDRESS_PATTERN = ADDRESS_PATTERN.replace("a-f", "a-fA-F")
ANY_CASE_HASH_PATTERN = HASH_PATTERN.replace("a-f", "a-fA-F")
"""What people may write instead."""

TOKEN_DECIMALS = len(str(TOKEN)) - 1
"""Digits after the point that an amount of tokens can have."""

AMOUNT_DIGITS = len(str(MAX_AMOUNT_WEI))
"""Decimal digits of the largest amount in wei."""

MAX_SHOWN = 80
"""Characters of somebody's text that an error message repeats."""

SHORT_DIGITS = 8
"""Hex digits by which people tell hashes apart."""


class Misspelled(LocalFault, ValueError):
    """Text that does not spell what its place asks for; the message quotes it and says what is expected."""


def shown(value: object) -> str:
    """Quote somebody's value for an error message, cut to MAX_SHOWN characters."""
    quoted = repr(value)
    return quoted if len(quoted) <= MAX_SHOWN else quoted[: MAX_SHOWN - 1] + "…"


def to_hex(value: bytes) -> str:
    """Write bytes as 0x and lower-case hex digits."""
    return "0x" + value.hex()


def from_hex(text: str) -> bytes:
    """Read what `to_hex` wrote, in any case. Raises Misspelled."""
    if re.fullmatch(r"0x([0-9a-fA-F]{2})*", text) is None:
        raise Misspelled(f"{shown(text)} is not 0x and pairs of hex digits")
    return bytes.fromhex(text[2:])


def first_digits(name: bytes | str) -> str:
    """The first SHORT_DIGITS hex digits of a root, model or address, without 0x."""
    return (name.hex() if isinstance(name, bytes) else name.removeprefix("0x"))[:SHORT_DIGITS]


def is_address(value: object) -> TypeGuard[Address]:
    """Whether a value is an account in its one spelling."""
    return isinstance(value, str) and re.fullmatch(ADDRESS_PATTERN, value) is not None


def parse_address(text: str) -> Address:
    """Read an account as people write it. Raises Misspelled."""
    if re.fullmatch(ANY_CASE_ADDRESS_PATTERN, text) is None:
        raise Misspelled(f"{shown(text)} is not an account address (0x and {2 * ADDRESS_BYTES} hex digits)")
    return Address(text.lower())


def parse_hash(text: str, what: str) -> bytes:
    """Read a hash, root or id as people write it, the 0x in front or not. Raises Misspelled."""
    digits = text.removeprefix("0x")
    if re.fullmatch(ANY_CASE_HASH_PATTERN, f"0x{digits}") is None:
        raise Misspelled(f"{shown(text)} is not {what} (0x and {2 * HASH_BYTES} hex digits)")
    return bytes.fromhex(digits)


def exact_tokens(wei: int) -> str:
    """Write an amount of wei in tokens, every digit, without trailing zeros: `50`, `0.000000000000000001`."""
    whole, rest = divmod(abs(wei), TOKEN)
    digits = f"{whole}.{rest:0{TOKEN_DECIMALS}d}".rstrip("0").rstrip(".")
    return f"-{digits}" if wei < 0 else digits


def parse_tokens(text: str) -> Wei:
    """Read an amount of tokens that the ledger takes, from one wei up, as people write it. Raises Misspelled."""
    match = re.fullmatch(rf"([0-9]{{1,{AMOUNT_DIGITS}}})(?:\.([0-9]{{1,{TOKEN_DECIMALS}}}))?", text)
    amount = int(match[1]) * TOKEN + int((match[2] or "").ljust(TOKEN_DECIMALS, "0")) if match else 0
    if not 0 < amount <= MAX_AMOUNT_WEI:
        raise Misspelled(
            f"{shown(text)} is not an amount of tokens (such as 2 or 0.5: above 0, at most {TOKEN_DECIMALS} digits "
            f"after the point, no more than {exact_tokens(MAX_AMOUNT_WEI)})"
        )
    return Wei(amount)
