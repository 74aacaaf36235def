"""The index's database: a SQLite file or, by URL, PostgreSQL. Its failures become one sentence with the remedy."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from derelayl_protocol.limits import MIB

from ..failures import Failure

BUSY_SECONDS: Final = 10
"""How long one process waits for another that writes to the same index."""

QUERY_SECONDS: Final = 5.0
"""The longest a read may take: a stranger's request must not hold a thread. On PostgreSQL, the longest statement."""

CONNECTIONS: Final = 16
"""Connections to PostgreSQL at most: more than the threads that read, and the one that writes."""

SILENT_SECONDS: Final = 60
"""A PostgreSQL server that says nothing for this long is taken for gone; no statement of ours takes half of it."""

MAX_CHECKED_BYTES: Final = 256 * MIB
"""A SQLite file up to this size is checked whole when opened (half a second); a larger one shows damage when read."""

DRIVER: Final = "pg8000"
"""Of PostgreSQL; plain Python, an extra of the package."""

_SCHEMES: Final = {"sqlite": "sqlite"} | dict.fromkeys(
    ("postgresql", "postgres", f"postgresql+{DRIVER}"), f"postgresql+{DRIVER}"
)
_FORMS: Final = "give the name of a SQLite file, or postgresql://USER:PASSWORD@HOST/DATABASE"

_STEPS_BETWEEN_DEADLINE_CHECKS: Final = 10_000

WRITERS_LOCK: Final = 0x6465_7265_6C61_796C
"""Number of the advisory lock that makes writers of one PostgreSQL database wait for each other."""


class IndexUnusable(Failure):
    """The database cannot be used; the message is one sentence with the remedy."""


class QueryTooSlow(IndexUnusable):
    """A read took longer than QUERY_SECONDS and was ended."""


class GivenUp(Exception):
    """Nobody waits for the read any more, so it was ended."""


def nobody_left() -> bool:
    """Tell that somebody waits for the read, as far as we know."""
    return False


def index_file(place: str | Path) -> Path | None:
    """The file that the index is kept in, None if it is no file. Raises IndexUnusable for what names no database."""
    url = _url(place)
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def open_engine(place: str | Path) -> Engine:
    """Make an engine for the name of a SQLite file or a URL. Raises IndexUnusable."""
    path = index_file(place)
    if path is None:
        return _open_postgresql(_url(place))
    if str(path) in ("None", ".", ":memory:") or "mode=memory" in str(path):
        raise IndexUnusable("the lineage index needs a file, because several threads share it; give a path")
    _check_sqlite_file(path)
    engine = create_engine(_url(place), connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: Engine, given_up: Callable[[], bool] = nobody_left) -> Iterator[Connection]:
    """One snapshot for several reads. Raises IndexUnusable, QueryTooSlow; GivenUp once `given_up` says so."""
    with _plain_errors(engine, given_up), engine.connect() as connection:
        connection.info["given up"] = given_up
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction: all of it or nothing. Raises IndexUnusable."""
    with _plain_errors(engine), engine.connect().execution_options(derelayl_write=True) as connection:
        connection.info["given up"] = nobody_left
        with connection.begin():
            yield connection


def fetch(connection: Connection, statement: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
    """Rows as the driver gives them: SQLAlchemy's books about a result take longer than a short question.

    For use inside `reading` alone, which turns the driver's errors into ours. Raises GivenUp.
    """
    if connection.info["given up"]():
        raise GivenUp
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, values)
        return cursor.fetchall()
    finally:
        cursor.close()


def table_names(connection: Connection) -> set[str]:
    """Names of the tables in the database."""
    return set(inspect(connection).get_table_names())


@contextmanager
def _plain_errors(engine: Engine, given_up: Callable[[], bool] = nobody_left) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
        place = engine.url.render_as_string(hide_password=True)
        code, reason = _said(error.orig if isinstance(error, DBAPIError) else error)
        if code == "57014" or "interrupted" in reason:
            if given_up():
                raise GivenUp from None
            raise QueryTooSlow(f"the query took longer than {QUERY_SECONDS:g} s") from error
        raise IndexUnusable(f"the lineage index {place} failed ({reason}); {_remedy(code, reason)}") from error
    except SQLAlchemyError as error:
        place = engine.url.render_as_string(hide_password=True)
        raise IndexUnusable(f"the lineage index {place} failed ({error}); {_FORMS}") from error


def _said(error: BaseException | None) -> tuple[str, str]:
    """What a driver's error says: PostgreSQL's code of it, empty if it has none, and a sentence."""
    fields = error.args[0] if error is not None and error.args else ""
    if isinstance(fields, dict):
        return str(fields.get("C", "")), str(fields.get("M", ""))
    return "", str(fields).rstrip(".")


def _remedy(code: str, reason: str) -> str:
    if code:
        return next(remedy for codes, remedy in _REMEDIES if code.startswith(codes))
    if "connection" in reason or "network error" in reason:
        return "see that PostgreSQL runs there"
    if "locked" in reason or "busy" in reason:
        return "end the other process that writes to it"
    if "full" in reason:
        return "free some disk space"
    if "readonly" in reason or "unable to open" in reason:
        return "make its folder exist and writable for this user"
    return "delete it: it is read again from the chain"


_REMEDIES: Final = (
    (("55P03",), "end the other process that writes to it"),
    (("53",), "give PostgreSQL more room: disk, memory or connections"),
    (("57P", "08"), "see that PostgreSQL runs there"),
    (("28",), "check user and password in its URL"),
    (("3D",), "create the database, or correct its name in the URL"),
    (("42501", "25006"), "let the user in its URL create and change tables"),
    (("",), "drop its tables, whose names begin with lineage_: they are read again from the chain"),
)
"""By the beginning of PostgreSQL's error code."""


