"""Finding peers: everybody tells everybody whom it knows, starting from one bootstrap address.

A peer exchange is one stream of `PEERS_PROTOCOL`: the client sends its own addresses, the server answers with its own
and those of the peers it is connected to; both are ``length u32 ‖ UTF-8 text``, one multiaddress with its ``/p2p/``
part on each line. An address is only a hint: the Noise handshake proves who answers there.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.identity.identify.identify import ID as IDENTIFY_PROTOCOL
from libp2p.network.config import RetryConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr  # type: ignore[import-untyped]
from multiaddr.exceptions import Error as MultiaddrError  # type: ignore[import-untyped]

from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.limits import KIB

from ..ports import PeerId
from .identity import parse_peer_id
from .wire import STREAM_ERRORS, StreamFailed, block, closing, read_block, write

PEERS_PROTOCOL = TProtocol("/derelayl/peers/1")

MAX_PEERS = 64
"""Peers that this node dials up to; a network of fewer is fully connected."""

MAX_KNOWN_PEERS = 512
"""Peers with an address in the book; those heard of longest ago go first."""

MAX_ADDRESSES = 4
"""Addresses of one peer, newest first."""

MAX_PARSED = 4096
"""Addresses that are remembered as read: in a network of 64 everybody tells all of them four times a minute."""

MAX_EXCHANGE_BYTES = 64 * KIB
"""One side of an exchange: MAX_PEERS peers with MAX_ADDRESSES addresses of 200 characters."""

ROUND_SECONDS = 1.0
"""Between two looks at who is missing."""

PAUSE_SECONDS = 0.05
"""At least between two looks."""

EXCHANGE_SECONDS = (1.0, 4.0, 15.0)
"""After the first, second, and every later exchange with a peer: often while a network forms, rarely afterwards."""

EXCHANGE_DEADLINE_SECONDS = 30.0
"""For a whole exchange."""

SILENT_SECONDS = 8.0
"""Without a byte in answer an exchange has met silence; any answer comes sooner, also "I do not speak this"."""

MAX_SILENT_EXCHANGES = 3
"""Exchanges in a row that meet silence before a connection counts as dead: a frozen peer looks connected for ever."""

DIAL_SECONDS = 10.0
"""For one address: connection, Noise and Yamux."""

CLOSE_SECONDS = 5.0
"""For closing the connections to one peer."""

MAX_DIALS = 8
"""Dials at once."""

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Before the next dial after one, two … failures; a bootstrap that restarts is found again within the last of them."""

FORGET_AFTER_FAILURES = 12
"""Failed dials in a row after which a peer that is no bootstrap leaves the book."""

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class KnownPeer:
    """What the book holds of one peer."""

    addresses: tuple[Multiaddr, ...] = ()
    failures: int = 0
    next_dial: float = 0.0
    exchanges: int = 0
    silent_exchanges: int = 0
    next_exchange: float = 0.0
    lock: trio.Lock = field(default_factory=trio.Lock)


