"""Opening the index's database and turning its failures into one sentence with the remedy."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from derelayl_protocol.limits import MIB

from ..failures import Failure

BUSY_SECONDS: Final = 10
"""How long one process waits for another that writes the same SQLite file."""

QUERY_SECONDS: Final = 5.0
"""The longest a read may take: a stranger's request must not hold a thread. Elsewhere set statement_timeout."""

MAX_CHECKED_BYTES: Final = 256 * MIB
"""A SQLite file up to this size is checked whole when opened (half a second); a larger one shows damage when read."""

_STEPS_BETWEEN_DEADLINE_CHECKS: Final = 10_000


class IndexUnusable(Failure):
    """The database cannot be used; the message is one sentence with the remedy."""


class QueryTooSlow(Exception):
    """A read took longer than QUERY_SECONDS and was ended."""


def open_engine(url_or_path: str | Path) -> Engine:
    """Make an engine for a SQLAlchemy URL or a path of a SQLite file. Raises IndexUnusable."""
    url = _url(url_or_path)
    if url.get_backend_name() != "sqlite":
        try:
            return create_engine(url, pool_pre_ping=True)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            reason = f"no driver for {url.drivername} is installed"
            raise IndexUnusable(f"{reason}; install one, or give a file name for SQLite") from error
    if url.database in (None, "", ":memory:") or "mode=memory" in str(url.database):
        raise IndexUnusable("the lineage index needs a file, because several threads share it; give a path")
    path = Path(str(url.database))
    _check_sqlite_file(path)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One snapshot for several reads. Raises IndexUnusable, QueryTooSlow."""
    with _plain_errors(engine), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction: all of it or nothing. Raises IndexUnusable."""
    with _plain_errors(engine), engine.connect().execution_options(derelayl_write=True) as connection:  # noqa: SIM117
        with connection.begin():
            yield connection


def table_names(connection: Connection) -> set[str]:
    """Names of the tables in the database."""
    return set(inspect(connection).get_table_names())


@contextmanager
def _plain_errors(engine: Engine) -> Iterator[None]:
    place = engine.url.render_as_string(hide_password=True)
    try:
        yield
    except DBAPIError as error:
        if "interrupted" in str(error.orig):
            raise QueryTooSlow(f"the query took longer than {QUERY_SECONDS:g} s") from error
        raise IndexUnusable(f"the lineage index {place} failed ({error.orig}); {_remedy(str(error.orig))}") from error
    except SQLAlchemyError as error:
        raise IndexUnusable(f"the lineage index {place} failed ({error}); check its URL") from error


def _remedy(reason: str) -> str:
    if "locked" in reason or "busy" in reason:
        return "end the other process that writes to it"
    if "full" in reason:
        return "free some disk space"
    if "readonly" in reason or "unable to open" in reason:
        return "make its folder exist and writable for this user"
    return "delete it: it is read again from the chain"


def _url(url_or_path: str | Path) -> URL:
    text = str(url_or_path)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        return make_url(text)
    except ArgumentError as error:
        raise IndexUnusable("the index's URL is not understood; give a file name or postgresql://…") from error


def _check_sqlite_file(path: Path) -> None:
    """Refuse a file that is truncated, or no SQLite database, before anything writes to it."""
    if not path.parent.is_dir():
        raise IndexUnusable(f"the folder of the lineage index {path} does not exist; create it")
    if not path.exists() or not 0 < path.stat().st_size <= MAX_CHECKED_BYTES:
        return
    remedy = "delete it: it is read again from the chain"
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
        try:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise IndexUnusable(f"the lineage index {path} cannot be opened ({error}); {_remedy(str(error))}") from error
    except sqlite3.DatabaseError as error:
        raise IndexUnusable(f"{path} is damaged or not a lineage index ({error}); {remedy}") from error
    if answer != "ok":
        raise IndexUnusable(f"the lineage index {path} is damaged ({answer.splitlines()[0]}); {remedy}")


def _prepare_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late for a snapshot; see _begin_sqlite
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # a power cut may lose the last blocks, which the chain still has
    limits = record.info

    def too_late() -> bool:
        return bool(time.monotonic() > limits.get("deadline", float("inf")))

    connection.set_progress_handler(too_late, _STEPS_BETWEEN_DEADLINE_CHECKS)


def _begin_sqlite(connection: Connection) -> None:
    write = bool(connection.get_execution_options().get("derelayl_write"))
    connection.info["deadline"] = float("inf") if write else time.monotonic() + QUERY_SECONDS
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
