"""Ledger events as canonical JSON text and back: what the index stores and what a proof quotes.

Bytes are ``0x`` hex, integers decimal strings (amounts exceed 2**53), tuples lists, rules an object. No type
name in the text is ever looked up: the caller names the event and only the ledger's own event classes are known.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Any, Final, get_args, get_origin, get_type_hints

from derelayl_protocol.ledger import events
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.spelling import from_hex, to_hex

EVENTS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in get_args(events.Event)}
"""Every event of the ledger by its name."""


def event_to_json(event: Event) -> str:
    """Encode an event's fields, keys sorted, no white space."""
    return json.dumps(_plain(event), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def event_from_json(name: str, text: str) -> Event:
    """Decode what `event_to_json` wrote. Raises ValueError for an unknown name or other fields than the event has."""
    if name not in EVENTS:
        raise ValueError(f"{name!r} is not an event of the ledger")
    event: Event = _typed(EVENTS[name], json.loads(text))
    return event


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"an event holds no {type(value).__name__}")


def _typed(kind: Any, value: Any) -> Any:
    kind = _without_new_type(kind)
    if kind is bytes and isinstance(value, str):
        return from_hex(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    if isinstance(kind, type) and issubclass(kind, int) and isinstance(value, str) and kind is not bool:
        return kind(int(value)) if issubclass(kind, IntEnum) else int(value)
    if get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_typed(get_args(kind)[0], item) for item in value)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        hints = _hints(kind)
        if set(hints) != set(value):
            raise ValueError(f"{kind.__name__} has the fields {sorted(hints)}, not {sorted(value)}")
        return kind(**{name: _typed(hint, value[name]) for name, hint in hints.items()})
    raise ValueError(f"{value!r} is no {kind}")


def _without_new_type(kind: Any) -> Any:
    while hasattr(kind, "__supertype__"):
        kind = kind.__supertype__
    return kind


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)
