"""`PeerNetwork` between virtual peers: loss, partitions, pauses, and donors that corrupt or withhold."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import trio

from derelayl_node.ports import PeerId, PeerUnreachable
from derelayl_node.testing.network import FakeHub, FakeNetwork
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.errors import Ignored, PeerFault
from derelayl_protocol.ledger.entries import SignedEntry
from derelayl_protocol.types import Digest, Root
from tests.chaos.faults import Loss, Pause

from .store import VirtualStore
from .weather import Weather

TIMEOUT_SECONDS = 5.0
"""How long a request goes unanswered before it is given up."""

CheckEntry = Callable[[SignedEntry], None]


class VirtualNetwork(FakeNetwork):
    """One peer's end. `corrupt` and `withhold` make it a bad donor; `check` stands before what it hears."""

    def __init__(self, hub: FakeHub, name: str, store: VirtualStore, weather: Weather, luck: random.Random) -> None:
        super().__init__(hub, name, store)
        self._weather = weather
        self._luck = luck
        self.corrupt = False
        self.withhold = False
        self.check: CheckEntry = lambda entry: None
        self.heard: list[Announcement | SignedEntry] = []
        self.counters = {"peers": 0, "bytes_served": 0}
        self.addresses: tuple[str, ...] = ()
        hub.nodes[name] = self

    def peers(self) -> tuple[PeerId, ...]:
        return tuple(peer for peer in super().peers() if not self._weather.apart(self._peer, peer))

    async def announce(self, news: Announcement | SignedEntry) -> None:
        await self._weather.running(self._peer)
        await super().announce(news)

    async def request_manifest(self, peer: PeerId, root: Root) -> bytes | None:
        node: Any = await self._reach(peer)
        wire: bytes | None = None if node.withhold else node.store.manifest(root)
        return _bent(wire) if wire is not None and node.corrupt else wire

    def _serve(self, digest: Digest) -> bytes | None:
        data = None if self.withhold else super()._serve(digest)
        return _bent(data) if data is not None and self.corrupt else data

    def _hear(self, author: PeerId, news: Announcement | SignedEntry) -> None:
        if self._loses(author):
            return
        if isinstance(news, SignedEntry):
            try:
                self.check(news)
            except (Ignored, PeerFault):
                return
        self.heard.append(news)
        super()._hear(author, news)

    async def _reach(self, peer: PeerId) -> FakeNetwork:
        await self._weather.running(self._peer)
        if self._loses(peer) or self._weather.now(peer, Pause) is not None:
            await trio.sleep(TIMEOUT_SECONDS)
            raise PeerUnreachable(f"peer {peer} did not answer in {TIMEOUT_SECONDS:g} s")
        if self._weather.apart(self._peer, peer):
            raise PeerUnreachable(f"peer {peer} answers at no known address")
        return await super()._reach(peer)

    def _loses(self, other: PeerId) -> bool:
        losses = (self._weather.now(name, Loss) for name in (self._peer, other))
        return any(loss is not None and self._luck.random() < loss.share for loss in losses)


def _bent(data: bytes) -> bytes:
    """The bytes with one of them changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
