"""What this account has signed, on disk before it is sent: the reason why a crash or a retry repeats no payment.

Each intent has a key, one nonce, and the signed transactions that try it (several, where a stuck one was replaced by
one with higher fees; all share the nonce, so at most one of them is ever mined). A key is taken in the same SQLite
transaction that stores the signed bytes, and only afterwards are they sent. Whoever comes with the same key again gets
that intent.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path

from derelayl_protocol.ledger import commands

from ..ports import LedgerUnavailable

LOCK_WAIT_S = 10.0
"""Seconds that one process waits for another's write; writes take milliseconds."""

LAYOUT_VERSION = 1
"""SQLite's `user_version` of the file."""

UNKNOWN = "unknown"
"""In place of the first block's hash, where an address of the chain does not keep that block: it may be any."""

_LAYOUT = f"""
begin immediate;
create table owner (identity text not null);
create table intent (id integer primary key, key text unique, nonce integer not null unique, state text not null);
create table attempt (
    hash blob primary key, intent integer not null references intent (id), raw blob not null,
    gas integer not null, max_fee text not null, tip text not null, signed_at real not null
);
pragma user_version = {LAYOUT_VERSION};
commit;
"""


class IntentState(StrEnum):
    """`SIGNED` may be on its way, the others are seen on the chain. A failed or displaced intent has lost its key."""

    SIGNED = "signed"
    MINED = "mined"
    FAILED = "failed"  # mined, but the contract refused it: nothing was decided
    DISPLACED = "displaced"  # another program used the nonce: it can never be mined


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A raw transaction and what it offers; fees in wei per gas, `signed_at` in Unix seconds."""

    hash: bytes
    raw: bytes
    gas: int
    max_fee: int
    tip: int
    signed_at: float


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that the account wants done once; the newest attempt comes last."""

    id: int
    nonce: int
    state: IntentState
    attempts: tuple[SignedTransaction, ...]


def command_key(command: commands.Command) -> str:
    """The name of a command's content: SHA-256 in hex, the same in every process and after every restart."""
    return hashlib.sha256(_spelled(command).encode()).hexdigest()


def _spelled(value: object) -> str:
    if is_dataclass(value):
        parts = (f"{field.name}={_spelled(getattr(value, field.name))}" for field in fields(value))
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, tuple):
        return f"[{', '.join(_spelled(item) for item in value)}]"
    return value.hex() if isinstance(value, bytes) else str(value)


