"""Each repair mends something that libp2p alone still does: a repair whose second test fails is to be dropped."""

import importlib.metadata
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from libp2p.abc import INetConn
from libp2p.custom_types import TProtocol
from libp2p.host.exceptions import StreamFailure
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.pubsub.pb import rpc_pb2
from multiaddr import Multiaddr  # type: ignore[import-untyped]
from tests.node.conformance.network import DEADLINE_SECONDS, MODEL, ROOT, TRAINER, eventually
from trio.testing import wait_all_tasks_blocked

from derelayl_node.network import libp2p_fixes
from derelayl_node.network.gossip import topic_of
from derelayl_node.network.host import Libp2pNetwork, NetworkDown, open_network
from derelayl_node.network.identity import parse_peer_id
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.errors import LocalFault

EXPLODE = TProtocol("/test/explode/1")

WITHOUT = {
    "_handle_inbound": libp2p_fixes._original_inbound,
    "_handle_stream": libp2p_fixes._original_stream_handler,
    "_push_message": libp2p_fixes._original_push,
}
"""Our functions, by name, and what libp2p has in their place."""


@pytest.fixture
def unrepaired(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave one repair out of what the next node installs: where libp2p has mended it, the test fails; then drop it."""
    monkeypatch.setattr(libp2p_fixes, request.param, WITHOUT[request.param])


def without(repair: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("unrepaired", [repair], indirect=True)


def test_another_version_of_libp2p_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.9.0")
    with pytest.raises(LocalFault, match=r"libp2p 0\.9\.0 is installed, but only 0\.8\.1 is supported"):
        libp2p_fixes.apply()


def test_applying_twice_changes_nothing() -> None:
    libp2p_fixes.apply()
    before = Swarm._do_handle_inbound_connection
    libp2p_fixes.apply()
    assert Swarm._do_handle_inbound_connection is before


# --- each connection takes a slot -------------------------------------------------------------------------------------


@asynccontextmanager
async def node_with_one_slot() -> AsyncIterator[tuple[Swarm, Callable[[], Awaitable[INetConn]]]]:
    """The swarm of a node that accepts one connection at a time, and what dials it."""
    async with (
        open_network(b"\x01" * 32, store=MemoryStore()) as node,
        open_network(b"\x02" * 32, store=MemoryStore()) as caller,
    ):
        here, there = node._host.get_network(), caller._host.get_network()
        assert isinstance(here, Swarm)
        here._inbound_limiter.total_tokens = 1
        yield here, partial(there.dial_addr, Multiaddr(node.addresses[0]), parse_peer_id(node.peer_id))


async def test_a_connection_that_has_ended_gives_its_slot_back() -> None:
    async with node_with_one_slot() as (here, dial):
        for _ in range(3):
            await (await dial()).close()
            await eventually(lambda: here._inbound_limiter.borrowed_tokens == 0, "the slot is free again")


@without("_handle_inbound")
@pytest.mark.usefixtures("unrepaired")
async def test_libp2p_alone_keeps_the_slot_of_a_connection_that_has_ended() -> None:
    async with node_with_one_slot() as (here, dial):
        connection = await dial()
        await eventually(lambda: here.connections, "connected")
        await connection.close()
        await eventually(lambda: not here.connections, "the node has noticed")
        await wait_all_tasks_blocked()
        assert here._inbound_limiter.borrowed_tokens == 1
        with pytest.raises(SwarmException):
            await dial()


# --- a handler raises -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def node_whose_handler_has_raised() -> AsyncIterator[tuple[Libp2pNetwork, Libp2pNetwork]]:
    """A node, of which ROOT's manifest can be had, and who has made its handler raise."""

    async def explode(stream: object) -> None:
        raise ZeroDivisionError

    store = MemoryStore()
    store.put_manifest(ROOT, b"here")
    async with open_network(b"\x01" * 32, store=store) as node:
        node._host.set_stream_handler(EXPLODE, explode)
        async with open_network(b"\x02" * 32, store=MemoryStore(), bootstrap=node.addresses) as caller:
            await eventually(caller.peers, "connected")
            with suppress(StreamFailure):  # the reset may overtake the end of the negotiation
                await caller._host.new_stream(parse_peer_id(node.peer_id), [EXPLODE])
            yield node, caller


async def test_a_handler_that_raises_costs_only_its_stream() -> None:
    async with node_whose_handler_has_raised() as (node, caller):
        assert await caller.request_manifest(node.peer_id, ROOT) == b"here"


@without("_handle_stream")
@pytest.mark.usefixtures("unrepaired")
async def test_in_libp2p_alone_a_handler_that_raises_ends_the_host() -> None:
    with trio.fail_after(DEADLINE_SECONDS), pytest.raises(NetworkDown, match="ZeroDivisionError"):
        async with node_whose_handler_has_raised():
            await trio.sleep_forever()  # until the end of the host cancels it


# --- a gossip message does not decode ---------------------------------------------------------------------------------


@asynccontextmanager
async def node_that_got_a_broken_message() -> AsyncIterator[tuple[Libp2pNetwork, Libp2pNetwork]]:
    """A node and who has sent it a message whose author holds no key, with a key that is none."""
    async with (
        open_network(b"\x01" * 32, store=MemoryStore(), models=[MODEL]) as node,
        open_network(b"\x02" * 32, store=MemoryStore(), models=[MODEL], bootstrap=node.addresses) as sender,
    ):
        await eventually(lambda: knows_topic(sender, node), "subscribed")
        message = rpc_pb2.Message(data=b"x", topicIDs=[topic_of(MODEL)], from_id=b"\x12\x20" + bytes(32), seqno=b"1")
        message.key, message.signature = b"\xff\xff", b"signature"
        stream = sender._gossip._pubsub.peers[parse_peer_id(node.peer_id)]
        await sender._gossip._pubsub.write_msg(stream, rpc_pb2.RPC(publish=[message]))
        yield node, sender


async def test_a_gossip_message_that_cannot_be_decoded_costs_only_itself() -> None:
    async with node_that_got_a_broken_message() as (node, sender):
        await sender.announce(Announcement(MODEL, 1, ROOT, TRAINER))
        with trio.fail_after(DEADLINE_SECONDS):
            assert (await node.next_announcement())[1].round == 1


@without("_push_message")
@pytest.mark.usefixtures("unrepaired")
async def test_in_libp2p_alone_a_gossip_message_that_cannot_be_decoded_ends_the_host() -> None:
    with trio.fail_after(DEADLINE_SECONDS), pytest.raises(NetworkDown, match="DecodeError"):
        async with node_that_got_a_broken_message():
            await trio.sleep_forever()  # until the end of the host cancels it


def knows_topic(node: Libp2pNetwork, other: Libp2pNetwork) -> bool:
    topic, target = topic_of(MODEL), parse_peer_id(other.peer_id)
    return target in node._gossip._pubsub.peer_topics.get(topic, ()) and target in node._gossip._pubsub.peers
