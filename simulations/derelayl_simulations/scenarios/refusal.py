"""What pydantic found, as one sentence a fault: the dotted key, the value and what is allowed."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

SHOWN = 60  # characters of a value that an error repeats


@dataclass(frozen=True, slots=True)
class Slot:
    """What a schema says about one place: the types it takes, with unions spread out, and their constraints."""

    kinds: tuple[Any, ...]
    notes: tuple[Any, ...] = ()


def explain(error: ValidationError, root: type[BaseModel]) -> str:
    """Return one sentence for each fault of a document checked against `root`, joined by semicolons."""
    return "; ".join(dict.fromkeys(_sentence(fault, root) for fault in error.errors()))


def _sentence(fault: ErrorDetails, root: type[BaseModel]) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "extra_forbidden":
        *section, name = fault["loc"]
        parts, slots = _walk(section, root)
        return f"{'.'.join([*parts, str(name)])} is unknown{_nearest(str(name), slots[-1])}"
    parts, slots = _walk(fault["loc"], root)
    key = ".".join(parts) or "the scenario"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "value_error":
        return f"{key}: {context['error']}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag, known = str(context["discriminator"]).strip("'"), context.get("expected_tags", "one that is known")
        return f"{key}.{tag} is {_shown(context.get('tag'))}, allowed is {known}"
    allowed = _describe(slots[-1]) or fault["msg"].removeprefix("Input should be ")
    return f"{key} is {_shown(fault['input'])}, allowed is {allowed}"


def _shown(value: Any) -> str:
    text = "not given" if value is None else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _walk(loc: Sequence[int | str], root: type[BaseModel]) -> tuple[list[str], list[Slot]]:
    """Follow a place through the schema; return the parts a user wrote, without pydantic's tags, and every slot."""
    parts: list[str] = []
    slots = [_slot(root)]
    for part in loc:
        inner = _step(slots[-1], part)
        if inner is None and len(slots[-1].kinds) > 1:
            continue  # the name of one type of a union: a tag of pydantic's
        parts.append(str(part))
        slots.append(inner or Slot(()))
    return parts, slots


def _step(slot: Slot, part: int | str) -> Slot | None:
    """Return the slot of a field, an entry or a value of a mapping; None if no type here has one of that name."""
    found = [inner for kind in slot.kinds for inner in _inside(kind, part)]
    if not found:
        return None
    return Slot(tuple(kind for each in found for kind in each.kinds), tuple(n for each in found for n in each.notes))


def _inside(kind: Any, part: int | str) -> Iterator[Slot]:
    origin = get_origin(kind)
    if isinstance(part, int):
        if origin in (tuple, list):
            yield from (_slot(each) for each in get_args(kind) if each is not Ellipsis)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield _slot(get_args(kind)[1])
    else:
        yield from (slot for name, slot in _members(kind) if name == part)


def _members(kind: Any) -> Iterator[tuple[str, Slot]]:
    """Yield every field of a section."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, info in kind.model_fields.items():
            yield name, _slot(info.annotation, info.metadata)


def _slot(kind: Any, notes: Sequence[Any] = ()) -> Slot:
    """Spread a type out: unions into their members, annotations into constraints."""
    if get_origin(kind) is typing.Annotated:
        inner, *more = get_args(kind)
        return _slot(inner, [*notes, *more])
    if get_origin(kind) in (typing.Union, types.UnionType):
        each = [_slot(inner) for inner in get_args(kind) if inner is not type(None)]
        return Slot(tuple(k for slot in each for k in slot.kinds), (*notes, *(n for slot in each for n in slot.notes)))
    return Slot((kind,), tuple(notes))


def _describe(slot: Slot) -> str | None:
    """Say what a slot takes: choices, a range or a kind."""
    choices = [choice for kind in slot.kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if choices:
        return ", ".join(map(repr, dict.fromkeys(choices)))
    lists = any(get_origin(kind) in (tuple, list) for kind in slot.kinds)
    low, high = _bounds(slot.notes)
    if lists:
        return f"a list of {low or 0} … {high or 'any number of'} values"
    if low or high:
        return f"{'whole numbers ' if slot.kinds == (int,) else ''}{low or 'any'} … {high or 'any'}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    known = [words.get(kind) or ("a section" if any(_members(kind)) else None) for kind in slot.kinds]
    return " or ".join(word for word in known if word) or None


def _bounds(notes: Sequence[Any]) -> tuple[str, str]:
    low = high = ""
    for note in (inner for outer in notes for inner in getattr(outer, "metadata", [outer])):
        match note:
            case Ge(ge=bound):
                low = _number(bound)
            case Gt(gt=bound):
                low = f"more than {_number(bound)}"
            case Le(le=bound):
                high = _number(bound)
            case Lt(lt=bound):
                high = f"less than {_number(bound)}"
            case MinLen(min_length=bound):
                low = _number(bound)
            case MaxLen(max_length=bound):
                high = _number(bound)
    return low, high


def _number(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _nearest(name: str, section: Slot) -> str:
    known = [member for kind in section.kinds for member, _ in _members(kind)]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f", did you mean {near[0]}?"
    return f", known are {', '.join(known)}" if known else ""
