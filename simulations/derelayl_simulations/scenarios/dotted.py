"""Dotted keys: how one value of a scenario is named on the command line, in a sweep and in an error.

`world.demand.price` walks into sections, `world.group.1.share` into a list by place and `world.group.ring.share` by the
name of its entry. The short names of the published paper stand for the keys they mean under either rule set.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from derelayl_protocol.errors import LocalFault

Document = dict[str, Any]

ALIASES: Mapping[str, Mapping[str, str]] = {
    "published": {
        "k": "published.trainers_per_owner",
        "s": "published.selected_share",
        "p": "published.success_probability",
        "q": "published.active_share",
        "N": "published.participants",
        "B": "published.owner_deposit",
    },
    "ledger": {"k": "ledger.legs_per_tip", "s": "ledger.selected_share", "N": "world.participants"},
}
"""Short names, by rule set."""


def expand(key: str, rules: str) -> str:
    """Return the full key that a short name stands for, or the key itself."""
    return ALIASES.get(rules, {}).get(key, key)


def parse(text: str) -> Any:
    """Read a value as TOML does; what is no TOML value is taken as text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def put(document: Document, key: str, value: Any) -> None:
    """Set one value in a nested document. Raises LocalFault where the key walks into something that is no section."""
    *path, last = key.split(".")
    place: Any = document
    for depth, part in enumerate(path):
        place = _inside(place, part, ".".join(path[: depth + 1]))
    if isinstance(place, list):
        place[_index(place, last, key)] = value
    else:
        place[last] = value


def flatten(document: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its dotted key; entries of a list that have a name go by it."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            yield from flatten(value, f"{prefix}{name}.")
    elif isinstance(document, list) and any(isinstance(entry, Mapping) for entry in document):
        for number, entry in enumerate(document):
            yield from flatten(entry, f"{prefix}{_label(document, number)}.")
    else:
        yield prefix[:-1], document


def _inside(place: Any, part: str, key: str) -> Any:
    if isinstance(place, list):
        place = place[_index(place, part, key)]
    else:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
    if not isinstance(place, dict | list):
        raise LocalFault(f"{key} is the value {place!r}, not a section with keys of its own")
    return place


def _index(entries: list[Any], part: str, key: str) -> int:
    labels = [_label(entries, number) for number in range(len(entries))]
    if part in labels:
        return labels.index(part)
    if part.isdigit() and int(part) < len(entries):
        return int(part)
    known = ", ".join(labels) or "none"
    raise LocalFault(f"{key} names no entry; there are {known}")


def _label(entries: list[Any], number: int) -> str:
    """Return an entry's name if it has one that no other entry has, else its place."""
    name = entries[number].get("name") if isinstance(entries[number], Mapping) else None
    same = [entry for entry in entries if isinstance(entry, Mapping) and entry.get("name") == name]
    return str(name) if name and len(same) == 1 else str(number)
