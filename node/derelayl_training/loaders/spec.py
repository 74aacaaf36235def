"""The part of a data spec after its kind: what is named, then `key=value` pairs, separated by commas."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

HELD_DEFAULT = 0.2

HELD_SEED = 0
"""Which rows are held out is the same each time, or a peer would judge with what it trained on."""


@dataclass(frozen=True, slots=True)
class Options:
    """A parsed argument. `named` are the parts without `=`; `values` has each key once, but for those that repeat."""

    kind: str
    named: tuple[str, ...]
    values: dict[str, tuple[str, ...]]

    def one(self, key: str) -> str | None:
        """The value of a key that is given at most once."""
        return self.values[key][0] if key in self.values else None

    def many(self, key: str) -> tuple[str, ...]:
        """The values of a key that may repeat."""
        return self.values.get(key, ())

    @property
    def path(self) -> Path:
        """The one thing named, as a path. Raises LocalFault."""
        return Path(self.name)

    @property
    def name(self) -> str:
        """The one thing named. Raises LocalFault: none, or several."""
        if len(self.named) != 1 or not self.named[0]:
            raise LocalFault(f"{self.kind}: names {list(self.named)}, allowed is exactly one before the options")
        return self.named[0]

    def held(self) -> float:
        """The share of samples to hold out, `held=` or HELD_DEFAULT. Raises LocalFault."""
        return self.number("held", HELD_DEFAULT, 0.01, 0.9)

    def number(self, key: str, default: float, least: float, most: float) -> float:
        """A number within bounds. Raises LocalFault."""
        text = self.one(key)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise LocalFault(f"{self.kind}: {key} is {text!r}, allowed is a number from {least:g} to {most:g}")
        return value

    def integer(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number within bounds. Raises LocalFault."""
        value = float(self.number(key, default, least, most))
        if not value.is_integer():
            raise LocalFault(f"{self.kind}: {key} is {self.one(key)!r}, allowed is a whole number")
        return int(value)


def parse_options(kind: str, text: str, keys: Collection[str], repeatable: Collection[str] = ()) -> Options:
    """Parse `NAME[,NAME…][,key=value…]`. Raises LocalFault naming what is allowed."""
    named: list[str] = []
    values: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals and not values:
            named.append(part)
        elif not value or key not in keys or (key in values and key not in repeatable):
            allowed = ", ".join(f"{each}=" for each in keys) or "no options"
            raise LocalFault(f"{kind}:{text}: {part!r} is not an option; allowed are {allowed}, each with one value")
        else:
            values[key] = (*values.get(key, ()), value)
    return Options(kind, tuple(named), values)


def held_rows(rows: int, share: float) -> NDArray[np.bool_]:
    """Draw which of `rows` samples are held out: (rows,), at least one; the same for the same arguments."""
    chosen = np.random.default_rng(HELD_SEED).permutation(rows)[: max(1, round(rows * share))]
    held = np.zeros(rows, dtype=np.bool_)
    held[chosen] = True
    return held
