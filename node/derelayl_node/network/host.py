"""This node's place in the network: a libp2p host with TCP, Noise and Yamux, and nothing else."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import libp2p
import trio
from libp2p.abc import IHost, INetStream
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.config import ConnectionConfig
from libp2p.network.swarm import Swarm
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from derelayl_protocol.checkpoint.chunk import HashedChunk, verified
from derelayl_protocol.checkpoint.messages import (
    CHUNKS_PROTOCOL,
    LENGTH_BYTES,
    MANIFEST_PROTOCOL,
    Announcement,
    encode_chunks_request,
    encode_manifest_request,
    is_refusal,
    parse_answer_length,
)
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.ledger.entries import SignedEntry
from derelayl_protocol.limits import MAX_CHUNK_BYTES, MAX_MANIFEST_BYTES
from derelayl_protocol.types import Digest, ModelId, Root

from ..failures import Failure
from ..groups import single, ungrouped
from ..ports import CheckpointStore, NotForYou, PeerId, PeerUnreachable
from . import libp2p_fixes
from .discovery import PEERS_PROTOCOL, Discovery
from .faults import FaultLedger
from .gossip import CheckEntry, Gossip, nothing_is_of_use
from .identity import key_pair_of, parse_peer_id
from .places import MAX_INBOUND, Participants, nobody
from .serve import Admit, Server, everybody
from .wire import STREAM_ERRORS, StreamFailed, closing, read_exactly, write

MAX_CONNECTIONS = 288
"""Connections in both directions: MAX_INBOUND, which strangers may fill, and 160 that only this node's own dials take,
enough for MAX_PEERS and MIN_DIALLED strangers and for all regulars."""

OPEN_SECONDS = 15.0
"""For opening a stream, with the dial before it."""

MAX_STREAMS_TO_PEER = 4
"""Requests at once to one peer; its server allows eight."""

CLOSE_SECONDS = 10.0
"""For leaving the network; what is still open then is dropped."""

_log = logging.getLogger(__name__)


class NetworkDown(Failure):
    """The libp2p host of this node ended by itself; start the node again."""


class Libp2pNetwork:
    """`PeerNetwork` over libp2p; made by `open_network`."""

    def __init__(self, host: IHost, server: Server, gossip: Gossip, discovery: Discovery, faults: FaultLedger) -> None:
        self._host = host
        self._server = server
        self._gossip = gossip
        self._discovery = discovery
        self._faults = faults
        self._slots: dict[PeerId, trio.CapacityLimiter] = {}

    @property
    def peer_id(self) -> PeerId:
        """This node's own id."""
        return str(self._host.get_id())

    @property
    def addresses(self) -> tuple[str, ...]:
        """Multiaddresses at which this node listens, each usable as a bootstrap address by others."""
        return tuple(str(address) for address in self._host.get_addrs())

    @property
    def counters(self) -> Mapping[str, int]:
        """What to watch: names and counts since the start."""
        return {
            "peers": len(self.peers()),
            "bytes_served": self._server.bytes_served,
            "announcements_dropped": self._gossip.announcements.dropped,
            "entries_dropped": self._gossip.entries.dropped,
            "announcements_malformed": self._gossip.malformed,
        }

    def peers(self) -> tuple[PeerId, ...]:
        """Peers connected now and not refused; regulars first, so that a crowd of strangers is asked after them."""
        peers = [peer for peer in self._discovery.connected() if not self._faults.is_refused(peer)]
        return tuple(sorted(peers, key=lambda peer: peer not in self._discovery.regulars))

    def faults_of(self, peer: PeerId) -> int:
        """Faults of a peer that are remembered."""
        return self._faults.count(peer)

    async def follow(self, model: ModelId) -> None:
        """Collect announcements and signed entries of a model from now on; idempotent."""
        await self._gossip.follow(model)

    async def announce(self, news: Announcement | SignedEntry) -> None:
        """Tell all peers; best effort."""
        await self._gossip.publish(news)

    async def next_announcement(self) -> tuple[PeerId, Announcement]:
        """Wait for an announcement of another peer; the peer is its author, proven by its signature."""
        return await self._gossip.announcements.get()

    async def next_entry(self) -> tuple[PeerId, SignedEntry]:
        """Wait for a signed entry from another peer; it has passed the check that `open_network` was given."""
        return await self._gossip.entries.get()

    async def request_manifest(self, peer: PeerId, root: Root) -> bytes | None:
        """Ask one peer for a manifest. Raises PeerUnreachable, PeerFault."""
        request = encode_manifest_request(root)
        async with self._stream(peer, MANIFEST_PROTOCOL) as stream:
            await write(stream, request)
            return await _read_answer(stream, MAX_MANIFEST_BYTES)

    async def request_chunks(self, peer: PeerId, digests: Sequence[Digest]) -> Mapping[Digest, HashedChunk]:
        """Ask one peer for chunks and hash them, here and nowhere after.

        Raises NotForYou, PeerUnreachable, PeerFault for a chunk with another digest.
        """
        wanted = tuple(dict.fromkeys(digests))
        request = encode_chunks_request(wanted)
        chunks: dict[Digest, bytes] = {}
        async with self._stream(peer, CHUNKS_PROTOCOL) as stream:
            await write(stream, request)
            for digest in wanted:
                data = await _read_chunk(stream, peer)
                if data is not None:
                    chunks[digest] = data
            valid = await trio.to_thread.run_sync(_verified, chunks)
        if valid:
            self._discovery.regulars.served(peer)
        return valid

    @asynccontextmanager
    async def _stream(self, peer: PeerId, protocol: str) -> AsyncIterator[INetStream]:
        """Open a stream; what goes wrong inside is the peer's absence, or its fault, which is counted."""
        if peer == self.peer_id:
            raise PeerUnreachable("a node cannot ask itself")
        if self._faults.is_refused(peer):
            raise PeerUnreachable(f"peer {peer} is refused: it broke the protocol too often")
        async with self._slot(peer):
            try:
                async with closing(await self._open(peer, protocol)) as stream:
                    yield stream
            except StreamFailed as error:
                raise PeerUnreachable(f"peer {peer} did not answer: {error}") from error
            except PeerFault as error:
                self._faults.blame(peer, str(error))
                raise

    @asynccontextmanager
    async def _slot(self, peer: PeerId) -> AsyncIterator[None]:
        """Wait for one of a peer's slots; they are remembered while one is taken: identities are free."""
        slots = self._slots.setdefault(peer, trio.CapacityLimiter(MAX_STREAMS_TO_PEER))
        try:
            async with slots:
                yield
        finally:
            if not slots.borrowed_tokens:  # a slot that is given back goes to who waits at once
                self._slots.pop(peer, None)

    async def _open(self, peer: PeerId, protocol: str) -> INetStream:
        try:
            with trio.fail_after(OPEN_SECONDS):
                if not self._discovery.is_connected(peer) and not await self._discovery.connect(peer):
                    raise PeerUnreachable(f"peer {peer} is not connected and answers at no known address")
                return await self._host.new_stream(parse_peer_id(peer), [TProtocol(protocol)])
        except (trio.TooSlowError, *STREAM_ERRORS) as error:
            raise PeerUnreachable(f"peer {peer} opened no stream: {error!r}") from error


