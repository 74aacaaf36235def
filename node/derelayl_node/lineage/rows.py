"""Rows of the projections during one transaction: read once, changed in memory, written at the end, undone by block.

For every block the first image of each row it touches goes to the `undo` table. Putting these images back, newest block
first, gives the projections as they were before that block, whatever the events meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, insert, select
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.types import TypeDecorator

from .tables import PROJECTIONS, undo

Row = dict[str, Any]
Key = tuple[Any, ...]
Spot = tuple[str, Key]

_ANY_DIALECT: Final = DefaultDialect()
"""The text forms of hex and wei are the same in every database."""

_TABLES: Final = {table.name: table for table in PROJECTIONS}
_KEY_NAMES: Final = {table.name: [f"k_{c.name}" for c in table.primary_key.columns] for table in PROJECTIONS}


def _is_key(table: Table) -> ColumnElement[bool]:
    names = zip(table.primary_key.columns, _KEY_NAMES[table.name], strict=True)
    return and_(*(column == bindparam(name, type_=column.type) for column, name in names))


_BY_KEY: Final = {table.name: select(table).where(_is_key(table)) for table in PROJECTIONS}


class Rows:
    """The projections as dictionaries by primary key; `flush` writes what changed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cache: dict[Spot, Row | None] = {}
        self._changed: dict[Spot, None] = {}
        self._block: dict[Spot, Row | None] = {}
        self._undo: list[dict[str, Any]] = []

    @property
    def connection(self) -> Connection:
        """The transaction, for reading what is not a projection."""
        return self._connection

    def get(self, table: Table, *key: Any) -> Row | None:
        """Read a copy of a row, or None."""
        row = self._load((table.name, key))
        return None if row is None else dict(row)

    def put(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert or replace the row with the primary key found in `row`."""
        self._set((table.name, _key(table, row)), dict(row))

    def add(self, table: Table, row: Mapping[str, Any]) -> None:
        """Insert a row that cannot be there yet, without looking."""
        spot = (table.name, _key(table, row))
        self._cache.setdefault(spot, None)
        self._set(spot, dict(row))

    def remove(self, table: Table, *key: Any) -> None:
        """Delete a row if it is there."""
        self._set((table.name, key), None)

    def scan(self, table: Table, *prefix: Any) -> list[Row]:
        """Read copies of all rows whose primary key begins with `prefix`, in the order of the key."""
        columns = list(table.primary_key.columns)[: len(prefix)]
        where = and_(*(column == value for column, value in zip(columns, prefix, strict=True)))
        for found in self._connection.execute(select(table).where(where)).mappings():
            self._cache.setdefault((table.name, _key(table, found)), dict(found))
        spots = (s for s, row in self._cache.items() if row and s[0] == table.name and s[1][: len(prefix)] == prefix)
        return [dict(self._cache[spot] or {}) for spot in sorted(spots)]

    def end_block(self, number: int, *, keep_undo: bool) -> None:
        """Close a block: what it changed becomes one undo record per row, unless it is too old to be reorganised."""
        if keep_undo:
            self._undo.extend(_undo_record(number, spot, before) for spot, before in self._block.items())
        self._block.clear()

    def flush(self) -> None:
        """Write every changed row and the undo records."""
        if self._block:
            raise RuntimeError("flush inside a block: its undo records would be lost")
        for table in PROJECTIONS:
            spots = [spot for spot in self._changed if spot[0] == table.name]
            _delete_rows(self._connection, table, [key for _, key in spots])
            _insert_rows(self._connection, table, (self._cache[spot] for spot in spots))
        if self._undo:
            self._connection.execute(insert(undo), self._undo)
        self._changed.clear()
        self._undo.clear()
        self._cache.clear()

    def _load(self, spot: Spot) -> Row | None:
        if spot not in self._cache:
            key = dict(zip(_KEY_NAMES[spot[0]], spot[1], strict=True))
            found = self._connection.execute(_BY_KEY[spot[0]], key).mappings().one_or_none()
            self._cache[spot] = None if found is None else dict(found)
        return self._cache[spot]

    def _set(self, spot: Spot, row: Row | None) -> None:
        self._block.setdefault(spot, self._load(spot))
        self._cache[spot] = row
        self._changed[spot] = None


def revert(connection: Connection, keep_through: int) -> None:
    """Put the projections back to the end of block `keep_through` and drop the undo records used for it."""
    records = select(undo).where(undo.c.block_number > keep_through).order_by(undo.c.block_number.desc())
    oldest: dict[tuple[str, str], str | None] = {}
    for record in connection.execute(records):
        oldest[(record.relation, record.key)] = record.before
    for table in PROJECTIONS:
        images = {key: before for (relation, key), before in oldest.items() if relation == table.name}
        _delete_rows(connection, table, [_decode_key(table, key) for key in images])
        _insert_rows(connection, table, (_decode(table, text) for text in images.values()))
    connection.execute(delete(undo).where(undo.c.block_number > keep_through))


def _key(table: Table, row: Mapping[Any, Any]) -> Key:
    return tuple(row[column.name] for column in table.primary_key.columns)


def _delete_rows(connection: Connection, table: Table, keys: list[Key]) -> None:
    if not keys:
        return
    names = _KEY_NAMES[table.name]
    statement = delete(table).where(_is_key(table))
    connection.execute(statement, [dict(zip(names, key, strict=True)) for key in keys])


def _insert_rows(connection: Connection, table: Table, rows: Iterable[Row | None]) -> None:
    present = [row for row in rows if row is not None]
    if present:
        connection.execute(insert(table), present)


def _undo_record(number: int, spot: Spot, before: Row | None) -> dict[str, Any]:
    table = _TABLES[spot[0]]
    columns = table.primary_key.columns
    key = json.dumps([_encode(column.type, value) for column, value in zip(columns, spot[1], strict=True)])
    image = None if before is None else {c.name: _encode(c.type, before[c.name]) for c in table.columns}
    text = None if image is None else json.dumps(image, separators=(",", ":"))
    return {"block_number": number, "relation": table.name, "key": key, "before": text}


def _encode(kind: Any, value: Any) -> Any:
    return kind.process_bind_param(value, _ANY_DIALECT) if isinstance(kind, TypeDecorator) else value


def _restore(kind: Any, value: Any) -> Any:
    return kind.process_result_value(value, _ANY_DIALECT) if isinstance(kind, TypeDecorator) else value


def _decode_key(table: Table, text: str) -> Key:
    return tuple(_restore(c.type, value) for c, value in zip(table.primary_key.columns, json.loads(text), strict=True))


def _decode(table: Table, text: str | None) -> Row | None:
    if text is None:
        return None
    image = json.loads(text)
    return {column.name: _restore(column.type, image[column.name]) for column in table.columns}