class Discovery:
    """Keeps this node connected to every peer it hears of, up to MAX_PEERS."""

    def __init__(
        self,
        host: IHost,
        own_addresses: Callable[[], Sequence[str]],
        bootstrap: Iterable[str],
        is_refused: Callable[[PeerId], bool],
    ) -> None:
        """Raises LocalFault for a bootstrap address that is not a multiaddress with a peer id."""
        self._host = host
        network = host.get_network()
        if not isinstance(network, Swarm):
            raise LocalFault("libp2p gave a network that is not its Swarm")
        self._swarm = network
        # the next round is the retry, with what has been heard meanwhile
        self._swarm.retry_config = RetryConfig(max_retries=0)
        self._own_addresses = own_addresses
        self._is_refused = is_refused
        self._own_id = str(host.get_id())
        self._book: dict[PeerId, KnownPeer] = {}
        self._bootstrap: set[PeerId] = set()
        self._busy: set[PeerId] = set()
        self._news = trio.Event()
        for text in bootstrap:
            try:
                peer, address = parse_address(text)
            except PeerFault as error:
                raise LocalFault(f"bootstrap address {text!r} cannot be used: {error}") from None
            if peer != self._own_id:
                self._bootstrap.add(peer)
                self._learn(peer, [address])

    # --- tasks ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Dial and exchange until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._news = trio.Event()
                self._start_due(nursery)
                # a pause even when there is news: a peer that reconnects in a loop must not keep us busy
                await trio.sleep(PAUSE_SECONDS)
                with trio.move_on_after(ROUND_SECONDS):
                    await self._news.wait()

    def _start_due(self, nursery: trio.Nursery) -> None:
        now, connected = trio.current_time(), self.connected()
        for peer, known in self._book.items():
            if peer not in connected:
                known.exchanges, known.next_exchange = 0, 0.0
        for peer in self._to_dial(now, connected):
            nursery.start_soon(self._alone, peer, self.connect)
        for peer in connected:
            if peer in self._busy:
                continue
            if self._is_refused(peer):
                nursery.start_soon(self._alone, peer, self._disconnect)
            elif self._known(peer).next_exchange <= now:
                nursery.start_soon(self._alone, peer, self._exchange)

    async def _alone(self, peer: PeerId, act: Callable[[PeerId], Awaitable[object]]) -> None:
        """Do one thing with a peer while nothing else is begun with it."""
        self._busy.add(peer)
        try:
            await act(peer)
        finally:
            self._busy.discard(peer)

    async def _disconnect(self, peer: PeerId) -> None:
        with trio.move_on_after(CLOSE_SECONDS):
            await self._host.disconnect(parse_peer_id(peer))

    async def connect(self, peer: PeerId) -> bool:
        """Dial a peer at the addresses known for it, newest first; say whether it is connected."""
        known = self._known(peer)
        async with known.lock:
            for address in known.addresses:
                if self.is_connected(peer) or await self._dial(peer, address):
                    known.failures = 0
                    self._news.set()
                    return True
        known.failures += 1
        known.next_dial = trio.current_time() + BACKOFF_SECONDS[min(known.failures, len(BACKOFF_SECONDS)) - 1]
        if known.failures >= FORGET_AFTER_FAILURES and peer not in self._bootstrap:
            self._book.pop(peer, None)
        return self.is_connected(peer)

    def connected(self) -> tuple[PeerId, ...]:
        """Peers with a live connection, in a stable order."""
        return tuple(sorted(str(peer) for peer in list(self._swarm.connections) if self._live(peer)))

    def is_connected(self, peer: PeerId) -> bool:
        """Say whether a connection to the peer is up."""
        return self._live(parse_peer_id(peer))

    # --- exchange ---------------------------------------------------------------------------------------------------

    async def handle(self, stream: INetStream) -> None:
        """Answer one exchange."""
        peer = str(stream.muxed_conn.peer_id)
        if self._is_refused(peer):
            await stream.reset()
            return
        try:
            async with closing(stream):
                told = await read_block(stream, MAX_EXCHANGE_BYTES)
                await write(stream, block(self._to_tell(peer)))
        except (StreamFailed, ValueError) as error:
            _log.debug("no exchange with %s: %s", peer, error)
            return
        self._hear(peer, told, stream)

    async def _exchange(self, peer: PeerId) -> None:
        """Exchange addresses, and see on the way whether the peer is alive; not every peer speaks this protocol."""
        known, began = self._known(peer), trio.current_time()
        try:
            with trio.fail_after(EXCHANGE_DEADLINE_SECONDS):
                stream = await self._host.new_stream(parse_peer_id(peer), [PEERS_PROTOCOL, IDENTIFY_PROTOCOL])
                async with closing(stream):
                    told = b""  # of a peer that only dials: the stream that it opened shows that it is alive
                    if stream.get_protocol() == PEERS_PROTOCOL:
                        await write(stream, block("\n".join(self._own_addresses()).encode()))
                        told = await read_block(stream, MAX_EXCHANGE_BYTES)
            known.silent_exchanges = 0
            self._hear(peer, told, stream)
        except (StreamFailed, ValueError, trio.TooSlowError, *STREAM_ERRORS) as error:
            _log.debug("no exchange with %s: %r", peer, error)
            silent = trio.current_time() - began >= SILENT_SECONDS
            known.silent_exchanges = known.silent_exchanges + 1 if silent else 0
            if known.silent_exchanges >= MAX_SILENT_EXCHANGES:
                known.silent_exchanges = 0
                await self._disconnect(peer)
        known.next_exchange = trio.current_time() + EXCHANGE_SECONDS[min(known.exchanges, len(EXCHANGE_SECONDS) - 1)]
        known.exchanges += 1

    def _to_tell(self, asker: PeerId) -> bytes:
        """Own addresses, then those of the connected peers, as many as fit."""
        lines = list(self._own_addresses())
        for peer in self.connected():
            if peer != asker and peer in self._book:
                lines += [f"{address}/p2p/{peer}" for address in self._book[peer].addresses]
        size, kept = 0, []
        for line in lines:
            size += len(line.encode()) + 1
            if size > MAX_EXCHANGE_BYTES:
                break
            kept.append(line)
        return "\n".join(kept).encode()

    def _hear(self, teller: PeerId, told: bytes, stream: INetStream) -> None:
        """Note the addresses told; a line that cannot be read is skipped, it may be a kind we do not know."""
        found: dict[PeerId, list[Multiaddr]] = {}
        for line in told.decode("utf-8", errors="replace").splitlines()[: MAX_PEERS * MAX_ADDRESSES * 2]:
            try:
                peer, address = parse_address(line)
            except PeerFault as error:
                _log.debug("%s told an unusable address: %s", teller, error)
                continue
            if peer != self._own_id:
                found.setdefault(peer, []).append(address)
        for peer, addresses in found.items():
            if peer == teller:
                seen_at = stream.get_remote_address()
                self._learn(peer, [_reachable(address, seen_at) for address in addresses], replace=True)
            elif not self.is_connected(peer):
                self._learn(peer, [address for address in addresses if not _is_wildcard(address)])

    # --- book -------------------------------------------------------------------------------------------------------

    def _learn(self, peer: PeerId, addresses: Sequence[Multiaddr], *, replace: bool = False) -> None:
        """Put addresses in front of those known, or in their place; a new address is dialled without waiting.

        A bootstrap peer keeps the address that this node was given, which survives its restart.
        """
        known = self._known(peer)
        fresh = any(address not in known.addresses for address in addresses)
        older = known.addresses if not replace or peer in self._bootstrap else ()
        known.addresses = tuple(dict.fromkeys((*addresses, *older)))[:MAX_ADDRESSES]
        if fresh:
            known.failures, known.next_dial = 0, 0.0
            self._news.set()

    def _known(self, peer: PeerId) -> KnownPeer:
        if peer not in self._book:
            self._book[peer] = KnownPeer()
            for old in [old for old in self._book if old not in self._bootstrap and not self.is_connected(old)]:
                if len(self._book) <= MAX_KNOWN_PEERS or old == peer:
                    break
                del self._book[old]
        return self._book[peer]

    def _to_dial(self, now: float, connected: tuple[PeerId, ...]) -> list[PeerId]:
        due = [
            peer
            for peer, known in self._book.items()
            if known.addresses
            and known.next_dial <= now
            and peer not in connected
            and peer not in self._busy
            and not self._is_refused(peer)
        ]
        return due[: max(0, min(MAX_DIALS, MAX_PEERS - len(connected)) - len(self._busy))]

    # --- libp2p -----------------------------------------------------------------------------------------------------

    async def _dial(self, peer: PeerId, address: Multiaddr) -> bool:
        identity = parse_peer_id(peer)
        # libp2p dials one of all addresses it has ever heard, and for a minute none after a failure: leave it no choice
        self._swarm.peerstore.clear_addrs(identity)
        self._swarm.unblock_peer(identity)
        try:
            with trio.fail_after(DIAL_SECONDS):
                await self._host.connect(PeerInfo(identity, [address]))
        except (trio.TooSlowError, *STREAM_ERRORS) as error:
            _log.debug("peer %s does not answer at %s: %r", peer, address, error)
            return False
        return True

    def _live(self, identity: ID) -> bool:
        connections = self._swarm.get_connections(identity)
        return any(not (connection.is_closed or connection.muxed_conn.is_closed) for connection in connections)


