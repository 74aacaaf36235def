"""Inputs drawn from a seed: good ones with bytes changed, and good JSON with values changed."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

TOKENS = (
    *(b"{}", b"[]", b"[", b"]", b"{", b"}", b'"', b":", b",", b"\\", b"\\u0000", b"\\ud800", b"null", b"true", b"0x"),
    *(b"-0", b"-1", b"1e9", b"1.0", b"NaN", b"9007199254740992", b"9" * 40, b"\x00", b"\xff\xff\xff\xff", b"\x80"),
    *(b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"/p2p/", b"/ip4/", b"/tcp/", b"\xff" * 32, b"\x00" * 32),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 255, 256, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, 2**256, 10**400, 0.5, 1e308),
    *("", "0x", "0x0", "0xzz", "0x" + "f" * 64, "0x" + "f" * 65, "0X1", "00" * 32, "\ud800", "\x00", "é", "a" * 300),
    *([], {}, [[]], [{}], {"": 0}, [0] * 300, "latest", "pending"),
)
MAX_GROWN = 8
"""Times that an input may grow by repeating a piece of itself."""


class Mutator:
    """An endless source of inputs. The same seed and corpus give the same inputs."""

    def __init__(self, seed: str, corpus: Sequence[bytes], max_bytes: int) -> None:
        self._luck = random.Random(seed)  # no secret
        self._corpus = list(corpus) or [b""]
        self._documents = [found for found in map(_json, self._corpus) if found is not None]
        self._max_bytes = max_bytes

    def next(self) -> bytes:
        """The next input."""
        luck = self._luck
        if self._documents and luck.random() < 0.5:
            document = self._changed(luck.choice(self._documents), luck.randint(1, 3))
            data = _canonical(document)
        else:
            data = luck.choice(self._corpus)
            for _ in range(luck.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
                data = self._bent(data)
        return data[: self._max_bytes]

    def _bent(self, data: bytes) -> bytes:
        luck = self._luck
        at = luck.randint(0, len(data))
        end = min(len(data), at + luck.choice((1, 1, 2, 4, 8, 32)))
        match luck.randint(0, 7):
            case 0 if data:
                at = min(at, len(data) - 1)
                return data[:at] + bytes([data[at] ^ (1 << luck.randint(0, 7))]) + data[at + 1 :]
            case 1:
                return data[:at] + luck.randbytes(end - at) + data[end:]
            case 2:
                return data[:at] + data[end:]
            case 3:
                return data[:at] + luck.choice(TOKENS) + data[at:]
            case 4:
                return data[:at] + luck.choice(TOKENS) + data[end:]
            case 5:
                return data[:at]
            case 6:
                return data[:at] + data[at:end] * luck.randint(2, MAX_GROWN) + data[end:]
            case _:
                other = luck.choice(self._corpus)
                return data[:at] + other[luck.randint(0, len(other)) :]

    def _changed(self, value: Any, times: int) -> Any:
        """A copy with some values replaced, taken out or moved."""
        luck = self._luck
        if times == 0 or luck.random() < 0.15 or not isinstance(value, list | dict) or not value:
            return luck.choice(VALUES) if times else value
        if isinstance(value, list):
            at = luck.randrange(len(value))
            some = luck.choice((1, 1, 1, 0, 2))
            return [*value[:at], *[self._changed(value[at], times - luck.randint(0, 1))] * some, *value[at + 1 :]]
        key = luck.choice(list(value))
        rest = {name: each for name, each in value.items() if name != key or luck.random() < 0.9}
        return {**rest, luck.choice((key, key, key, "other")): self._changed(value[key], times - luck.randint(0, 1))}


def _json(data: bytes) -> Any:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):  # a corpus may hold what nests too deeply for a plain parser
        return None
    return found if isinstance(found, list | dict) else None


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", errors="surrogatepass")
