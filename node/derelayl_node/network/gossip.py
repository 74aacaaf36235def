"""News over gossipsub: per model a topic for announcements and one for signed entries, checked before passed on."""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Generic, TypeVar

import trio
from libp2p.abc import IHost
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

from derelayl_protocol.checkpoint.messages import Announcement, encode_announcement, parse_announcement
from derelayl_protocol.errors import Ignored, PeerFault
from derelayl_protocol.ledger.entries import SignedEntry, encode_entry, parse_entry
from derelayl_protocol.types import ModelId

from ..ports import PeerId
from .allowance import Allowance

HEARTBEAT_SECONDS = 1
"""Mesh upkeep; the library's default of 120 s leaves a new peer without a mesh for two minutes."""

MAX_MESSAGES_PER_SECOND = 100.0
"""Per peer and topic; a large round has a few dozen announcements at once, the default of 10 drops them silently."""

MAX_RPC_BYTES = 512 * 1024
"""One gossip frame: many announcements, far below the 1 MiB at which frames vanish without an error."""

MAX_WAITING = 1024
"""News of one kind not yet asked for; above it the oldest goes. What counts is on the ledger, or will be sent to it."""

MAX_COMPARED = 128
"""Messages kept to be compared with another one of the same number, 2.7 KiB each; libp2p looks among a thousand, and
only for those that it saw longer than two minutes ago."""

MESH_DEGREE, MESH_LOW, MESH_HIGH = 8, 6, 12
"""Peers that each message is sent to directly: a network of nine or fewer is a full mesh."""

ANNOUNCEMENTS_PREFIX = "/derelayl/announcements/1/"
ENTRIES_PREFIX = "/derelayl/entries/1/"

CheckEntry = Callable[[SignedEntry], None]
"""Raises PeerFault for an entry that no honest account signs, Ignored for one that is of no use now."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


def topic_of(model: ModelId) -> str:
    """The gossip topic of a model's announcements."""
    return ANNOUNCEMENTS_PREFIX + model.hex()


def entries_topic_of(model: ModelId) -> str:
    """The gossip topic of a model's signed entries."""
    return ENTRIES_PREFIX + model.hex()


def nothing_is_of_use(entry: SignedEntry) -> None:
    """A `CheckEntry` for a node that knows no running round."""
    raise Ignored("this node follows no round")


