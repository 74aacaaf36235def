"""Tables of the lineage index: the raw events, which are the truth, and the projections computed from them.

Portable SQL only: SQLite by default, PostgreSQL by URL. Amounts are decimal text, because wei exceed 64 bits; hashes,
roots and addresses are lower-case hex text. Every table's name starts with ``lineage_``.
"""

from __future__ import annotations

from typing import Any, Final, get_type_hints

from sqlalchemy import BigInteger, Column, Dialect, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator

from derelayl_protocol.spelling import from_hex, to_hex
from derelayl_protocol.types import ADDRESS_BYTES, HASH_BYTES, Wei

from . import records

SCHEMA_VERSION: Final = 4
"""Raise it with every change of a table or of a projection's meaning: an index of another version is dropped and read
again from the chain. A projection therefore needs no migrations."""

PREFIX: Final = "lineage_"


INT_64: Final = BigInteger().with_variant(Integer, "sqlite")
"""SQLite's INTEGER has 64 bits too, and only by that name is a primary key the row's own number."""


class HexBytes(TypeDecorator[bytes]):
    """Bytes in Python, ``0x`` and lower-case hex in the database, so that a person can read and join them."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> str | None:
        return None if value is None else to_hex(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else from_hex(value)


class WeiText(TypeDecorator[int]):
    """An integer of any size in Python, decimal text in the database; never compare or add it in SQL."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


def root(name: str, **options: Any) -> Column[bytes]:
    """Declare a column of 32 bytes."""
    return Column(name, HexBytes(2 + 2 * HASH_BYTES), **{"nullable": False} | options)


def account(name: str, **options: Any) -> Column[str]:
    """Declare a column for a ledger account."""
    return Column(name, String(2 + 2 * ADDRESS_BYTES), **{"nullable": False} | options)


def wei(name: str) -> Column[int]:
    """Declare an amount; 80 digits hold every 256-bit number and its sign."""
    return Column(name, WeiText(80), nullable=False)


def number(name: str, **options: Any) -> Column[int]:
    """Declare a signed 64-bit integer."""
    return Column(name, INT_64, **{"nullable": False} | options)


def totals(record: type) -> list[Column[int]]:
    """Declare a column for each number of a record: amounts as such, whatever else it counts as an integer."""
    numbers = {name: kind for name, kind in get_type_hints(record).items() if name not in ("model", "account")}
    return [wei(name) if kind is Wei else number(name) for name, kind in numbers.items()]


metadata = MetaData()

meta = Table(
    "lineage_meta",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(256), nullable=False),
)

blocks = Table(
    "lineage_blocks",
    metadata,
    number("number", primary_key=True, autoincrement=False),
    root("hash"),
    number("time"),
)

events = Table(
    "lineage_events",
    metadata,
    number("seq", primary_key=True, autoincrement=False),
    number("block_number"),
    root("block_hash"),
    number("block_time"),
    root("transaction"),
    number("log_index"),
    Column("name", String(32), nullable=False),
    root("model", nullable=True),
    number("round", nullable=True),
    Column("payload", Text, nullable=False),
    Index("lineage_events_identity", "block_hash", "transaction", "log_index", unique=True),
    Index("lineage_events_block", "block_number"),
    Index("lineage_events_round", "model", "round", "seq"),
)

undo = Table(
    "lineage_undo",
    metadata,
    number("block_number", primary_key=True, autoincrement=False),
    Column("relation", String(32), primary_key=True),
    Column("key", String(256), primary_key=True),
    Column("before", Text),
)

models = Table(
    "lineage_models",
    metadata,
    root("model", primary_key=True),
    number("seq"),
    account("creator"),
    root("genesis"),
    Column("rules", Text, nullable=False),
    number("round"),
    Column("phase", Integer, nullable=False),
    number("deadline"),
    number("settled_rounds"),
    number("voided_rounds"),
    number("submitted"),
    number("selected"),
    wei("budget"),
    wei("carry"),
    Index("lineage_models_seq", "seq"),
)

rounds = Table(
    "lineage_rounds",
    metadata,
    root("model", primary_key=True),
    number("number", primary_key=True, autoincrement=False),
    Column("phase", Integer, nullable=False),
    number("deadline"),
    Column("outcome", String(16), nullable=False),
    Column("void_reason", Integer),
    number("bids"),
    number("legs"),
    number("submitted"),
    number("selected"),
    wei("pot"),
    wei("emission"),
    wei("carry"),
    wei("forfeited"),
    wei("slashed"),
    Column("validators", Text, nullable=False),
    Column("weights", Text, nullable=False),
    number("started_event"),
    number("ended_event", nullable=True),
)

bids = Table(
    "lineage_bids",
    metadata,
    root("model", primary_key=True),
    number("round", primary_key=True, autoincrement=False),
    account("trainer", primary_key=True),
    number("segment"),
    wei("amount"),
)

legs = Table(
    "lineage_legs",
    metadata,
    root("model", primary_key=True),
    number("round", primary_key=True, autoincrement=False),
    number("leg", primary_key=True, autoincrement=False),
    account("trainer"),
    root("parent"),
    number("segment"),
    root("child", nullable=True),
    Column("status", String(16), nullable=False),
    number("score", nullable=True),
    wei("bid"),
    wei("reward"),
    wei("royalty"),
    wei("bid_returned"),
    wei("forfeited"),
    number("leased_event"),
    number("submitted_event", nullable=True),
    number("settled_event", nullable=True),
    Index("lineage_legs_trainer", "trainer", "leased_event"),
)

checkpoints = Table(
    "lineage_checkpoints",
    metadata,
    root("model", primary_key=True),
    root("root", primary_key=True),
    number("seq"),
    Column("status", String(16), nullable=False),
    root("parent"),
    account("owner"),
    number("round"),
    number("leg", nullable=True),
    number("segment"),
    number("depth"),
    number("gain", nullable=True),
    number("score", nullable=True),
    wei("reward"),
    wei("royalty"),
    wei("pending"),
    wei("collected"),
    number("submitted_event"),
    number("settled_event", nullable=True),
    Index("lineage_checkpoints_root", "root"),
    Index("lineage_checkpoints_order", "model", "seq"),
    Index("lineage_checkpoints_parent", "model", "parent"),
    Index("lineage_checkpoints_owner", "owner", "seq"),
)

tips = Table(
    "lineage_tips",
    metadata,
    root("model", primary_key=True),
    root("root", primary_key=True),
    number("position"),
    number("since_round"),
)

accounts = Table("lineage_accounts", metadata, account("account", primary_key=True), *totals(records.Account))

lines = Table(
    "lineage_lines",
    metadata,
    number("seq", primary_key=True, autoincrement=False),
    number("ordinal", primary_key=True, autoincrement=False),
    account("account", nullable=True),
    root("model", nullable=True),
    number("round", nullable=True),
    wei("amount"),
    wei("balance"),
    Column("kind", String(32), nullable=False),
    Column("sentence", Text, nullable=False),
    Index("lineage_lines_account", "account", "seq"),
    Index("lineage_lines_round", "model", "round", "seq"),
)

validators = Table(
    "lineage_validators",
    metadata,
    root("model", primary_key=True),
    account("account", primary_key=True),
    *totals(records.Validator),
    Index("lineage_validators_account", "account"),
)

PROJECTIONS: Final = (models, rounds, bids, legs, checkpoints, tips, accounts, lines, validators)
"""Tables that can be emptied and computed again from `events`."""
