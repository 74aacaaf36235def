"""Canonical JSON: one byte string for each value, and readers for what was decoded.

Source: docs/PROTOCOL.md section 2. A stranger's bytes are refused unless our own encoder would have written them, so
two peers that hash one value hash the same bytes.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from json.encoder import encode_basestring
from typing import NoReturn, TypeAlias

from .errors import LocalFault, PeerFault
from .spelling import is_address, shown
from .types import ADDRESS_BYTES, HASH_BYTES, Address

Value: TypeAlias = "bool | int | str | Sequence[Value] | Mapping[str, Value] | None"
"""What has a canonical form; decoding gives lists and dicts."""

MAX_INTEGER = 2**53 - 1
"""Magnitude that every JSON reader keeps exactly (IEEE doubles)."""

MAX_NESTING = 8
"""Lists and objects inside one another; keeps every reader's recursion shallow."""

_SHOWN_BYTES = 20
_INTEGER_DIGITS = len(str(-MAX_INTEGER))
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_LONG_FORM = {r"\b": r"\u0008", r"\t": r"\u0009", r"\n": r"\u000a", r"\f": r"\u000c", r"\r": r"\u000d"}


class EncodingError(PeerFault, ValueError):
    """Bytes that are not canonical JSON, or decoded JSON that is not what its place asks for."""


class _NoForm(ValueError):
    """A value that canonical JSON cannot express."""


def encode(value: Value) -> bytes:
    """Write `value` in its canonical form.

    Raises LocalFault for what has none: a float, an integer beyond MAX_INTEGER, a key that is not ASCII text, a lone
    surrogate, nesting beyond MAX_NESTING.
    """
    try:
        return _write(value)
    except _NoForm as fault:
        raise LocalFault(f"no canonical form: {fault}") from fault


def decode(data: bytes, max_bytes: int) -> Value:
    """Read canonical JSON. Raises EncodingError for more than `max_bytes` and for all that `encode` would not write."""
    # Size, before anything is copied.
    if len(data) > max_bytes:
        raise EncodingError(f"{len(data)} bytes, allowed are {max_bytes}")
    # Nesting, before a recursive parser sees it.
    if _nested_too_deeply(data):
        raise EncodingError(f"brackets that do not match, or nest deeper than {MAX_NESTING}")
    try:
        value: Value = json.loads(
            data.decode("utf-8"), parse_int=_integer, parse_float=_not_an_integer, parse_constant=_not_an_integer
        )
        canonical = _write(value)
    except EncodingError:
        raise
    except ValueError as fault:  # JSONDecodeError, UnicodeDecodeError and _NoForm are its children
        raise EncodingError(f"not canonical JSON: {fault}") from fault
    # White space, duplicate or unsorted keys, other escapes, minus zero: all show as a difference.
    if canonical != data:
        at = bisect_left(range(len(data)), True, key=lambda end: data[: end + 1] != canonical[: end + 1])
        here = slice(at, at + _SHOWN_BYTES)
        raise EncodingError(f"not canonical JSON at byte {at}: {shown(data[here])} should be {shown(canonical[here])}")
    return value


# --- Readers: each gives the value its type or says what it found and what it expected --------------------------------


def read_object(value: Value, keys: Collection[str], what: str) -> Mapping[str, Value]:
    """Return the object if it has exactly `keys`. Raises EncodingError."""
    found = read_mapping(value, what)
    if found.keys() != set(keys):
        raise EncodingError(f"{what} has the keys {shown(sorted(found))}, expected are {sorted(keys)}")
    return found


def read_mapping(value: Value, what: str) -> Mapping[str, Value]:
    """Return the object, whatever its keys. Raises EncodingError."""
    if not isinstance(value, dict):
        raise EncodingError(f"{what} is {shown(value)}, expected is an object")
    return value


def read_list(value: Value, most: int, what: str) -> list[Value]:
    """Return the list if it has at most `most` entries. Raises EncodingError."""
    if not isinstance(value, list):
        raise EncodingError(f"{what} is {shown(value)}, expected is a list")
    if len(value) > most:
        raise EncodingError(f"{what} has {len(value)} entries, allowed are {most}")
    return value


