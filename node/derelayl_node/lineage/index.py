"""The lineage index: a projection of the ledger's event log that can always be computed again from the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select

from derelayl_protocol.checkpoint.ancestry import Edge, lineage_digest
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.experience import Past
from derelayl_protocol.types import Address, ModelId, Root, Timestamp

from ..ports import KNOWN_BLOCKS, BlockRef, LedgerUnavailable, LogBatch, LogEntry
from . import queries
from .database import IndexUnusable, nobody_left, open_engine, reading, table_names, writing
from .event_json import event_from_json, event_to_json
from .past import past
from .projection import Projector
from .records import Head
from .rows import Rows, revert
from .tables import PREFIX, PROJECTIONS, SCHEMA_VERSION, blocks, events, meta, metadata, undo

REPLAY_EVENTS: Final = 2_000
"""Stored events that a replay holds in memory at once."""

MAX_ENTRIES: Final = 2_000
"""Entries that `entries` gives: far more than one look's worth; whoever is further behind has to look for himself."""


class LineageIndex:
    """The event log in a database, with projections for every question the API answers.

    Thread-safe: each call uses a connection of its own. The methods are synchronous; call them in a thread from trio.
    """

    def __init__(self, place: str | Path) -> None:
        """Open or create, by the name of a file or a URL; an index of another schema version is dropped.

        Raises IndexUnusable.
        """
        self._engine = open_engine(place)
        self._newest: BlockRef | None = None
        self.changes = 0
        """Grows when what the index holds changes; where another process writes to it, once `known_blocks` tells."""
        with writing(self._engine) as connection:
            _create(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def reading(self, given_up: Callable[[], bool] = nobody_left) -> AbstractContextManager[Connection]:
        """One consistent snapshot for the functions in `queries`. Raises IndexUnusable, QueryTooSlow, GivenUp."""
        return reading(self._engine, given_up)

    def known_blocks(self) -> tuple[BlockRef, ...]:
        """The first block and the newest KNOWN_BLOCKS, in ascending order: what `Ledger.logs` is asked with.

        A reorganisation within these is undone in place, a deeper one by a replay.
        """
        with self.reading() as connection:
            rows = connection.execute(select(blocks).order_by(blocks.c.number)).all()
        known = tuple(BlockRef(row.number, row.hash, Timestamp(row.time)) for row in rows)
        if known[-1:] != (self._newest,):
            self._newest = known[-1] if known else None
            self.changes += 1
        return known

    def head(self) -> Head:
        """How far the index has read."""
        with self.reading() as connection:
            return queries.head(connection)

    def apply(self, batch: LogBatch) -> None:
        """Drop what a reorganisation undid, add what is new, in one transaction; the same batch twice changes nothing.

        Raises LedgerUnavailable when the batch contradicts the log (nothing is changed), IndexUnusable.
        """
        try:
            with writing(self._engine) as connection:
                _drop_above(connection, batch.keep_through)
                _add(connection, batch)
                _trim(connection)
        finally:
            self.changes += 1

    def rebuild(self) -> None:
        """Compute every projection again from the stored events, in one transaction. Raises IndexUnusable."""
        try:
            with writing(self._engine) as connection:
                _replay(connection)
        finally:
            self.changes += 1

    def edges(self, model: ModelId) -> tuple[Edge, ...]:
        """Return every submitted leg of a model, in the order of submission; empty for an unknown model."""
        with self.reading() as connection:
            return queries.edges(connection, model)

    def lineage_digest(self, model: ModelId) -> bytes:
        """Name a model's lineage by 32 bytes: two indexes that have read the same blocks agree on it."""
        return lineage_digest(self.edges(model))

    def waiting_royalties(self, model: ModelId, account: Address) -> tuple[Root, ...]:
        """Those of the account's checkpoints where royalties wait."""
        with self.reading() as connection:
            return tuple(queries.waiting_royalties(connection, model, account))

    def past(self, model: ModelId, account: Address, before: int) -> Past | None:
        """What the account knows that bids in round `before`; None while that round's beginning is not read."""
        with self.reading() as connection:
            return past(connection, model, account, before)

    def event(self, block_hash: bytes, transaction: bytes, log_index: int) -> Event | None:
        """Look up a stored event by its place on the chain."""
        with self.reading() as connection:
            row = _stored(connection, block_hash, transaction, log_index)
        return None if row is None else event_from_json(row.name, row.payload)

    def entries(self, above: int, through: int) -> tuple[LogEntry, ...]:
        """The first MAX_ENTRIES of the log in the blocks of these numbers, in the order of the chain."""
        between = (events.c.block_number > above) & (events.c.block_number <= through)
        with self.reading() as connection:
            rows = connection.execute(select(events).where(between).order_by(events.c.seq).limit(MAX_ENTRIES)).all()
        return tuple(_entry(row) for row in rows)

    def log(self) -> Iterator[Event]:
        """Walk through every stored event in the order of the chain, a piece at a time."""
        after = 0
        while True:
            with self.reading() as connection:
                page = queries.stored_events(connection, after, REPLAY_EVENTS)
            if not page:
                return
            yield from (event for _, event in page)
            after = page[-1][0]


def _create(connection: Connection) -> None:
    present = table_names(connection)
    if meta.name in present:
        version = connection.scalar(select(meta.c.value).where(meta.c.name == "schema version"))
        if version == str(SCHEMA_VERSION):
            return
        _drop_own_tables(connection, present)
    elif present and connection.dialect.name == "sqlite":
        place = connection.engine.url.database
        raise IndexUnusable(f"{place} is a database of another program; give the lineage index a file of its own")
    metadata.create_all(connection)
    connection.execute(insert(meta), [{"name": "schema version", "value": str(SCHEMA_VERSION)}])


def _drop_own_tables(connection: Connection, present: set[str]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    for name in sorted(present):
        if name.startswith(PREFIX):
            connection.exec_driver_sql(f"DROP TABLE {quote(name)}")


def _drop_above(connection: Connection, keep_through: int) -> None:
    newest = _newest_block(connection)
    if newest is None or newest <= keep_through:
        return
    connection.execute(delete(events).where(events.c.block_number > keep_through))
    connection.execute(delete(blocks).where(blocks.c.number > keep_through))
    if keep_through >= _undo_floor(connection):
        revert(connection, keep_through)
    else:
        _replay(connection)


def _add(connection: Connection, batch: LogBatch) -> None:
    fresh = _new_entries(connection, batch)
    newest = _newest_block(connection)
    order = [entry.block.number for entry in fresh]
    if order != sorted(order) or (fresh and newest is not None and order[0] <= newest):
        raise LedgerUnavailable("the chain's event log is out of order: it adds to blocks that were already read")
    _add_blocks(connection, batch.blocks)
    seq = (connection.scalar(select(func.max(events.c.seq))) or 0) + 1
    if fresh:
        connection.execute(insert(events), [_event_row(seq + i, entry) for i, entry in enumerate(fresh)])
    items = ((seq + i, entry.block.number, entry.event) for i, entry in enumerate(fresh))
    _project(connection, items, _ring_floor(connection))


def _add_blocks(connection: Connection, new: tuple[BlockRef, ...]) -> None:
    known = {row.number: row.hash for row in connection.execute(select(blocks.c.number, blocks.c.hash))}
    if any(known.get(block.number, block.hash) != block.hash for block in new):
        raise LedgerUnavailable("the chain's event log replaces a block without undoing it")
    rows = [{"number": b.number, "hash": b.hash, "time": b.time} for b in new if b.number not in known]
    if rows:
        connection.execute(insert(blocks), rows)


def _new_entries(connection: Connection, batch: LogBatch) -> list[LogEntry]:
    newest = _newest_block(connection)
    fresh = []
    for entry in batch.entries:
        old = newest is not None and entry.block.number <= newest
        if not old or _stored(connection, entry.block.hash, entry.transaction, entry.index) is None:
            fresh.append(entry)
    return fresh


def _project(connection: Connection, items: Iterator[tuple[int, int, Event]], undo_above: int) -> None:
    """Apply events in order; blocks above `undo_above` leave undo records."""
    rows = Rows(connection)
    projector = Projector(rows)
    block: int | None = None
    for seq, number, event in items:
        if block is not None and number != block:
            projector.end_block()
            rows.end_block(block, keep_undo=block > undo_above)
        block = number
        projector.apply(seq, event)
    if block is not None:
        projector.end_block()
        rows.end_block(block, keep_undo=block > undo_above)
    rows.flush()


def _replay(connection: Connection) -> None:
    for table in (*PROJECTIONS, undo):
        connection.execute(delete(table))
    floor = _ring_floor(connection)
    done = 0
    while True:
        page = _whole_blocks_after(connection, done)
        if not page:
            break
        _project(connection, ((r.seq, r.block_number, event_from_json(r.name, r.payload)) for r in page), floor)
        done = page[-1].seq
    _set_undo_floor(connection, floor)


def _whole_blocks_after(connection: Connection, done: int) -> list[Row[Any]]:
    """Read the next stored events, never splitting a block, whose undo records must be complete."""
    following = select(events).where(events.c.seq > done).order_by(events.c.seq)
    page = list(connection.execute(following.limit(REPLAY_EVENTS)))
    if len(page) == REPLAY_EVENTS:
        last = page[-1]
        rest = following.where(events.c.seq > last.seq, events.c.block_number == last.block_number)
        page.extend(connection.execute(rest))
    return page


def _trim(connection: Connection) -> None:
    """Forget blocks beyond the ring but for the first, by which the chain is known, and their undo records."""
    numbers = list(connection.scalars(select(blocks.c.number).order_by(blocks.c.number.desc()).limit(KNOWN_BLOCKS)))
    if len(numbers) < KNOWN_BLOCKS:
        return
    floor = numbers[-1] - 1
    first = connection.scalar(select(func.min(blocks.c.number)))
    connection.execute(delete(blocks).where(blocks.c.number <= floor, blocks.c.number > first))
    connection.execute(delete(undo).where(undo.c.block_number <= floor))
    _set_undo_floor(connection, max(floor, _undo_floor(connection)))


def _ring_floor(connection: Connection) -> int:
    """Give the block below which no undo records are needed: the newest KNOWN_BLOCKS blocks lie above it."""
    newest = select(blocks.c.number).order_by(blocks.c.number.desc()).offset(KNOWN_BLOCKS - 1).limit(1)
    number = connection.scalar(newest)
    return -1 if number is None else number - 1


def _undo_floor(connection: Connection) -> int:
    value = connection.scalar(select(meta.c.value).where(meta.c.name == "undo floor"))
    return -1 if value is None else int(value)


def _set_undo_floor(connection: Connection, floor: int) -> None:
    connection.execute(delete(meta).where(meta.c.name == "undo floor"))
    connection.execute(insert(meta), [{"name": "undo floor", "value": str(floor)}])


def _newest_block(connection: Connection) -> int | None:
    with_events = connection.scalar(select(func.max(events.c.block_number)))
    known = connection.scalar(select(func.max(blocks.c.number)))
    return max((n for n in (with_events, known) if n is not None), default=None)


def _stored(connection: Connection, block_hash: bytes, transaction: bytes, log_index: int) -> Row[Any] | None:
    place = (events.c.block_hash == block_hash) & (events.c.transaction == transaction)
    return connection.execute(select(events).where(place, events.c.log_index == log_index)).one_or_none()


def _entry(row: Row[Any]) -> LogEntry:
    block = BlockRef(row.block_number, row.block_hash, Timestamp(row.block_time))
    return LogEntry(event_from_json(row.name, row.payload), block, row.transaction, row.log_index)


def _event_row(seq: int, entry: LogEntry) -> dict[str, Any]:
    return {
        "seq": seq,
        "block_number": entry.block.number,
        "block_hash": entry.block.hash,
        "block_time": entry.block.time,
        "transaction": entry.transaction,
        "log_index": entry.index,
        "name": type(entry.event).__name__,
        "model": getattr(entry.event, "model", None),
        "round": getattr(entry.event, "round", None),
        "payload": event_to_json(entry.event),
    }