@lru_cache(MAX_PARSED)
def parse_address(text: str) -> tuple[PeerId, Multiaddr]:
    """Split a TCP multiaddress into its peer id and the rest. Raises PeerFault."""
    try:
        whole = Multiaddr(text)
        names = [protocol.name for protocol in whole.protocols()]
        if names not in (
            ["ip4", "tcp", "p2p"],
            ["ip6", "tcp", "p2p"],
            ["dns4", "tcp", "p2p"],
            ["dns6", "tcp", "p2p"],
            ["dns", "tcp", "p2p"],
        ):
            raise PeerFault("expected /ip4/ADDRESS/tcp/PORT/p2p/PEER (or ip6, dns, dns4, dns6)")
        peer = str(whole.value_for_protocol("p2p"))
        return str(parse_peer_id(peer)), whole.decapsulate(Multiaddr(f"/p2p/{peer}"))
    except (MultiaddrError, ValueError) as error:
        raise PeerFault(f"not a multiaddress: {error}") from None


def _is_wildcard(address: Multiaddr) -> bool:
    return any(f"/{wildcard}/" in str(address) for wildcard in WILDCARDS)


def _reachable(address: Multiaddr, seen_at: tuple[str, int] | None) -> Multiaddr:
    """Replace "all interfaces" by the IP address that the peer was seen at."""
    if seen_at is None or not _is_wildcard(address):
        return address
    kind = "ip6" if ":" in seen_at[0] else "ip4"
    return Multiaddr(f"/{kind}/{seen_at[0]}/tcp/{address.value_for_protocol('tcp')}")
