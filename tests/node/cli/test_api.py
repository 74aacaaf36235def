"""`derelayl api` and what it keeps its index in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from derelayl_node.cli.main import build
from derelayl_node.lineage.database import IndexUnusable
from derelayl_node.settings import Network
from derelayl_node.testing.history import person


@pytest.mark.parametrize("place", ["mysql://me@here/db", "postgresql://here"])
def test_an_index_that_cannot_be_is_refused_before_anything_is_made(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = Network(
        name="test", chain_url="http://127.0.0.1:1", chain_id=1, token=person("token"), ledger=person("ledger")
    )
    network.write(Path("network.toml"))
    refused = CliRunner().invoke(build(["api"]), ["api", "--network", "network.toml", "--index", place])
    assert isinstance(refused.exception, IndexUnusable)
    assert os.listdir(tmp_path) == ["network.toml"]
