"""Statements that are compiled once for each kind of database: most of a short question's time went into wording it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Dialect, Select, Table

from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.ledger.selection import LegEnding

from .database import fetch
from .tables import HexBytes, WeiText

T = TypeVar("T")
Values = list[Any]
Decoder = Callable[[Any], Any]

_ENDINGS: Final = {ending.value: ending for ending in LegEnding}

_BY_NAME: Final[Mapping[str, Decoder]] = {
    "status": lambda word: _ENDINGS.get(word, word),
    "phase": Phase,
    "void_reason": VoidReason,
    "validators": lambda text: tuple(json.loads(text)),
}
_BY_TYPE: Final[Mapping[type, Decoder]] = {
    HexBytes: lambda text: bytes.fromhex(text[2:]),  # that `HexBytes` wrote; reading it with care takes longer than SQL
    WeiText: int,
}


@dataclass(frozen=True, slots=True)
class _Wording:
    text: str
    parameters: tuple[tuple[str, Decoder | None], ...]
    defaults: Mapping[str, Any]


@dataclass(slots=True)
class Question(Generic[T]):
    """A statement with named parameters, and what to make of the values of a row, which come in its columns' order."""

    statement: Select[Any]
    make: Callable[[Values], T]
    _decoders: tuple[tuple[int, Decoder], ...] = field(init=False)
    _wordings: dict[str, _Wording] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        decoders = ((i, _decoder(column)) for i, column in enumerate(self.statement.selected_columns))
        self._decoders = tuple((i, decode) for i, decode in decoders if decode is not None)

    def all(self, connection: Connection, **values: Any) -> list[T]:
        """Ask; the answers in the statement's order."""
        wording = self._wordings.get(connection.dialect.name) or self._word(connection.dialect)
        given = [
            value if encode is None else encode(value)
            for value, encode in ((values.get(name, wording.defaults.get(name)), e) for name, e in wording.parameters)
        ]
        return [self._read(row) for row in fetch(connection, wording.text, given)]

    def one(self, connection: Connection, **values: Any) -> T | None:
        """Ask for what there is at most one of; None if there is none."""
        found = self.all(connection, **values)
        return found[0] if found else None

    def _read(self, row: Any) -> T:
        values = list(row)
        for position, decode in self._decoders:
            if values[position] is not None:
                values[position] = decode(values[position])
        return self.make(values)

    def _word(self, dialect: Dialect) -> _Wording:
        compiled = self.statement.compile(dialect=dialect)
        names = compiled.positiontup or []
        encoders = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()
        }
        wording = _Wording(str(compiled), tuple((name, encoders[name]) for name in names), dict(compiled.params))
        return self._wordings.setdefault(dialect.name, wording)


def columns(record: type, table: Table) -> list[ColumnElement[Any]]:
    """The columns that a record's fields are named after, in the order of the fields."""
    return [table.c[one.name] for one in fields(record) if one.name in table.c]


def first(values: Values) -> Any:
    """Make of a row of one column that column's value."""
    return values[0]


def _decoder(column: ColumnElement[Any]) -> Decoder | None:
    return _BY_NAME.get(column.name) or _BY_TYPE.get(type(column.type))
