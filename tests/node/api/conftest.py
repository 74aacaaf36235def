"""The API over a small history: one model with refused and voided legs, one whose checkpoints have manifests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from derelayl_node.api.app import create_app
from derelayl_node.api.status import NodeStatus
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.proof import Chain
from derelayl_node.testing.history import History, Relay, person, sample
from derelayl_node.testing.manifested import ManifestedRelay
from derelayl_protocol.types import LedgerId, Root

CHAIN = Chain("test network", LedgerId(31_337, person("ledger")))
LEGS = 4


ELSEWHERE = "https://elsewhere.example"


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


def make_world(place: Path | str) -> World:
    history, relay = sample(LEGS)
    proven = ManifestedRelay(history, name="proven", creator="founder")
    proven.create()
    tip = proven.genesis
    for number in range(LEGS):
        tip = proven.step(f"child {number}", tip, "solo")
    world = World(LineageIndex(place), history, relay, proven, tip)
    world.read_chain()
    return world


def app_of(world: World) -> FastAPI:
    manifests = world.proven.manifests.get
    return create_app(world.index, chain=CHAIN, manifests=manifests, status=lambda: world.status)


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A browser that shows a page from elsewhere."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node", headers={"origin": ELSEWHERE})


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world of the tests that change nothing."""
    made = make_world(tmp_path_factory.mktemp("api") / "lineage.db")
    yield made
    made.index.close()


@pytest.fixture(scope="session")
def app(world: World) -> FastAPI:
    return app_of(world)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as made:
        yield made


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[World]:
    """A world that the test may change."""
    made = make_world(tmp_path / "lineage.db")
    yield made
    made.index.close()


@pytest.fixture
def own_app(own_world: World) -> FastAPI:
    return app_of(own_world)


@pytest.fixture
async def own_client(own_app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(own_app) as made:
        yield made


def name(value: bytes) -> str:
    """Write a root or an id as the API does."""
    return "0x" + value.hex()