def waiting_in(path: Path) -> int:
    """How many of an outbox's transactions are not known to be mined. Changes nothing. Raises LedgerUnavailable."""
    with _explained(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        _check(connection)
        query = "select count(*) from intent where state = ?"
        return int(connection.execute(query, (IntentState.SIGNED,)).fetchone()[0])


class Outbox:
    """The signed transactions of one account on one ledger. Thread safe; several processes may share the file."""

    def __init__(self, path: Path, identity: str) -> None:
        """Open or create the file. `identity` names whose it is: a file of anything else is refused.

        That of a ledger's account is "CHAIN-ID FIRST-BLOCK LEDGER ACCOUNT"; FIRST-BLOCK may be UNKNOWN.
        Raises LedgerUnavailable with the remedy when the file cannot be used.
        """
        self._path = path
        self._lock = threading.Lock()
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=LOCK_WAIT_S)
        try:
            with self._explained():
                self._prepare(identity)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, identity: str) -> None:
        run = self._connection.execute
        run("pragma journal_mode = wal")
        run("pragma synchronous = full")  # a signed transaction must outlive a power failure before it is sent
        run("pragma foreign_keys = on")
        if (
            run("pragma user_version").fetchone()[0] == 0
            and not run("select count(*) from sqlite_master").fetchone()[0]
        ):
            self._connection.executescript(_LAYOUT)
        if run("pragma user_version").fetchone()[0] != LAYOUT_VERSION:
            raise LedgerUnavailable(
                f"{self._path} is not an outbox of this version of derelayl: choose another folder."
            )
        _check(self._connection)
        with self._transaction():
            row = run("select identity from owner").fetchone()
            if row is None:
                run("insert into owner values (?)", (identity,))
            elif row[0] != identity:
                run("update owner set identity = ?", (_both(self._path, row[0], identity),))

    def find(self, key: str) -> Intent | None:
        """The intent that holds the key."""
        with self._lock, self._explained():
            return self._one("select id, nonce, state from intent where key = ?", key)

    def reserve(self, key: str, chain_nonce: int, sign: Callable[[int], SignedTransaction]) -> Intent:
        """Take the key, allocate a nonce, sign and store, in one transaction; the holder's intent if the key is taken.

        `chain_nonce` is the account's count of transactions on the canonical chain: never the pending count, which
        forgets what a node has dropped.
        """
        with self._lock, self._explained(), self._transaction():
            holder = self._one("select id, nonce, state from intent where key = ?", key)
            if holder is not None:
                return holder
            highest = self._connection.execute("select max(nonce) from intent").fetchone()[0]
            nonce = chain_nonce if highest is None else max(chain_nonce, highest + 1)
            signed = sign(nonce)
            cursor = self._connection.execute(
                "insert into intent (key, nonce, state) values (?, ?, ?)", (key, nonce, IntentState.SIGNED)
            )
            intent = int(cursor.lastrowid or 0)
            self._insert_attempt(intent, signed)
            return Intent(intent, nonce, IntentState.SIGNED, (signed,))

    def add_attempt(self, intent: Intent, signed: SignedTransaction) -> None:
        """Store a replacement with the same nonce before it is sent."""
        with self._lock, self._explained(), self._transaction():
            self._insert_attempt(intent.id, signed)

    def mark(self, intent: Intent, state: IntentState) -> None:
        """Record what became of an intent; a failed or displaced one gives its key back."""
        keeps_key = state in (IntentState.SIGNED, IntentState.MINED)
        with self._lock, self._explained(), self._transaction():
            self._connection.execute(
                "update intent set state = ?, key = case when ? then key else null end where id = ?",
                (state, keeps_key, intent.id),
            )

    def release(self, key: str) -> None:
        """Give back a key and those derived from it (`key/…`), whose outcome is told: they may be meant once more."""
        with self._lock, self._explained(), self._transaction():
            self._connection.execute(
                "update intent set key = null where key = ? or substr(key, 1, length(?)) = ?",
                (key, f"{key}/", f"{key}/"),
            )

    def fill(self, nonce: int, signed: SignedTransaction) -> None:
        """Use a nonce for nothing, without a key, where no intent waits with it: later ones wait behind the gap."""
        with self._lock, self._explained(), self._transaction():
            holder = self._one("select id, nonce, state from intent where nonce = ?", nonce)
            if holder is not None and holder.state not in (IntentState.FAILED, IntentState.DISPLACED):
                return
            self._connection.execute(
                "insert into intent (nonce, state) values (?, ?) on conflict (nonce) do update set state = ?",
                (nonce, IntentState.SIGNED, IntentState.SIGNED),
            )
            filler = self._one("select id, nonce, state from intent where nonce = ?", nonce)
            assert filler is not None
            self._insert_attempt(filler.id, signed)

    def unsettled(self, chain_nonce: int) -> tuple[Intent, ...]:
        """Intents that are not known to be on the chain, in the order of nonces.

        Also those that were mined once and whose nonce is free again on the canonical chain: a reorg dropped them.
        """
        with self._lock, self._explained():
            rows = self._connection.execute(
                "select id, nonce, state from intent where state = ? or (state = ? and nonce >= ?) order by nonce",
                (IntentState.SIGNED, IntentState.MINED, chain_nonce),
            ).fetchall()
            return tuple(self._intent(row) for row in rows)

    def get(self, id_: int) -> Intent:
        """An intent by its id."""
        with self._lock, self._explained():
            intent = self._one("select id, nonce, state from intent where id = ?", id_)
        if intent is None:
            raise KeyError(id_)
        return intent

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _one(self, query: str, value: str | int) -> Intent | None:
        row = self._connection.execute(query, (value,)).fetchone()
        return None if row is None else self._intent(row)

    def _intent(self, row: tuple[int, int, str]) -> Intent:
        attempts = self._connection.execute(
            "select hash, raw, gas, max_fee, tip, signed_at from attempt where intent = ? order by rowid", (row[0],)
        )
        return Intent(row[0], row[1], IntentState(row[2]), tuple(_signed(attempt) for attempt in attempts))

    def _insert_attempt(self, intent: int, signed: SignedTransaction) -> None:
        self._connection.execute(
            "insert or ignore into attempt values (?, ?, ?, ?, ?, ?, ?)",  # another process may have signed the same
            (signed.hash, intent, signed.raw, signed.gas, str(signed.max_fee), str(signed.tip), signed.signed_at),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        try:
            yield
            self._connection.execute("commit")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise

    def _explained(self) -> AbstractContextManager[None]:
        return _explained(self._path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise LedgerUnavailable(
            f"The outbox {path} cannot be used ({error}): check the disk and the file, but do not delete it; where it "
            'is damaged, docs/NODE.md tells the way out, under "A damaged outbox".'
        ) from error


def _both(path: Path, kept: str, given: str) -> str:
    """The identity of which both are, with all that either knows. Raises LedgerUnavailable, saying what differs."""
    one, other = kept.split(" "), given.split(" ")
    if not len(one) == len(other) == 4:
        raise LedgerUnavailable(f"{path} belongs to something else ({kept}): choose another folder.")
    (chain, origin, ledger, account), (_, given_origin, _, given_account) = one, other
    if one[0::2] != other[0::2]:
        raise LedgerUnavailable(
            f"{path} belongs to another ledger ({ledger} on chain {chain}): give each network its own data folder."
        )
    if account != given_account:
        raise LedgerUnavailable(
            f"{path} belongs to another account ({account}): put its key back, or give each account its own data "
            "folder."
        )
    if UNKNOWN not in (origin, given_origin) and origin != given_origin:
        raise LedgerUnavailable(
            f"{path} belongs to another chain of the same id, which began with block {origin}: check the chain's URL, "
            "or, where the chain was made anew, choose another folder."
        )
    return given if origin == UNKNOWN else kept


def _check(connection: sqlite3.Connection) -> None:
    """Notice a damaged page now, and not when what it held is needed. Raises sqlite3.DatabaseError."""
    found = connection.execute("pragma quick_check (1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _signed(row: tuple[bytes, bytes, int, str, str, float]) -> SignedTransaction:
    return SignedTransaction(row[0], row[1], row[2], int(row[3]), int(row[4]), row[5])