@asynccontextmanager
async def open_network(
    secret: bytes,
    *,
    store: CheckpointStore,
    models: Iterable[ModelId] = (),
    bootstrap: Iterable[str] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    announce: Sequence[str] = (),
    admit: Admit = everybody,
    check_entry: CheckEntry = nothing_is_of_use,
    participants: Participants = nobody,
) -> AsyncIterator[Libp2pNetwork]:
    """Join the network as the owner of the ledger key `secret` and serve `store`; leave it with the context.

    `host` and `port` are what to listen on (port 0: any free one); `bootstrap` are multiaddresses ending in
    ``/p2p/PEER``; `announce` are multiaddresses without it that others shall dial, for a node behind a port mapping.
    `admit` says who may have a chunk, `check_entry` which signed entries are kept and passed on, `participants` for
    whose accounts places are kept.
    Raises LocalFault for a bad key or address and when the port is in use, NetworkDown when libp2p ends by itself.
    """
    libp2p_fixes.apply()
    _check_port_is_free(host, port)
    listen = Multiaddr(f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}")
    engine = _make_host(secret, listen, announce)
    network = _assemble(engine, store, bootstrap, admit, check_entry, participants)
    stop = trio.Event()
    try:
        with ungrouped():
            async with trio.open_nursery() as nursery:
                await nursery.start(_run, network, engine, listen, stop)
                try:
                    for model in models:
                        await network.follow(model)
                    yield network
                finally:
                    stop.set()
    finally:
        network._gossip.close()


async def _run(
    network: Libp2pNetwork,
    host: IHost,
    listen: Multiaddr,
    stop: trio.Event,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the host until `stop` is set or this task is cancelled, and then close it in order.

    libp2p leaves sockets open when it is cancelled, so a cancellation only sets `stop`; closing has its own deadline.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_set_when_cancelled, stop)
        with trio.CancelScope() as scope:
            scope.shield = True
            try:
                await _run_engine(network, host, listen, stop, scope, task_status)
            except Exception as error:
                cause = single(error)
                if isinstance(cause, LocalFault):
                    raise cause from None
                if not stop.is_set():
                    raise NetworkDown(f"the libp2p host ended: {cause!r}; start the node again") from error
                # the peers that hang up now are no news
                _log.debug("libp2p complained while closing: %r", error)
            finally:
                await libp2p_fixes.close_rest(_swarm_of(host))
        nursery.cancel_scope.cancel()


