from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.node.conformance.network import MODEL, PeerNetworkConformance

from derelayl_node.ports import CheckpointStore
from derelayl_node.testing.network import FakeHub, FakeNetwork


class TestFakeNetwork(PeerNetworkConformance):
    @asynccontextmanager
    async def open_nodes(self, stores: Sequence[CheckpointStore]) -> AsyncIterator[Sequence[FakeNetwork]]:
        hub = FakeHub()
        nodes = [hub.join(f"peer{number}", store) for number, store in enumerate(stores)]
        for node in nodes:
            await node.follow(MODEL)
        yield nodes
