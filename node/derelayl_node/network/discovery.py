"""Finding peers: everybody tells everybody whom it knows, starting from one bootstrap address.

A peer exchange is one stream of `PEERS_PROTOCOL`: the client sends its own addresses, the server answers with its own
and those of the peers it is connected to; both are ``length u32 ‖ UTF-8 text``, one multiaddress with its ``/p2p/``
part on each line. An address is only a hint: the Noise handshake proves who answers there.

Who answers with hundreds of peers of its own, or dials with hundreds of identities, gets a share and no more: see
`places`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.identity.identify.identify import ID as IDENTIFY_PROTOCOL
from libp2p.network.config import RetryConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.rcmgr.metrics import Direction
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.limits import KIB

from ..ports import PeerId
from .addresses import is_wildcard, parse_address, reachable
from .identity import parse_peer_id
from .places import MAX_INBOUND_STRANGERS, Held, Participants, Regulars, excess, nobody, origin_of
from .wire import STREAM_ERRORS, StreamFailed, block, closing, read_block, write

PEERS_PROTOCOL = TProtocol("/derelayl/peers/1")

MAX_PEERS = 64
"""Peers that this node dials up to; a network of fewer is fully connected. Regulars are dialled beyond it."""

MIN_DIALLED = 8
"""Strangers that this node dials however many have dialled it: those it chose itself are not all of one attacker."""

MAX_KNOWN_PEERS = 512
"""Peers with an address in the book; those heard of longest ago go first, regulars never."""

MAX_TOLD = 64
"""Of the book, peers known only from one origin, or teller on this machine: a network as large as is dialled."""

MAX_ADDRESSES = 4
"""Addresses that one peer told of itself, and as many that others told of it; newest first."""

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
"""Dials to strangers at once, and as many more to regulars."""

REDIAL_SECONDS = 2.0
"""At least between two dials to a peer that answers: one whose places are taken hangs up at once."""

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Before the next dial after one, two … failures; a bootstrap that restarts is found again within the last of them."""

FORGET_AFTER_FAILURES = 12
"""Failed dials in a row after which a peer that is no bootstrap leaves the book."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class KnownPeer:
    """What the book holds of one peer; `teller` is the origin, or peer, that told of it first."""

    own: tuple[Multiaddr, ...] = ()
    told: tuple[Multiaddr, ...] = ()
    teller: str = ""
    failures: int = 0
    next_dial: float = 0.0
    exchanges: int = 0
    silent_exchanges: int = 0
    next_exchange: float = 0.0
    lock: trio.Lock = field(default_factory=trio.Lock)

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where to dial it: what it told itself is not displaced by what others say."""
        return tuple(dict.fromkeys((*self.own, *self.told)))


