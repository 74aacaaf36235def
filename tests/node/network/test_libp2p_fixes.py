import importlib.metadata
from contextlib import suppress

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.host.exceptions import StreamFailure
from libp2p.network.swarm import Swarm
from libp2p.pubsub.pb import rpc_pb2
from multiaddr import Multiaddr  # type: ignore[import-untyped]
from tests.node.conformance.network import DEADLINE_SECONDS, MODEL, ROOT, TRAINER, eventually

from derelayl_node.network import libp2p_fixes
from derelayl_node.network.gossip import topic_of
from derelayl_node.network.host import Libp2pNetwork, open_network
from derelayl_node.network.identity import parse_peer_id
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.errors import LocalFault

CONNECTIONS = 260
"""More than the 250 after which an unrepaired node accepts none."""

AT_ONCE = 13
"""Connections open at the same time: closing one takes libp2p 0.1 s."""

EXPLODE = TProtocol("/test/explode/1")


def test_another_version_of_libp2p_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.9.0")
    with pytest.raises(LocalFault, match=r"libp2p 0\.9\.0 is installed, but only 0\.8\.1 is supported"):
        libp2p_fixes.apply()


def test_applying_twice_changes_nothing() -> None:
    libp2p_fixes.apply()
    before = Swarm._do_handle_inbound_connection
    libp2p_fixes.apply()
    assert Swarm._do_handle_inbound_connection is before


@pytest.mark.slow
async def test_a_node_accepts_more_than_250_connections_in_its_life() -> None:
    async with (
        open_network(b"\x01" * 32, store=MemoryStore()) as node,
        open_network(b"\x02" * 32, store=MemoryStore()) as caller,
    ):
        here, there = node._host.get_network(), caller._host.get_network()
        assert isinstance(here, Swarm)
        address, target = Multiaddr(node.addresses[0]), parse_peer_id(node.peer_id)

        async def connect_and_leave() -> None:
            connection = await there.dial_addr(address, target)
            assert not connection.is_closed
            await connection.close()

        with trio.fail_after(3 * DEADLINE_SECONDS):
            for _ in range(CONNECTIONS // AT_ONCE):
                async with trio.open_nursery() as nursery:
                    for _ in range(AT_ONCE):
                        nursery.start_soon(connect_and_leave)
        await eventually(lambda: here._inbound_limiter.borrowed_tokens == 0, "all slots are free again")


async def test_a_handler_that_raises_costs_only_its_stream() -> None:
    async def explode(stream: object) -> None:
        raise ZeroDivisionError

    store = MemoryStore()
    store.put_manifest(ROOT, b"here")
    async with open_network(b"\x01" * 32, store=store) as node:
        node._host.set_stream_handler(EXPLODE, explode)
        async with open_network(b"\x02" * 32, store=MemoryStore(), bootstrap=node.addresses) as caller:
            await eventually(caller.peers, "connected")
            for _ in range(3):
                with suppress(StreamFailure):  # the reset may overtake the end of the negotiation
                    await caller._host.new_stream(parse_peer_id(node.peer_id), [EXPLODE])
            assert await caller.request_manifest(node.peer_id, ROOT) == b"here"


async def test_a_gossip_message_that_cannot_be_decoded_costs_only_itself() -> None:
    async with (
        open_network(b"\x01" * 32, store=MemoryStore(), models=[MODEL]) as node,
        open_network(b"\x02" * 32, store=MemoryStore(), models=[MODEL], bootstrap=node.addresses) as sender,
    ):
        await eventually(lambda: knows_topic(sender, node), "subscribed")
        # an author whose id holds no key, and a key that is none: libp2p raises where it should refuse
        message = rpc_pb2.Message(data=b"x", topicIDs=[topic_of(MODEL)], from_id=b"\x12\x20" + bytes(32), seqno=b"1")
        message.key, message.signature = b"\xff\xff", b"signature"
        stream = sender._gossip._pubsub.peers[parse_peer_id(node.peer_id)]
        await sender._gossip._pubsub.write_msg(stream, rpc_pb2.RPC(publish=[message]))
        await sender.announce(Announcement(MODEL, 1, ROOT, TRAINER))
        with trio.fail_after(DEADLINE_SECONDS):
            assert (await node.next_announcement())[1].round == 1


def knows_topic(node: Libp2pNetwork, other: Libp2pNetwork) -> bool:
    topic, target = topic_of(MODEL), parse_peer_id(other.peer_id)
    return target in node._gossip._pubsub.peer_topics.get(topic, ()) and target in node._gossip._pubsub.peers
