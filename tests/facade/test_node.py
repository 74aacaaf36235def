"""Reading a node from Python, and checking what it says against the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import derelayl
from derelayl_node.api.client import NodeSilent
from derelayl_node.cli import reading
from derelayl_node.cli.reading import fetch_from
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.settings import Network
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Address, LedgerId

from .playing import index_of, served

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def index(played: derelayl.Relay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineageIndex]:
    with index_of(played, tmp_path_factory.mktemp("index")) as index:
        yield index


@pytest.fixture(scope="module")
def node(played: derelayl.Relay, index: LineageIndex) -> Iterator[derelayl.Node]:
    with served(played, index) as url:
        yield derelayl.Node(url)


def test_whoever_does_not_answer_is_named() -> None:
    with pytest.raises(NodeSilent, match=r"127\.0\.0\.1:1/v1/node gave no answer"):
        derelayl.Node(NOWHERE).get("/v1/node")


def test_a_checkpoint_that_nobody_made_is_refused_in_the_node_s_words(node: derelayl.Node) -> None:
    with pytest.raises(NodeSilent, match="no checkpoint"):
        node.lineage("0x" + "00" * 32)


def test_the_node_tells_the_lineage_that_the_ledger_has(node: derelayl.Node, played: derelayl.Relay) -> None:
    told = [checkpoint["root"] for checkpoint in node.lineage(to_hex(played.best.root))]
    assert told == [to_hex(checkpoint.root) for checkpoint in played.best.lineage()]
    assert [model["model"] for model in node.items("/v1/models")] == [to_hex(played.model)]


def test_a_proof_holds_against_its_ledger_and_against_no_other(
    node: derelayl.Node, played: derelayl.Relay, index: LineageIndex
) -> None:
    root = to_hex(played.best.root)
    statements = node.verify(root, fetch_from(index, played.ledger))
    assert [one.text for one in statements if not one.holds] == []
    assert any("hashes to the root" in one.text for one in statements)
    other = fetch_from(index, LedgerId(2, Address(played.ledger.address)))
    assert not all(one.holds for one in node.verify(root, other))


def test_a_network_file_says_which_chain_is_read(
    node: derelayl.Node,
    played: derelayl.Relay,
    index: LineageIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Network] = []

    @asynccontextmanager
    async def of_memory(network: Network) -> AsyncIterator[tuple[None, LineageIndex]]:
        asked.append(network)
        yield None, index

    monkeypatch.setattr(reading, "reading", of_memory)
    lines = {
        "name": "memory",
        "chain_url": "http://127.0.0.1:1",
        "chain_id": played.ledger.chain_id,
        "token": "0x" + "70" * 20,
        "ledger": played.ledger.address,
        "start_block": 0,
        "bootstrap": [],
        "model": to_hex(played.model),
    }
    file = tmp_path / "network.toml"
    file.write_text("".join(f"{key} = {value!r}\n" for key, value in lines.items()))
    statements = node.verify(to_hex(played.best.root), file)
    assert all(one.holds for one in statements)
    assert [network.name for network in asked] == ["memory"]
