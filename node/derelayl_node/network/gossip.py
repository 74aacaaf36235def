"""Announcements over gossipsub: one topic per model, signed, checked before they are passed on."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.abc import IHost
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

from derelayl_node.ports import PeerId
from derelayl_protocol.errors import ProtocolError
from derelayl_protocol.limits import MAX_ANNOUNCEMENT_BYTES
from derelayl_protocol.messages import Announcement, encode_announcement, parse_announcement
from derelayl_protocol.types import ModelId

HEARTBEAT_SECONDS = 1
"""Mesh upkeep; the library's default of 120 s leaves a new peer without a mesh for two minutes."""

MAX_MESSAGES_PER_SECOND = 100.0
"""Per peer and topic; a large round has a few dozen announcements at once, the default of 10 drops them silently."""

MAX_RPC_BYTES = 512 * 1024
"""One gossip frame: many announcements, far below the 1 MiB at which frames vanish without an error."""

MAX_WAITING_ANNOUNCEMENTS = 1024
"""Announcements not yet asked for; above it the oldest goes. They are hints: the ledger has every root."""

MESH_DEGREE, MESH_LOW, MESH_HIGH = 8, 6, 12
"""Peers that each message is sent to directly: a network of nine or fewer is a full mesh."""

TOPIC_PREFIX = "/derelayl/announcements/1/"

_log = logging.getLogger(__name__)


def topic_of(model: ModelId) -> str:
    """The gossip topic of a model."""
    return TOPIC_PREFIX + model.hex()


class AnnouncementQueue:
    """A bounded queue that drops its oldest entry, and counts it, when it is full."""

    def __init__(self, limit: int = MAX_WAITING_ANNOUNCEMENTS) -> None:
        self._waiting: deque[tuple[PeerId, Announcement]] = deque()
        self._limit = limit
        self._arrived = trio.Event()
        self.dropped = 0

    def put(self, peer: PeerId, announcement: Announcement) -> None:
        """Add an announcement; never waits."""
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((peer, announcement))
        self._arrived.set()

    async def get(self) -> tuple[PeerId, Announcement]:
        """Wait for the oldest announcement and take it."""
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            self._arrived = trio.Event() if self._arrived.is_set() else self._arrived
            await self._arrived.wait()
        return self._waiting.popleft()


class Gossip:
    """Publishes and collects announcements of the followed models."""

    def __init__(self, host: IHost, is_refused: Callable[[PeerId], bool], blame: Callable[[PeerId, str], None]) -> None:
        self._router = GossipSub(
            protocols=[PROTOCOL_ID_V12, PROTOCOL_ID_V11],
            degree=MESH_DEGREE,
            degree_low=MESH_LOW,
            degree_high=MESH_HIGH,
            heartbeat_interval=HEARTBEAT_SECONDS,
            # the adaptive mode raises the heartbeat to 60 s as soon as it thinks ill of the network
            adaptive_gossip_enabled=False,
            # it asks for three IP addresses in a mesh and counts all peers of one machine as one
            eclipse_protection_enabled=False,
            max_messages_per_topic_per_second=MAX_MESSAGES_PER_SECOND,
        )
        self._pubsub = Pubsub(host, self._router, strict_signing=True, max_inbound_rpc_size=MAX_RPC_BYTES)
        # a message is known by (sender, counter): counted from the nanosecond clock, no number of an earlier life
        # comes again
        self._pubsub.counter = time.time_ns()
        self._own_id = host.get_id()
        self._is_refused = is_refused
        self._blame = blame
        self._followed: set[ModelId] = set()
        self._nursery: trio.Nursery | None = None
        self.queue = AnnouncementQueue()
        self.malformed = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the services of gossipsub; leave before the host is closed."""
        async with (
            background_trio_service(self._pubsub),
            background_trio_service(self._router),
            trio.open_nursery() as nursery,
        ):
            await self._pubsub.wait_until_ready()
            self._nursery = nursery
            try:
                yield
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()

    def close(self) -> None:
        """End the thread that libp2p starts for each memory of seen messages and never ends by itself."""
        self._pubsub.seen_messages.stop()

    async def follow(self, model: ModelId) -> None:
        """Collect the announcements of a model from now on; idempotent."""
        if model in self._followed or self._nursery is None:
            return
        self._followed.add(model)
        topic = topic_of(model)
        self._pubsub.set_topic_validator(topic, self._check, is_async_validator=False)
        subscription = await self._pubsub.subscribe(topic)
        self._nursery.start_soon(self._drain, subscription)

    async def publish(self, announcement: Announcement) -> None:
        """Send an announcement to all peers that follow its model."""
        await self.follow(announcement.model)
        await self._pubsub.publish(topic_of(announcement.model), encode_announcement(announcement))

    async def _drain(self, subscription: Any) -> None:
        async for message in subscription:
            author = ID(message.from_id)
            if author != self._own_id:
                self.queue.put(str(author), parse_announcement(message.data))

    def _check(self, forwarder: ID, message: Any) -> bool:
        """Say whether a message is passed on; a malformed one counts against its author, who has signed it."""
        author = str(ID(message.from_id))
        if self._is_refused(author) or self._is_refused(str(forwarder)):
            return False
        try:
            if len(message.data) > MAX_ANNOUNCEMENT_BYTES:
                raise ValueError(f"{len(message.data)} bytes, at most {MAX_ANNOUNCEMENT_BYTES} are allowed")
            announcement = parse_announcement(message.data)
            if list(message.topicIDs) != [topic_of(announcement.model)]:
                raise ValueError("it is on another model's topic")
        except (ProtocolError, ValueError) as error:
            self.malformed += 1
            self._blame(author, f"malformed announcement: {error}")
            return False
        return True