def read_integer(value: Value, low: int, high: int, what: str) -> int:
    """Return the integer if low <= value <= high; a boolean is no integer. Raises EncodingError."""
    if type(value) is not int or not low <= value <= high:
        raise EncodingError(f"{what} is {shown(value)}, allowed is {low} … {high}")
    return value


def read_text(value: Value, least: int, most: int, what: str) -> str:
    """Return the string if it has `least` to `most` characters, all printable ASCII. Raises EncodingError."""
    if not isinstance(value, str) or re.fullmatch(rf"[ -~]{{{least},{most}}}", value) is None:
        raise EncodingError(f"{what} is {shown(value)}, expected are {least} to {most} printable ASCII characters")
    return value


def read_hex(value: Value, size: int, what: str) -> bytes:
    """Return the `size` bytes written as lower-case hex. Raises EncodingError."""
    if not isinstance(value, str) or re.fullmatch(rf"[0-9a-f]{{{2 * size}}}", value) is None:
        raise EncodingError(f"{what} is {shown(value)}, expected are {2 * size} lower-case hex digits")
    return bytes.fromhex(value)


def read_address(value: Value, what: str) -> Address:
    """Return the ledger account. Raises EncodingError."""
    if not is_address(value):
        raise EncodingError(f"{what} is {shown(value)}, expected are 0x and {2 * ADDRESS_BYTES} lower-case hex digits")
    return value


# --- Inside -----------------------------------------------------------------------------------------------------------


def _write(value: Value, level: int = 0) -> bytes:
    """Write one value that lies inside `level` lists and objects. Raises _NoForm."""
    if isinstance(value, str):
        return _string(value)
    if value is None or isinstance(value, bool):
        return {None: b"null", True: b"true", False: b"false"}[value]
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise _NoForm(f"integer beyond ±{MAX_INTEGER}")
        return b"%d" % value
    if not isinstance(value, list | tuple | Mapping):
        raise _NoForm(f"a {type(value).__name__}")
    if level == MAX_NESTING:
        raise _NoForm(f"nesting deeper than {MAX_NESTING}")
    if isinstance(value, Mapping):
        for key in value:
            if not (isinstance(key, str) and key.isascii()):
                raise _NoForm(f"key {shown(key)}, which is not ASCII text")
        members = [_string(key) + b":" + _write(value[key], level + 1) for key in sorted(value)]
        return b"{" + b",".join(members) + b"}"
    return b"[" + b",".join([_write(entry, level + 1) for entry in value]) + b"]"


def _string(value: str) -> bytes:
    """Write a string with the escapes JSON requires and no other."""
    quoted = encode_basestring(value)
    if "\\" in quoted:  # the library's short escapes (\n and the like) have a longer form here
        quoted = re.sub(r"\\.", lambda match: _LONG_FORM.get(match[0], match[0]), quoted)
    try:
        return quoted.encode("utf-8")
    except UnicodeEncodeError as fault:
        raise _NoForm("a lone surrogate") from fault


def _nested_too_deeply(data: bytes) -> bool:
    """Tell, in linear time and without recursion, whether parsing could recurse much deeper than MAX_NESTING.

    Keep only the brackets outside strings and take away matching neighbours: one level a time, or two; the exact limit
    is the encoder's.
    """
    outside = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside).translate(None, _NOT_BRACKETS)
    for _ in range(MAX_NESTING):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return bool(brackets)


def _integer(digits: str) -> int:
    """Convert the digits unless there are too many: the conversion takes time in the square of their number."""
    if len(digits) > _INTEGER_DIGITS:
        raise EncodingError(f"integer of {len(digits)} digits, beyond ±{MAX_INTEGER}")
    return int(digits)


def _not_an_integer(text: str) -> NoReturn:
    raise EncodingError(f"number {shown(text)}, which is not an integer")


def word(value: int) -> bytes:
    """One 32-byte big-endian word; negative numbers in two's complement, as the EVM has them."""
    return (value % 2**256).to_bytes(HASH_BYTES, "big")
