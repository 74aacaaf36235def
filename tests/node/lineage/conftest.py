"""An empty index in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from derelayl_node.lineage.index import LineageIndex


@pytest.fixture
def index(tmp_path: Path) -> Iterator[LineageIndex]:
    made = LineageIndex(tmp_path / "lineage.db")
    yield made
    made.close()