def _url(place: str | Path) -> URL:
    text = str(place)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", text) if isinstance(place, str) else None
    if scheme is None and "://" not in text:
        return URL.create("sqlite", database=text)
    driver = None if scheme is None else _SCHEMES.get(scheme[1].lower())
    if driver is None:
        raise IndexUnusable(f"the lineage index is kept by SQLite or PostgreSQL alone; {_FORMS}")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the message may hold the password
        raise IndexUnusable(f"the lineage index's URL is not understood; {_FORMS}") from None
    return url.set(drivername=driver)


def _open_postgresql(url: URL) -> Engine:
    if find_spec(DRIVER) is None:
        raise IndexUnusable(f"PostgreSQL needs its driver {DRIVER}: pip install 'derelayl[postgresql]'")
    if not url.username or not url.database:
        raise IndexUnusable(f"the lineage index's URL names no user or no database; {_FORMS}")
    for_reading = {
        "default_transaction_isolation": "repeatable read",
        "statement_timeout": str(round(QUERY_SECONDS * 1_000)),
    }
    engine = create_engine(
        url,
        pool_pre_ping=True,  # the server may have restarted
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": SILENT_SECONDS, "application_name": "derelayl", "startup_params": for_reading},
    )
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("derelayl_write"):
        # Not a snapshot: it would be taken before the lock is had, and miss what the other writer did.
        connection.exec_driver_sql(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; "
            f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'; SELECT pg_advisory_xact_lock({WRITERS_LOCK})"
        )


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
        advice = _remedy("", str(error))
        raise IndexUnusable(f"the lineage index {path} cannot be opened ({error}); {advice}") from error
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
        late = time.monotonic() > limits.get("deadline", float("inf"))
        return bool(late or limits.get("given up", nobody_left)())

    connection.set_progress_handler(too_late, _STEPS_BETWEEN_DEADLINE_CHECKS)


def _begin_sqlite(connection: Connection) -> None:
    write = bool(connection.get_execution_options().get("derelayl_write"))
    connection.info["deadline"] = float("inf") if write else time.monotonic() + QUERY_SECONDS
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
