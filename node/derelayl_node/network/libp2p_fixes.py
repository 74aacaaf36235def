"""Repairs of py-libp2p 0.8.1, applied once per process before the first host is made.

Each repair replaces one private function, so `apply` refuses every other version: on an upgrade, read the functions
named here again and run `tests/node/network/test_libp2p_fixes.py`, which also shows what libp2p does without each
repair: where that test fails, upstream has mended it, and the repair goes.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections import Counter
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

import libp2p.network.connection.swarm_connection as swarm_connection
import libp2p.network.swarm as swarm
import libp2p.pubsub.pubsub as pubsub
import libp2p.stream_muxer.yamux.yamux as yamux
import trio
from libp2p.abc import IMuxedConn, INetStream
from libp2p.host.basic_host import BasicHost
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from derelayl_protocol.errors import LocalFault

from .places import MAX_FROM_ORIGIN, origin_of

SUPPORTED_VERSION = "0.8.1"
"""The only version whose private functions are known to be the ones replaced here."""

FRAME_BYTES = 65_519
"""Yamux frame payload: the largest that fits one Noise message; the default of 65,524 makes two, at twice the CPU."""

HAPPY_EYEBALLS_SECONDS = 0.02
"""How long a dial waits before it tries the next address; the default of 0.25 s is waited even with one address."""

SUBSCRIPTION_MESSAGES = 256
"""Gossip messages that wait for the task that drains them; the default of 32 loses bursts without an error."""

CLOSE_SECONDS = 1.0
"""For closing one socket of a connection that has ended."""

_log = logging.getLogger(__name__)
_SILENT = logging.NullHandler()
_held: WeakKeyDictionary[swarm.Swarm, Counter[str]] = WeakKeyDictionary()
"""Inbound connections of each origin, from the first byte on."""

_dialled: WeakKeyDictionary[TCP, WeakSet[trio.SocketStream]] = WeakKeyDictionary()
"""What each transport has dialled and something still refers to."""

_original_dial = TCP._dial_resolved
_original_inbound = swarm.Swarm._do_handle_inbound_connection
_original_stream_handler = BasicHost._swarm_stream_handler
_original_push = pubsub.Pubsub.push_msg


def apply() -> None:
    """Install the repairs and settings; calling it again changes nothing.

    Raises LocalFault for a version of libp2p that they were not written for.
    """
    version = importlib.metadata.version("libp2p")
    if version != SUPPORTED_VERSION:
        raise LocalFault(
            f"libp2p {version} is installed, but only {SUPPORTED_VERSION} is supported: pip install libp2p==0.8.1"
        )
    yamux.MAX_MESSAGE_SIZE = FRAME_BYTES
    swarm._HAPPY_EYEBALLS_DELAY = HAPPY_EYEBALLS_SECONDS
    pubsub.SUBSCRIPTION_CHANNEL_SIZE = SUBSCRIPTION_MESSAGES
    # logging.debug() on the module installs a handler on the root logger behind the application's back
    swarm_connection.logging = logging.getLogger("libp2p.network.connection")  # type: ignore[attr-defined,assignment]
    # without a handler, Python prints every refused dial to stderr; LIBP2P_DEBUG still shows them
    logging.getLogger("libp2p").addHandler(_SILENT)
    TCP._dial_resolved = _dial  # type: ignore[method-assign,assignment]
    swarm.Swarm._do_handle_inbound_connection = _handle_inbound  # type: ignore[method-assign,assignment]
    BasicHost._swarm_stream_handler = _handle_stream  # type: ignore[method-assign,assignment]
    pubsub.Pubsub.push_msg = _push_message  # type: ignore[method-assign,assignment]


async def close_rest(ended: swarm.Swarm) -> None:
    """Close the sockets that a swarm has left open: where closing was cut short, it does."""
    for listener in ended.listeners.values():
        await _shielded(listener.close)
    for transport in ended.transport_manager.get_transports():
        for stream in tuple(_dialled.pop(cast(TCP, transport), ())):
            stream.socket.close()


async def _dial(self: TCP, address: Multiaddr, source: tuple[str, int] | None = None) -> Any:
    """Dial, and remember the socket for `close_rest`."""
    connection: Any = await _original_dial(self, address, source)
    _dialled.setdefault(self, WeakSet()).add(connection.stream.stream)
    return connection


async def _handle_inbound(self: swarm.Swarm, closer: Any, listener: Multiaddr, failure: Any) -> None:
    """Serve one inbound connection until it closes.

    The original waits until the whole swarm ends while it holds a slot of the inbound limit: a node accepts 250
    connections in its life and is deaf from then on. This one gives the slot back when the connection ends, and takes
    no more than MAX_FROM_ORIGIN at a time from one network, with or without a handshake.
    """
    if isinstance(closer, IMuxedConn):  # QUIC and the like: not ours to repair
        await _original_inbound(self, cast(ReadWriteCloser, closer), listener, failure)
        return
    remote = self._build_remote_multiaddr(closer)
    if remote is not None and not await self.connection_gate.is_allowed(remote):
        await closer.close()
        return
    seen_at = closer.get_remote_address()
    origin = origin_of(seen_at[0]) if seen_at else ""
    held = _held.setdefault(self, Counter())
    if origin and held[origin] >= MAX_FROM_ORIGIN:
        await _quietly(closer.close)
        return
    held[origin] += 1
    raw = RawConnection(closer, False)
    try:
        connection: Any = await self.upgrade_inbound_raw_conn(raw, listener)
        await connection.event_closed.wait()
    except Exception as error:  # noqa: BLE001 - a failed handshake, however it failed, may only cost the stranger
        _log.debug("inbound connection from %s ended: %r", remote, error)
    finally:
        held[origin] -= 1
        if not held[origin]:
            del held[origin]
        await _shielded(raw.close)


async def _handle_stream(self: BasicHost, stream: INetStream) -> None:
    """Run the handler of one inbound stream and keep its exceptions.

    In the original, an exception that leaves a handler cancels the whole host: a peer that stops reading can end a
    node.
    """
    try:
        await _original_stream_handler(self, stream)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises, the other peers must not notice
        _log.warning("handler of %s failed: %r", stream.get_protocol(), error)
        await _quietly(stream.reset)


async def _push_message(self: pubsub.Pubsub, forwarder: ID, message: Any) -> None:
    """Handle one gossip message and drop it when that raises.

    In the original, a message whose key field does not decode raises inside a task of the service and ends the host.
    """
    try:
        await _original_push(self, forwarder, message)
    except Exception as error:
        if forwarder == self.my_id:
            raise
        _log.warning("gossip message from %s dropped: %r", forwarder, error)


async def _shielded(close: Any) -> None:
    """Close one socket although this task is cancelled, but not for long."""
    with trio.move_on_after(CLOSE_SECONDS) as scope:
        scope.shield = True
        await _quietly(close)


async def _quietly(close: Any) -> None:
    try:
        await close()
    except Exception as error:  # noqa: BLE001 - the other side is gone; nothing depends on how its socket closes
        _log.debug("close failed: %r", error)
