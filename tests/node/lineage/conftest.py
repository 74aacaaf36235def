"""Empty indexes: in a temporary folder, and in a database of a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from derelayl_node.lineage.index import LineageIndex

from ...postgresql import Server

Fresh = Callable[[], AbstractContextManager[LineageIndex]]
"""Opens an index of its own and empty, closed and gone afterwards."""


@contextmanager
def in_file() -> Iterator[LineageIndex]:
    with TemporaryDirectory() as folder:
        made = LineageIndex(Path(folder) / "lineage.db")
        yield made
        made.close()


def in_database_of(server: Server) -> Fresh:
    @contextmanager
    def fresh() -> Iterator[LineageIndex]:
        with server.database() as url:
            made = LineageIndex(url)
            yield made
            made.close()

    return fresh


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_index(request: pytest.FixtureRequest) -> Fresh:
    """The tests that ask for it, or for `index`, run with each database."""
    return in_file if request.param == "sqlite" else in_database_of(request.getfixturevalue("postgresql"))


@pytest.fixture
def index(fresh_index: Fresh) -> Iterator[LineageIndex]:
    with fresh_index() as made:
        yield made
