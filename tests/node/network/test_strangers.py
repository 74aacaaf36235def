"""Peers that speak libp2p and not all of our protocols, or under a key that is no account."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import libp2p
import pytest
import trio
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.identity.identify.identify import ID as IDENTIFY_PROTOCOL
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from multiaddr import Multiaddr  # type: ignore[import-untyped]
from tests.node.conformance.network import DEADLINE_SECONDS, eventually

from derelayl_node.network import discovery
from derelayl_node.network.host import Libp2pNetwork, open_network
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.messages import CHUNKS_PROTOCOL, encode_chunks_request, encode_refusal
from derelayl_protocol.types import Address, Digest

LOCAL = Multiaddr("/ip4/127.0.0.1/tcp/0")


@asynccontextmanager
async def stranger(node: Libp2pNetwork) -> AsyncIterator[IHost]:
    """A plain libp2p host with an Ed25519 key, connected to the node."""
    host = libp2p.new_host(key_pair=create_new_key_pair(bytes(31) + b"\x07"), listen_addrs=[LOCAL])
    async with host.run([LOCAL]):
        await host.connect(info_from_p2p_addr(Multiaddr(node.addresses[0])))
        await eventually(lambda: str(host.get_id()) in node.peers(), "connected")
        try:
            yield host
        finally:
            await host.close()


async def ask_for_chunk(host: IHost, node: Libp2pNetwork, digest: Digest) -> bytes:
    """Ask as PROTOCOL.md says; the bytes of the answer until the node closes."""
    peer: PeerInfo = info_from_p2p_addr(Multiaddr(node.addresses[0]))
    stream: Any = await host.new_stream(peer.peer_id, [TProtocol(CHUNKS_PROTOCOL)])
    await stream.write(encode_chunks_request([digest]))
    await stream.close_write()
    return await stream.read()


@pytest.fixture
def frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "EXCHANGE_SECONDS", (0.02,))
    monkeypatch.setattr(discovery, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(discovery, "ROUND_SECONDS", 0.01)


@pytest.mark.usefixtures("frequent")
async def test_a_peer_that_only_dials_stays_connected(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with open_network(bytes(31) + b"\x01", store=MemoryStore()) as node, stranger(node) as host:
            identity = str(host.get_id())
            asked = node._discovery._known(identity)
            await eventually(lambda: asked.exchanges > 2 * discovery.MAX_SILENT_EXCHANGES, "asked again and again")
            assert identity in node.peers()
            assert node.faults_of(identity) == 0
            assert "peers/1" not in caplog.text


@pytest.mark.usefixtures("frequent")
async def test_a_peer_that_answers_nothing_any_more_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(discovery, "EXCHANGE_DEADLINE_SECONDS", 0.2)

    async def take_and_say_nothing(stream: INetStream) -> None:
        await trio.sleep_forever()

    async with open_network(bytes(31) + b"\x01", store=MemoryStore()) as node, stranger(node) as host:
        host.set_stream_handler(discovery.PEERS_PROTOCOL, take_and_say_nothing)
        host.set_stream_handler(TProtocol(str(IDENTIFY_PROTOCOL)), take_and_say_nothing)
        await eventually(lambda: node.peers() == (), "cut off")


async def test_a_peer_without_an_account_gets_what_is_free() -> None:
    store = MemoryStore()
    digest = store.put_chunk(HashedChunk(b"weights"))
    async with open_network(bytes(31) + b"\x01", store=store) as node, stranger(node) as host:
        with trio.fail_after(DEADLINE_SECONDS):
            assert await ask_for_chunk(host, node, digest) == (7).to_bytes(4, "big") + b"weights"
        assert node.faults_of(str(host.get_id())) == 0


async def test_a_peer_without_an_account_is_refused_what_is_paid_and_not_blamed() -> None:
    asked: list[Address | None] = []

    async def admit(account: Address | None, digest: Digest) -> bool:
        asked.append(account)
        return account is not None

    store = MemoryStore()
    digest = store.put_chunk(HashedChunk(b"weights"))
    async with open_network(bytes(31) + b"\x01", store=store, admit=admit) as node, stranger(node) as host:
        with trio.fail_after(DEADLINE_SECONDS):
            assert await ask_for_chunk(host, node, digest) == encode_refusal()
        assert node.faults_of(str(host.get_id())) == 0
    assert asked == [None]