async def _run_engine(
    network: Libp2pNetwork,
    host: IHost,
    listen: Multiaddr,
    stop: trio.Event,
    scope: trio.CancelScope,
    task_status: Any,
) -> None:
    async with host.run([listen]):
        if not host.get_addrs():
            raise LocalFault(f"cannot listen on {listen}: choose another address or port")
        await _swarm_of(host).auto_connector.stop()  # discovery decides whom to dial
        try:
            async with network._gossip.running(), trio.open_nursery() as nursery:
                nursery.start_soon(network._discovery.run)
                task_status.started()
                await stop.wait()
                scope.deadline = trio.current_time() + CLOSE_SECONDS
                nursery.cancel_scope.cancel()
        finally:
            await host.close()


async def _set_when_cancelled(stop: trio.Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        stop.set()


def _make_host(secret: bytes, listen: Multiaddr, announce: Sequence[str]) -> IHost:
    keys = key_pair_of(secret)
    host = libp2p.new_host(
        key_pair=keys,
        sec_opt={NOISE: NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)},
        muxer_opt={TProtocol(YAMUX): Yamux},
        listen_addrs=[listen],
        announce_addrs=[Multiaddr(address) for address in announce] or None,
        # an address that one peer claims to see us at is not one that another can dial
        disable_identify_address_discovery=True,
        connection_config=ConnectionConfig(
            max_connections=MAX_CONNECTIONS, high_watermark=MAX_CONNECTIONS, low_watermark=0, min_connections=0
        ),
    )
    # the default manager refuses connections by the memory of the whole machine, which training fills
    _swarm_of(host).set_resource_manager(None)
    _swarm_of(host)._inbound_limiter.total_tokens = MAX_INBOUND
    return host


def _assemble(
    host: IHost,
    store: CheckpointStore,
    bootstrap: Iterable[str],
    admit: Admit,
    check_entry: CheckEntry,
    participants: Participants,
) -> Libp2pNetwork:
    """Make the parts and register their handlers: before the first connection, or peers do not learn of them."""
    faults = FaultLedger(trio.current_time)
    server = Server(store, faults.is_refused, faults.blame, admit)
    discovery = Discovery(
        host, lambda: [str(address) for address in host.get_addrs()], bootstrap, faults.is_refused, participants
    )
    gossip = Gossip(host, faults.is_refused, faults.blame, check_entry)
    host.set_stream_handler(TProtocol(MANIFEST_PROTOCOL), server.handle_manifest)
    host.set_stream_handler(TProtocol(CHUNKS_PROTOCOL), server.handle_chunks)
    host.set_stream_handler(PEERS_PROTOCOL, discovery.handle)
    return Libp2pNetwork(host, server, gossip, discovery, faults)


def _swarm_of(host: IHost) -> Swarm:
    network = host.get_network()
    if not isinstance(network, Swarm):
        raise LocalFault("libp2p gave a network that is not its Swarm")
    return network


def _check_port_is_free(host: str, port: int) -> None:
    """Refuse a port that somebody listens on: libp2p binds with SO_REUSEPORT and would share it without a word.

    Raises LocalFault.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # a port whose last owner left connections in TIME_WAIT is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except (OSError, OverflowError) as error:
            raise LocalFault(f"cannot listen on {host} port {port}: {error}; choose another address or port") from None


async def _read_chunk(stream: INetStream, peer: PeerId) -> bytes | None:
    prefix = await read_exactly(stream, LENGTH_BYTES)
    if is_refusal(prefix):
        raise NotForYou(f"peer {peer} gives these chunks to accounts with access only")
    return await _read_body(stream, prefix, MAX_CHUNK_BYTES)


async def _read_answer(stream: INetStream, most: int) -> bytes | None:
    return await _read_body(stream, await read_exactly(stream, LENGTH_BYTES), most)


async def _read_body(stream: INetStream, prefix: bytes, most: int) -> bytes | None:
    length = parse_answer_length(prefix, most)
    return None if length is None else await read_exactly(stream, length)


def _verified(chunks: Mapping[Digest, bytes]) -> Mapping[Digest, HashedChunk]:
    return {digest: verified(digest, data) for digest, data in chunks.items()}