class Discovery:
    """Keeps this node connected to its regulars, and to every other peer that it hears of up to MAX_PEERS."""

    def __init__(
        self,
        host: IHost,
        own_addresses: Callable[[], Sequence[str]],
        bootstrap: Iterable[str],
        is_refused: Callable[[PeerId], bool],
        participants: Participants = nobody,
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
        self.regulars = Regulars(participants)
        self._busy: dict[PeerId, Callable[[PeerId], Awaitable[object]]] = {}
        self._news = trio.Event()
        for text in bootstrap:
            try:
                peer, address = parse_address(text)
            except PeerFault as error:
                raise LocalFault(f"bootstrap address {text!r} cannot be used: {error}") from None
            if peer != self._own_id:
                self.regulars.add_bootstrap(peer)
                self._learn_own(peer, [address])

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
        self.regulars.look(self._book)
        unwelcome = excess(self._inbound_strangers(), MAX_INBOUND_STRANGERS)
        for peer, known in self._book.items():
            if peer not in connected:
                known.exchanges, known.next_exchange = 0, 0.0
        for peer in self._to_dial(now, connected):
            nursery.start_soon(self._alone, peer, self.connect)
        for peer in connected:
            if self._is_refused(peer) or peer in unwelcome:  # whatever else is going on with it
                if self._busy.get(peer) != self._disconnect:
                    nursery.start_soon(self._alone, peer, self._disconnect)
            elif peer not in self._busy and self._known(peer).next_exchange <= now:
                nursery.start_soon(self._alone, peer, self._exchange)

    async def _alone(self, peer: PeerId, act: Callable[[PeerId], Awaitable[object]]) -> None:
        """Do one thing with a peer while nothing else is begun with it, but hanging up."""
        self._busy[peer] = act
        try:
            await act(peer)
        finally:
            if self._busy.get(peer) == act:
                del self._busy[peer]

    async def _disconnect(self, peer: PeerId) -> None:
        with trio.move_on_after(CLOSE_SECONDS):
            await self._host.disconnect(parse_peer_id(peer))

    async def connect(self, peer: PeerId) -> bool:
        """Dial a peer at the addresses known for it, newest first; say whether it is connected."""
        known = self._known(peer)
        async with known.lock:
            for address in known.addresses:
                if self.is_connected(peer) or await self._dial(peer, address):
                    known.failures, known.next_dial = 0, trio.current_time() + REDIAL_SECONDS
                    self._news.set()
                    return True
        known.failures += 1
        known.next_dial = trio.current_time() + BACKOFF_SECONDS[min(known.failures, len(BACKOFF_SECONDS)) - 1]
        if known.failures >= FORGET_AFTER_FAILURES and peer not in self.regulars:
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
        """Note the addresses told; a line that cannot be read is skipped, it may be a kind we do not know.

        Of peers that are new, no more than one teller may bring.
        """
        found: dict[PeerId, list[Multiaddr]] = {}
        for line in told.decode("utf-8", errors="replace").splitlines()[: MAX_PEERS * MAX_ADDRESSES * 2]:
            try:
                peer, address = parse_address(line)
            except PeerFault as error:
                _log.debug("%s told an unusable address: %s", teller, error)
                continue
            if peer != self._own_id:
                found.setdefault(peer, []).append(address)
        seen_at = stream.get_remote_address()
        if teller in found:
            self._learn_own(teller, [reachable(address, seen_at) for address in found.pop(teller)])
        origin = (origin_of(seen_at[0]) if seen_at else "") or teller
        too_many = set([peer for peer in found if peer not in self._book][MAX_TOLD:])
        for peer in found:
            if peer not in too_many and not self.is_connected(peer):
                self._learn_told(peer, [address for address in found[peer] if not is_wildcard(address)], origin)
        self._forget([peer for peer, known in self._book.items() if known.teller == origin], MAX_TOLD)

    # --- book -------------------------------------------------------------------------------------------------------

    def _learn_own(self, peer: PeerId, addresses: Sequence[Multiaddr]) -> None:
        """Note what a peer told of itself, in the place of what was known of it.

        A bootstrap peer keeps the address that this node was given, which survives its restart.
        """
        known = self._known(peer)
        before, known.told = known.addresses, ()
        older = known.own if self.regulars.is_bootstrap(peer) else ()
        known.own = tuple(dict.fromkeys((*addresses, *older)))[:MAX_ADDRESSES]
        self._dial_if_new(known, before)

    def _learn_told(self, peer: PeerId, addresses: Sequence[Multiaddr], teller: str) -> None:
        """Note what others told of a peer."""
        is_new = peer not in self._book
        known = self._known(peer)
        if is_new:
            known.teller = teller
        before = known.addresses
        known.told = tuple(dict.fromkeys((*addresses, *known.told)))[:MAX_ADDRESSES]
        self._dial_if_new(known, before)

    def _dial_if_new(self, known: KnownPeer, before: tuple[Multiaddr, ...]) -> None:
        """Have a new address dialled without waiting."""
        if not set(known.addresses) <= set(before):
            known.failures, known.next_dial = 0, 0.0
            self._news.set()

    def _known(self, peer: PeerId) -> KnownPeer:
        if peer not in self._book:
            self._book[peer] = KnownPeer()
            self._forget([old for old in self._book if old != peer], MAX_KNOWN_PEERS - 1)
        return self._book[peer]

    def _forget(self, peers: Sequence[PeerId], most: int) -> None:
        """Of `peers`, the oldest first, take those beyond `most` out of the book that are nobody to us."""
        excessive = len(peers) - most
        for peer in peers:
            if excessive <= 0:
                return
            if peer not in self.regulars and not self.is_connected(peer):
                del self._book[peer]
                excessive -= 1

    def _inbound_strangers(self) -> list[Held]:
        """Connections that strangers have opened to this node, those of the peer longest here first."""
        held = []
        for identity, connections in self._swarm.connections.items():
            peer = str(identity)
            if peer in self.regulars:
                continue
            connection: Any  # the interfaces of libp2p know neither direction nor remote address
            for connection in connections:
                if connection.direction == Direction.INBOUND and not connection.is_closed:
                    seen_at = connection.muxed_conn.get_remote_address()
                    held.append(Held(peer, (origin_of(seen_at[0]) if seen_at else "") or peer))
        return held

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
        dialling = sum(act == self.connect for act in self._busy.values())
        dialled = sum(peer not in self.regulars and self._is_dialled(peer) for peer in connected)
        room = min(MAX_DIALS, max(MAX_PEERS - len(connected), MIN_DIALLED - dialled))
        regular = [peer for peer in due if peer in self.regulars][: max(0, 2 * MAX_DIALS - dialling)]
        strangers = [peer for peer in due if peer not in self.regulars]
        return regular + strangers[: max(0, room - dialling - len(regular))]

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

    def _is_dialled(self, peer: PeerId) -> bool:
        connections: list[Any] = self._swarm.get_connections(parse_peer_id(peer))
        return any(connection.direction == Direction.OUTBOUND for connection in connections)

    def _live(self, identity: ID) -> bool:
        connections = self._swarm.get_connections(identity)
        return any(not (connection.is_closed or connection.muxed_conn.is_closed) for connection in connections)
