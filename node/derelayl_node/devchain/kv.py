"""The embedded chain's key/value store: one SQLite file, one atomic write for each block, one process at a time."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eth.db.backends.base import BaseDB

from ..failures import Failure

APPLICATION_ID = 0x44524C59
"""SQLite's `application_id` of our files ("DRLY"): tells a chain file from any other database."""

FORMAT_VERSION = 1
"""SQLite's `user_version`; changes when the layout of the file does."""

CACHED_BYTES = 4 * 2**20
"""Of keys and values kept in memory, with ENTRY_BYTES for each: some 10,000 trie nodes. A devnet's ledger finds 99 % of
what it looks for among 1,000, and each block brings twenty that are hardly read again."""

ENTRY_BYTES = 170
"""Of memory that an entry of the cache takes beside its key's and its value's bytes, as measured with CPython 3.11."""

_LAYOUT = """
create table kv (key blob primary key, value blob not null) without rowid;
create table pool (hash blob primary key, raw blob not null);
create table meta (name text primary key, value text not null);
"""


class ChainFileError(Failure):
    """The chain's file cannot be used; the message is one sentence that names it and the remedy."""


class SqliteKV(BaseDB):
    """A py-evm key/value store whose writes reach the disk only in `flush`, all together or not at all.

    Reads go through a bounded cache to the file, so that opening costs nothing and memory does not grow with the chain.
    `synchronous=FULL` makes every flush survive a power failure, not only a crash: what was acknowledged stays, for the
    price of one fsync for each block. The exclusive lock is SQLite's own: the kernel drops it when the process dies.
    Not thread safe: the caller holds one lock around the chain.
    """

    def __init__(self, path: Path) -> None:
        """Open or create `path`. Raises ChainFileError if it is in use, damaged, or not a chain."""
        self.path = path
        self._dirty: dict[bytes, bytes | None] = {}
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._cached_bytes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise ChainFileError(
                f"Cannot open the chain file {path} ({error}): check the folder's permissions."
            ) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise _explained(path, error) from error
        except ChainFileError:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        run("pragma locking_mode = exclusive")
        application = run("pragma application_id").fetchone()[0]
        tables = run("select count(*) from sqlite_master").fetchone()[0]
        if application != APPLICATION_ID and tables:
            raise ChainFileError(f"{self.path} is a database of another program: choose another path for the chain.")
        run("pragma journal_mode = wal")
        run("pragma synchronous = full")
        run("begin immediate")
        run("commit")
        if not tables:
            self._connection.executescript(
                f"begin immediate; pragma application_id = {APPLICATION_ID};"
                f"pragma user_version = {FORMAT_VERSION}; {_LAYOUT} commit;"
            )
        if run("pragma user_version").fetchone()[0] != FORMAT_VERSION:
            raise ChainFileError(
                f"{self.path} was written by another version of derelayl: start a new chain elsewhere."
            )
        if run("pragma quick_check(1)").fetchone()[0] != "ok":
            raise ChainFileError(_damaged(self.path))

    # --- py-evm's interface -----------------------------------------------------------------------------------------

    def __getitem__(self, key: bytes) -> bytes:
        value = self._dirty[key] if key in self._dirty else self._cached(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._dirty[key] = value

    def __delitem__(self, key: bytes) -> None:
        self._dirty[key] = None

    def _exists(self, key: bytes) -> bool:
        return self._dirty[key] is not None if key in self._dirty else self._cached(key) is not None

    def _cached(self, key: bytes) -> bytes | None:
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        row = self._connection.execute("select value from kv where key = ?", (key,)).fetchone()
        if row is None:
            return None
        self._remember(key, row[0])
        return bytes(row[0])

    def _remember(self, key: bytes, value: bytes) -> None:
        self._forget(key)
        self._cache[key] = value
        self._cached_bytes += _size(key, value)
        while self._cached_bytes > CACHED_BYTES:
            self._forget(next(iter(self._cache)))

    def _forget(self, key: bytes) -> None:
        value = self._cache.pop(key, None)
        if value is not None:
            self._cached_bytes -= _size(key, value)

    # --- durability -------------------------------------------------------------------------------------------------

    def flush(self, mined: tuple[bytes, ...] = ()) -> None:
        """Write everything since the last flush and take the transactions `mined` out of the pool, atomically."""
        written = [(key, value) for key, value in self._dirty.items() if value is not None]
        deleted = [(key,) for key, value in self._dirty.items() if value is None]
        with _transaction(self.path, self._connection):
            self._connection.executemany("insert or replace into kv values (?, ?)", written)
            self._connection.executemany("delete from kv where key = ?", deleted)
            self._connection.executemany("delete from pool where hash = ?", [(hash_,) for hash_ in mined])
        self._dirty.clear()
        for key, value in written:
            self._remember(key, value)
        for (key,) in deleted:
            self._forget(key)

    def discard(self) -> None:
        """Forget everything since the last flush: a block that could not be finished leaves no trace."""
        self._dirty.clear()

    def pool_add(self, hash_: bytes, raw: bytes) -> None:
        """Keep an acknowledged transaction that no block holds yet."""
        with _transaction(self.path, self._connection):
            self._connection.execute("insert or ignore into pool values (?, ?)", (hash_, raw))

    def pool_drop(self, hash_: bytes) -> None:
        """Forget a transaction that can never be mined any more."""
        with _transaction(self.path, self._connection):
            self._connection.execute("delete from pool where hash = ?", (hash_,))

    def pool(self) -> list[bytes]:
        """The raw transactions that wait for a block."""
        return [bytes(row[0]) for row in self._connection.execute("select raw from pool")]

    def meta(self, name: str) -> str | None:
        """A remembered setting of this chain."""
        row = self._connection.execute("select value from meta where name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        """Remember a setting of this chain."""
        with _transaction(self.path, self._connection):
            self._connection.execute("insert or replace into meta values (?, ?)", (name, value))

    def close(self) -> None:
        """Close the file and release the lock."""
        self._connection.close()


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_BYTES


@contextmanager
def _transaction(path: Path, connection: sqlite3.Connection) -> Iterator[None]:
    """One SQLite transaction; an error rolls it back, SQLite's own errors come out as ChainFileError."""
    try:
        connection.execute("begin immediate")
        try:
            yield
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
    except sqlite3.Error as error:
        raise ChainFileError(f"Cannot write the chain file {path} ({error}): check the free disk space.") from error


def _explained(path: Path, error: sqlite3.Error) -> ChainFileError:
    text = str(error)
    if "locked" in text:
        return ChainFileError(f"Another process uses the chain file {path}: stop it or choose another path.")
    if "not a database" in text:
        return ChainFileError(f"{path} is not a chain file: choose another path for the chain.")
    if "readonly" in text or "unable to open" in text:
        return ChainFileError(f"Cannot write the chain file {path} ({text}): check its permissions.")
    return ChainFileError(_damaged(path))


def _damaged(path: Path) -> str:
    return f"The chain file {path} is damaged: restore it from a copy, or delete it to start a new chain."
