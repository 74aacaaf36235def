"""What PROTOCOL.md tells strangers of our gossip is what runs, in our constants and in the library's defaults."""

from __future__ import annotations

import re
from pathlib import Path

from libp2p.pubsub.pubsub import get_peer_and_seqno_msg_id

from derelayl_node.network import discovery, host, places, serve, wire
from derelayl_node.network.host import open_network
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.limits import KIB, MAX_ANNOUNCEMENT_BYTES

TEXT = (Path(__file__).parents[3] / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
TABLE = dict(
    re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", TEXT.split("### Gossip")[1].split("### ")[0], flags=re.MULTILINE)
)


def numbers(row: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+", TABLE[row])]


async def test_gossip_has_the_parameters_that_the_specification_names() -> None:
    async with open_network(bytes(31) + b"\x01", store=MemoryStore()) as node:
        router, pubsub = node._gossip._router, node._gossip._pubsub
        assert numbers("D, D_low, D_high") == [router.degree, router.degree_low, router.degree_high]
        assert numbers("heartbeat") == [router.heartbeat_interval]
        kept, gossiped = router.mcache.history_size, router.mcache.window_size
        assert numbers("history: windows kept, windows gossiped") == [kept, gossiped]
        assert numbers("ids remembered as seen; fanout kept") == [pubsub.seen_messages.ttl, router.time_to_live]
        assert numbers("messages of a peer on a topic") == [router.max_messages_per_topic_per_second]
        assert numbers("one RPC frame") == [pubsub.max_inbound_rpc_size / KIB]
        assert numbers("one message") == [MAX_ANNOUNCEMENT_BYTES / KIB]
        assert not router.do_px
        assert pubsub._msg_id_constructor is get_peer_and_seqno_msg_id
        assert pubsub.strict_signing
        spoken = [str(protocol) for protocol in node._host.get_mux().get_protocols() if protocol]
        assert [protocol for protocol in spoken if f"`{protocol}`" not in TEXT] == []


def test_limits_and_waits_are_those_that_the_specification_names() -> None:
    section = " ".join(TEXT.split("### Connections")[1].split("### ")[0].split())
    first, second, later = discovery.EXCHANGE_SECONDS
    for words in (
        f"after {first:g} s, {second:g} s, and then every {later:g} s",
        f"dials up to {discovery.MAX_PEERS} peers and holds up to {host.MAX_CONNECTIONS} connections",
        f"accepts up to {places.MAX_INBOUND} connections, {places.MAX_FROM_ORIGIN} of them from one network",
        f"Beyond {places.MAX_INBOUND_STRANGERS} connections from strangers",
        f"the last {places.MAX_PARTICIPANTS} whose accounts",
        f"the last {places.MAX_SERVERS} that gave valid chunks",
        f"keeps {discovery.MAX_TOLD} told from one network",
        f"{serve.MAX_STREAMS_PER_PEER} streams of a peer and {serve.MAX_STREAMS} of all peers",
        f"no byte moves for {wire.IDLE_SECONDS:g} s",
        f"{wire.IDLE_SECONDS:g} s and 1 s for each {wire.MIN_BYTES_PER_SECOND // KIB} KiB",
    ):
        assert words in section