class NewsQueue(Generic[T]):
    """A bounded queue that drops its oldest entry, and counts it, when it is full."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._waiting: deque[tuple[PeerId, T]] = deque()
        self._limit = limit
        self._arrived = trio.Event()
        self.dropped = 0

    def put(self, peer: PeerId, news: T) -> None:
        """Add what a peer told; never waits."""
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((peer, news))
        self._arrived.set()

    async def get(self) -> tuple[PeerId, T]:
        """Wait for the oldest entry and take it."""
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            self._arrived = trio.Event() if self._arrived.is_set() else self._arrived
            await self._arrived.wait()
        return self._waiting.popleft()


class Router(GossipSub):
    """Sends an author's own news to every peer that follows their topic, and others' along the mesh.

    The mesh is drawn from all who are connected: where most are one attacker's, news would end with them.
    """

    def _get_peers_to_send(
        self, topic_ids: Iterable[str], msg_forwarder: ID, origin: ID, msg_id: bytes | None = None
    ) -> Iterable[ID]:
        topics = tuple(topic_ids)
        mesh = super()._get_peers_to_send(topics, msg_forwarder, origin, msg_id)
        if self.pubsub is None or origin != self.pubsub.my_id:
            return mesh
        followers = (self.pubsub.peer_topics.get(topic, ()) for topic in topics)
        return set(mesh).union(*followers) - {origin}


class Gossip:
    """Publishes and collects news of the followed models."""

    def __init__(
        self,
        host: IHost,
        is_refused: Callable[[PeerId], bool],
        blame: Callable[[PeerId, str], None],
        check_entry: CheckEntry = nothing_is_of_use,
    ) -> None:
        self._router = Router(
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
        self._router.equivocation_detection = _Newest()
        # a time of each message, in libp2p 0.8.1, which the adaptive mode alone reads and takes out again
        self._router.recent_message_deliveries = defaultdict(_keeping_nothing)  # type: ignore[arg-type]
        self._pubsub = Pubsub(host, self._router, strict_signing=True, max_inbound_rpc_size=MAX_RPC_BYTES)
        # a message is known by (sender, counter): counted from the nanosecond clock, no number of an earlier life
        # comes again
        self._pubsub.counter = time.time_ns()
        self._own_id = host.get_id()
        self._is_refused = is_refused
        self._blame = blame
        self._check_entry = check_entry
        self._followed: set[ModelId] = set()
        self._nursery: trio.Nursery | None = None
        self.announcements: NewsQueue[Announcement] = NewsQueue()
        self.entries: NewsQueue[SignedEntry] = NewsQueue()
        self.malformed = 0
        self._allowance = Allowance(time.monotonic)
        self.too_many = 0

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
        """Collect the news of a model from now on; idempotent."""
        if model in self._followed or self._nursery is None:
            return
        self._followed.add(model)
        await self._collect(self._nursery, topic_of(model), self._read_announcement, self.announcements)
        await self._collect(self._nursery, entries_topic_of(model), self._read_entry, self.entries)

    async def publish(self, news: Announcement | SignedEntry) -> None:
        """Send news to all peers that follow its model."""
        await self.follow(news.model)
        if isinstance(news, Announcement):
            await self._pubsub.publish(topic_of(news.model), encode_announcement(news))
        else:
            await self._pubsub.publish(entries_topic_of(news.model), encode_entry(news))

    async def _collect(self, nursery: trio.Nursery, topic: str, read: Callable[[Any], T], queue: NewsQueue[T]) -> None:
        self._pubsub.set_topic_validator(topic, partial(self._check, read), is_async_validator=False)
        subscription = await self._pubsub.subscribe(topic)
        nursery.start_soon(self._drain, subscription, read, queue)

    async def _drain(self, subscription: Any, read: Callable[[Any], T], queue: NewsQueue[T]) -> None:
        async for message in subscription:
            author = ID(message.from_id)
            if author == self._own_id:
                continue
            try:
                queue.put(str(author), read(message))
            except Ignored as error:  # the round went on since the message was checked
                _log.debug("news of %s came too late: %s", author, error)

    def _read_announcement(self, message: Any) -> Announcement:
        announcement = parse_announcement(message.data)
        _check_topic(message, topic_of(announcement.model))
        return announcement

    def _read_entry(self, message: Any) -> SignedEntry:
        entry = parse_entry(message.data)
        _check_topic(message, entries_topic_of(entry.model))
        self._check_entry(entry)
        return entry

    def _check(self, read: Callable[[Any], object], forwarder: ID, message: Any) -> bool:
        """Say whether a message is passed on; a malformed one counts against its author, who has signed it.

        Nor is what goes beyond the author's allowance: each peer would send it to each other one, and on a busy machine
        no request was answered any more.
        """
        author = str(ID(message.from_id))
        if self._is_refused(author) or self._is_refused(str(forwarder)):
            return False
        if author != str(self._own_id) and not self._allowance.take(author):
            self.too_many += 1
            return False
        try:
            read(message)
        except Ignored as error:
            _log.debug("news of %s is not passed on: %s", author, error)
            return False
        except PeerFault as error:
            self.malformed += 1
            self._blame(author, f"malformed news: {error}")
            return False
        return True


class _Newest(dict[bytes, Any]):
    """The newest MAX_COMPARED messages, by author and number."""

    def __setitem__(self, key: bytes, message: Any) -> None:
        super().__setitem__(key, message)
        if len(self) > MAX_COMPARED:
            del self[next(iter(self))]


def _keeping_nothing() -> deque[float]:
    return deque(maxlen=0)


def _check_topic(message: Any, expected: str) -> None:
    if list(message.topicIDs) != [expected]:
        raise PeerFault("it is on another model's topic")
