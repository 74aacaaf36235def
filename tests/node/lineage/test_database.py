"""What names an index, and what goes wrong with the database behind it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pg8000.dbapi  # type: ignore[import-untyped]
import pytest

from derelayl_node.lineage import database
from derelayl_node.lineage.database import GivenUp, IndexUnusable, QueryTooSlow, fetch, index_file
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.testing.history import sample

from ...postgresql import Server


@pytest.fixture
def url(postgresql: Server) -> Iterator[str]:
    with postgresql.database() as made:
        yield made


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "path"),
    [("lineage.db", "lineage.db"), ("a:b", "a:b"), ("sqlite:////tmp/x.db", "/tmp/x.db"), (Path("http:/x"), "http:/x")],  # noqa: S108
)
def test_a_name_without_a_scheme_is_a_file(place: str | Path, path: str) -> None:
    assert index_file(place) == Path(path)


@pytest.mark.parametrize(
    "place", ["postgresql://me@here/db", "postgres://me@here/db", "PostgreSQL+pg8000://me@here/db"]
)
def test_every_spelling_of_postgresql_is_no_file(place: str) -> None:
    assert index_file(place) is None


@pytest.mark.parametrize(
    "place", ["mysql://me@here/db", "postgresql+psycopg2://me@here/db", "postgresq://x", "http://x"]
)
def test_another_scheme_is_refused_and_makes_no_file(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        IndexUnusable, match="by SQLite or PostgreSQL alone; give the name of a SQLite file, or postgres"
    ):
        LineageIndex(place)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "place", ["postgresql://here/db", "postgresql://me@here", "postgresql:/me:secret@here:port/db"]
)
def test_a_url_of_postgresql_that_cannot_work_is_refused_without_its_password(place: str) -> None:
    with pytest.raises(IndexUnusable, match="give the name of") as refused:
        LineageIndex(place)
    assert "secret" not in str(refused.value)


def test_a_missing_driver_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "DRIVER", "a_driver_that_is_not_here")
    with pytest.raises(IndexUnusable, match=r"pip install 'derelayl\[postgresql\]'"):
        LineageIndex("postgresql://me@here/db")


# --- a server that refuses, stops or is slow --------------------------------------------------------------------------


def test_a_wrong_password_is_told_and_never_shown(url: str, postgresql: Server) -> None:
    with pytest.raises(IndexUnusable, match="check user and password in its URL") as refused:
        LineageIndex(url.replace(postgresql.password, "wrong-secret"))
    assert "wrong-secret" not in str(refused.value)


def test_a_database_that_does_not_exist_is_told(postgresql: Server) -> None:
    with pytest.raises(IndexUnusable, match="create the database"):
        LineageIndex(postgresql.url + "_of_nobody")


def test_the_index_is_unusable_while_its_server_is_away_and_goes_on_when_it_is_back(
    url: str, postgresql: Server
) -> None:
    index = LineageIndex(url)
    history, _ = sample()
    index.apply(history.batch())
    postgresql.stop()
    for _ in range(2):  # a session that was cut off, and one that cannot be opened
        with pytest.raises(IndexUnusable, match="see that PostgreSQL runs") as refused:
            index.head()
        assert postgresql.password not in str(refused.value)
    postgresql.start()
    assert index.head().events == len(history.entries)
    index.apply(history.batch())
    index.close()


def test_a_slow_question_to_postgresql_is_ended(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "QUERY_SECONDS", 0.01)
    index = LineageIndex(url)
    with pytest.raises(QueryTooSlow, match=r"took longer than 0\.01 s"), index.reading() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")
    index.apply(sample()[0].batch())  # what writes has no such limit
    index.close()


def test_what_nobody_waits_for_ends_before_its_next_statement(index: LineageIndex) -> None:
    gone = threading.Event()

    def read() -> None:
        with index.reading(gone.is_set) as connection:
            fetch(connection, "SELECT 1", ())
            gone.set()
            fetch(connection, "SELECT 2", ())

    with pytest.raises(GivenUp):
        read()
    assert index.head().events == 0


# --- two processes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_open_a_new_database_at_once_share_its_tables(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 60)  # the machine may be busy with other tests
    place = str(tmp_path / "lineage.db") if kind == "sqlite" else request.getfixturevalue("url")
    history, _ = sample()
    together = threading.Barrier(4)

    def follow(_: int) -> None:
        together.wait()
        index = LineageIndex(place)
        index.apply(history.batch())
        index.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(follow, range(4)))
    index = LineageIndex(place)
    assert index.head().events == len(history.entries)
    index.close()


def test_a_writer_that_holds_postgresql_for_long_is_told_of(
    url: str, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = LineageIndex(url)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    other = pg8000.dbapi.connect("tester", "127.0.0.1", url.rpartition("/")[2], postgresql.port, postgresql.password)
    other.cursor().execute(f"SELECT pg_advisory_xact_lock({database.WRITERS_LOCK})")
    with pytest.raises(IndexUnusable, match="end the other process"):
        index.apply(sample()[0].batch())
    other.close()
    index.apply(sample()[0].batch())
    index.close()
