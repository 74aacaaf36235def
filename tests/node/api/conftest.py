"""The API over a small history: one model with rejected and voided legs, one whose checkpoints have manifests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from derelayl_node.api.app import create_app
from derelayl_node.api.status import NodeStatus
from derelayl_node.fakes.history import History, Relay, person, sample
from derelayl_node.fakes.manifested import ManifestedRelay
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.proof import Chain
from derelayl_protocol.types import Root

CHAIN = Chain("test network", 31_337, person("ledger"))
LEGS = 4


@dataclass
class World:
    """Everything behind the API; tests change it between requests."""

    index: LineageIndex
    history: History
    relay: Relay
    proven: ManifestedRelay
    tip: Root
    status: NodeStatus = field(default_factory=lambda: NodeStatus(True, 0.5))

    def read_chain(self) -> None:
        """Bring the index up to the history."""
        self.index.apply(self.history.batch())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    history, relay = sample(LEGS)
    proven = ManifestedRelay(history, name="proven", creator="founder")
    proven.create()
    tip = proven.genesis
    for number in range(LEGS):
        tip = proven.step(f"child {number}", tip, "solo")
    made = World(LineageIndex(tmp_path / "lineage.db"), history, relay, proven, tip)
    made.read_chain()
    yield made
    made.index.close()


@pytest.fixture
def app(world: World) -> FastAPI:
    return create_app(
        world.index, chain=CHAIN, manifests=lambda root: world.proven.manifests.get(root), status=lambda: world.status
    )


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as made:
        yield made


def name(value: bytes) -> str:
    """Write a root or an id as the API does."""
    return "0x" + value.hex()
