"""`PeerNetwork` in memory: nodes of one hub reach one another at once, unless a test says otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from derelayl_protocol.checkpoint.chunk import HashedChunk, verified
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.ledger.entries import SignedEntry
from derelayl_protocol.limits import MAX_DIGESTS_PER_REQUEST, MAX_MANIFEST_BYTES
from derelayl_protocol.types import Digest, ModelId, Root

from ..ports import CheckpointStore, NotForYou, PeerId, PeerUnreachable, StoreDamaged


@dataclass(slots=True)
class FakeHub:
    """The wires between the nodes, and what goes wrong on them."""

    nodes: dict[PeerId, FakeNetwork] = field(default_factory=dict)
    unreachable: set[PeerId] = field(default_factory=set)
    """Peers that answer nobody."""
    stalled: set[PeerId] = field(default_factory=set)
    """Peers that take a request and never answer."""
    wrong_manifests: dict[PeerId, bytes] = field(default_factory=dict)
    """What a peer sends for any manifest."""

    def join(self, peer: PeerId, store: CheckpointStore) -> FakeNetwork:
        """Add a node that serves `store`."""
        node = FakeNetwork(self, peer, store)
        self.nodes[peer] = node
        return node

    def leave(self, peer: PeerId) -> None:
        """Take a node away."""
        del self.nodes[peer]


class FakeNetwork:
    """One node on a hub.

    `requests` records its chunk requests as (peer, digests), in order; `lies` is what it sends instead of a chunk;
    `admit` says which peer may have which chunk.
    """

    def __init__(self, hub: FakeHub, peer: PeerId, store: CheckpointStore) -> None:
        self._hub = hub
        self._peer = peer
        self._followed: set[ModelId] = set()
        self._send, self._receive = trio.open_memory_channel[tuple[PeerId, Announcement]](math.inf)
        self._send_entry, self._receive_entry = trio.open_memory_channel[tuple[PeerId, SignedEntry]](math.inf)
        self.store = store
        self.requests: list[tuple[PeerId, tuple[Digest, ...]]] = []
        self.lies: dict[Digest, bytes] = {}
        self.admit: Callable[[PeerId, Digest], bool] = lambda peer, digest: True

    @property
    def peer_id(self) -> PeerId:
        """This node's own id."""
        return self._peer

    def peers(self) -> tuple[PeerId, ...]:
        """The other nodes of the hub that can be reached."""
        return tuple(
            sorted(peer for peer in self._hub.nodes if peer not in self._hub.unreachable and peer != self._peer)
        )

    async def follow(self, model: ModelId) -> None:
        """Collect announcements and signed entries of a model from now on."""
        await trio.lowlevel.checkpoint()
        self._followed.add(model)

    async def announce(self, news: Announcement | SignedEntry) -> None:
        """Tell all nodes that follow the model."""
        await self.follow(news.model)
        for peer in self.peers():
            self._hub.nodes[peer]._hear(self._peer, news)

    async def next_announcement(self) -> tuple[PeerId, Announcement]:
        """Wait for an announcement of another node."""
        return await self._receive.receive()

    async def next_entry(self) -> tuple[PeerId, SignedEntry]:
        """Wait for a signed entry from another node; nothing in it is checked."""
        return await self._receive_entry.receive()

    def entries_heard(self) -> list[tuple[PeerId, SignedEntry]]:
        """Take the signed entries that have come so far, without waiting."""
        count = self._receive_entry.statistics().current_buffer_used
        return [self._receive_entry.receive_nowait() for _ in range(count)]

    async def request_manifest(self, peer: PeerId, root: Root) -> bytes | None:
        """Ask another node. Raises PeerUnreachable, PeerFault for more bytes than a manifest has."""
        node = await self._reach(peer)
        wire = self._hub.wrong_manifests.get(peer) or node.store.manifest(root)
        if wire is not None and len(wire) > MAX_MANIFEST_BYTES:
            raise PeerFault(f"answer of {len(wire)} bytes, allowed is 1 … {MAX_MANIFEST_BYTES}")
        return wire

    async def request_chunks(self, peer: PeerId, digests: Sequence[Digest]) -> Mapping[Digest, HashedChunk]:
        """Ask another node. Raises NotForYou, PeerUnreachable, PeerFault for a chunk with another digest."""
        if not 1 <= len(digests) <= MAX_DIGESTS_PER_REQUEST:
            raise LocalFault(f"{len(digests)} digests in one request, allowed is 1 … {MAX_DIGESTS_PER_REQUEST}")
        node = await self._reach(peer)
        self.requests.append((peer, tuple(digests)))
        found = {digest: node._serve(digest) for digest in digests}
        if any(data is not None and not node.admit(self._peer, digest) for digest, data in found.items()):
            raise NotForYou(f"peer {peer} gives these chunks to accounts with access only")
        return {digest: verified(digest, data) for digest, data in found.items() if data is not None}

    def _serve(self, digest: Digest) -> bytes | None:
        """Return the chunk, or the lie told about it; what the store finds damaged is not here."""
        try:
            return self.lies.get(digest) or self.store.chunk(digest)
        except StoreDamaged:
            return None

    def _hear(self, author: PeerId, news: Announcement | SignedEntry) -> None:
        if news.model not in self._followed:
            return
        if isinstance(news, Announcement):
            self._send.send_nowait((author, news))
        else:
            self._send_entry.send_nowait((author, news))

    async def _reach(self, peer: PeerId) -> FakeNetwork:
        await trio.lowlevel.checkpoint()
        if peer in self._hub.stalled:
            await trio.sleep_forever()
        if peer not in self._hub.nodes or peer in self._hub.unreachable or peer == self._peer:
            raise PeerUnreachable(f"peer {peer} is not connected and answers at no known address")
        return self._hub.nodes[peer]
