"""Identities cost nothing: who comes with many has no more of a node than a share, and regulars keep their places."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.abc import IHost, INetStream
from tests.node.conformance.network import DEADLINE_SECONDS, MODEL, eventually

from derelayl_node.network import discovery, host, libp2p_fixes
from derelayl_node.network.addresses import parse_address
from derelayl_node.network.discovery import PEERS_PROTOCOL, Discovery
from derelayl_node.network.gossip import topic_of
from derelayl_node.network.host import Libp2pNetwork, open_network
from derelayl_node.network.identity import address_of, parse_peer_id, peer_id_of
from derelayl_node.network.places import MAX_SERVERS, Held, Regulars, excess, origin_of
from derelayl_node.network.wire import block
from derelayl_node.ports import PeerId
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.types import Address, Digest


def secret(number: int) -> bytes:
    return number.to_bytes(32, "big")


def account(number: int) -> Address:
    found = address_of(peer_id_of(secret(number)))
    assert found is not None
    return found


IDS = [peer_id_of(secret(number)) for number in range(1, 200)]

# --- whose places are kept --------------------------------------------------------------------------------------------


def test_an_account_that_took_part_stays_a_regular_when_the_round_is_over() -> None:
    accounts = {account(1)}
    regulars = Regulars(lambda: accounts)
    regulars.look(IDS)
    accounts.clear()
    regulars.look(IDS)
    assert [peer for peer in IDS if peer in regulars] == [IDS[0]]


def test_of_those_that_give_chunks_as_any_stranger_can_few_are_regulars_and_they_displace_nobody_else() -> None:
    regulars = Regulars(lambda: {account(1)})
    regulars.look(IDS)
    regulars.add_bootstrap(IDS[1])
    for peer in IDS[2:]:
        regulars.served(peer)
    assert [peer for peer in IDS if peer in regulars] == [*IDS[:2], *IDS[-MAX_SERVERS:]]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "203.0.113.250", True),
        ("203.0.113.7", "203.0.114.7", False),
        ("::ffff:203.0.113.7", "203.0.113.250", True),
        ("2001:db8:1:2::3", "2001:db8:1:ffff::4", True),
        ("2001:db8:1::3", "2001:db8:2::3", False),
    ],
)
def test_addresses_that_cost_nothing_more_are_one_origin(one: str, other: str, same: bool) -> None:
    assert (origin_of(one) == origin_of(other)) is same


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_on_loopback_an_address_says_nothing(address: str) -> None:
    assert origin_of(address) == ""


# --- who has to go ----------------------------------------------------------------------------------------------------


def test_nobody_has_to_go_while_there_is_room() -> None:
    assert excess([Held("a", "net"), Held("b", "net")], 2) == set()


def test_the_crowd_goes_and_not_those_who_come_alone_however_late() -> None:
    crowd = [Held(f"sybil{number}", "net") for number in range(10)]
    assert excess([*crowd, Held("late", "elsewhere")], 4) == {f"sybil{number}" for number in range(3, 10)}


def test_where_all_come_alone_the_newest_goes() -> None:
    assert excess([Held(name, name) for name in "abcd"], 3) == {"d"}


def test_who_holds_several_connections_is_a_crowd() -> None:
    assert excess([Held("greedy", "greedy")] * 3 + [Held("late", "late")], 3) == {"greedy"}


# --- the book, with sockets -------------------------------------------------------------------------------------------


def lines(ids: Sequence[PeerId], port: int = 1) -> str:
    return "\n".join(f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}" for peer in ids)


def tell(sybil: Libp2pNetwork, told: str) -> None:
    """Have a node answer every exchange with this."""

    async def answer(stream: INetStream) -> None:
        await stream.read(1)
        await stream.write(block(told.encode()))
        await stream.close()

    engine: IHost = sybil._host
    engine.set_stream_handler(PEERS_PROTOCOL, answer)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of everything, and often."""
    for name, value in {
        "MAX_PEERS": 2,
        "MIN_DIALLED": 1,
        "MAX_KNOWN_PEERS": 12,
        "MAX_TOLD": 4,
        "MAX_INBOUND_STRANGERS": 2,
        "EXCHANGE_SECONDS": (0.02,),
        "PAUSE_SECONDS": 0.01,
        "ROUND_SECONDS": 0.02,
        "BACKOFF_SECONDS": (0.05,),
        "REDIAL_SECONDS": 0.05,
    }.items():
        monkeypatch.setattr(discovery, name, value)
    monkeypatch.setattr(host, "MAX_INBOUND", 16)


@asynccontextmanager
async def crowd_at(victim: Libp2pNetwork, numbers: Sequence[int]) -> AsyncIterator[list[Libp2pNetwork]]:
    """Identities of one attacker that dial the victim and tell only of peers that nobody finds."""
    async with trio.open_nursery() as nursery:
        sybils: list[Libp2pNetwork] = []

        async def live(number: int) -> None:
            opening = open_network(secret(number), store=MemoryStore(), bootstrap=victim.addresses)
            async with opening as sybil:
                tell(sybil, lines(IDS[100:]))
                sybil._discovery._learn_told = lambda *told: None  # type: ignore[method-assign]  # it wants the victim
                sybils.append(sybil)
                await trio.sleep_forever()

        for number in numbers:
            nursery.start_soon(live, number)
        await eventually(lambda: len(sybils) == len(numbers), "the crowd is there")
        yield sybils
        nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("small")
async def test_one_teller_fills_no_more_of_the_book_than_its_share() -> None:
    async with (
        open_network(secret(1), store=MemoryStore()) as victim,
        open_network(secret(2), store=MemoryStore(), bootstrap=victim.addresses) as sybil,
    ):
        tell(sybil, lines(IDS[100:]))
        book = victim._discovery._book
        await eventually(lambda: book.keys() & set(IDS[100:]), "told")
        asked = victim._discovery._known(sybil.peer_id)
        await eventually(lambda: asked.exchanges > 5, "told again and again")
        assert 0 < len(book.keys() & set(IDS[100:])) <= 4


@pytest.mark.usefixtures("small")
async def test_what_others_say_does_not_displace_what_a_peer_said_of_itself() -> None:
    async with (
        open_network(secret(1), store=MemoryStore()) as victim,
        open_network(secret(2), store=MemoryStore(), bootstrap=victim.addresses) as honest,
    ):
        known = victim._discovery._known(honest.peer_id)
        await eventually(lambda: known.own, "it has told")
        own = known.own
        for port in range(1, 20):
            victim._discovery._learn_told(honest.peer_id, [parse_address(lines(IDS[:1], port))[1]], "liar")
        assert known.addresses[0] == own[0]
        assert len(known.addresses) <= 2 * discovery.MAX_ADDRESSES


# --- eclipse ----------------------------------------------------------------------------------------------------------


def is_there(node: Discovery, *peers: PeerId) -> bool:
    return all(node.is_connected(peer) for peer in peers)


@pytest.mark.usefixtures("small")
async def test_behind_a_crowd_of_identities_regulars_are_found_again_and_get_in() -> None:
    """Number 2 is the victim's bootstrap, 3 takes part, told of by the bootstrap; 4 takes part and only dials."""
    accounts = {account(3), account(4)}
    async with (
        open_network(secret(2), store=MemoryStore()) as boot,
        open_network(secret(1), store=MemoryStore(), bootstrap=boot.addresses, participants=lambda: accounts) as victim,
        crowd_at(victim, range(20, 30)) as sybils,
        open_network(secret(3), store=MemoryStore(), bootstrap=boot.addresses) as trainer,
    ):
        ours = victim._discovery
        await eventually(lambda: is_there(ours, boot.peer_id, trainer.peer_id), "bootstrap and trainer are connected")
        for peer in (boot.peer_id, trainer.peer_id):
            await ours._disconnect(peer)
        await eventually(lambda: is_there(ours, boot.peer_id, trainer.peer_id), "connected again")
        async with open_network(secret(4), store=MemoryStore(), bootstrap=victim.addresses) as late:
            await eventually(lambda: is_there(ours, late.peer_id), "a late participant gets in")
            await eventually(lambda: len(ours._inbound_strangers()) <= 2, "the crowd is a few")
            order = [peer in ours.regulars for peer in victim.peers()]
            assert order == sorted(order, reverse=True)
        assert len(sybils) == 10


@pytest.mark.usefixtures("small")
async def test_strangers_that_never_answer_do_not_keep_a_node_from_dialling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_DIALS", 1)

    async def take_and_say_nothing(stream: INetStream) -> None:
        await trio.sleep_forever()

    async with open_network(secret(1), store=MemoryStore()) as victim, crowd_at(victim, range(20, 23)) as sybils:
        for sybil in sybils:
            sybil._host.set_stream_handler(PEERS_PROTOCOL, take_and_say_nothing)
        await eventually(lambda: len(victim._discovery._busy) >= 2, "questions hang")
        async with open_network(secret(2), store=MemoryStore()) as honest:
            victim._discovery.regulars.add_bootstrap(honest.peer_id)
            address = parse_address(honest.addresses[0])[1]
            victim._discovery._learn_told(honest.peer_id, [address], "test")
            with trio.fail_after(DEADLINE_SECONDS / 3):  # before the first question is given up
                await eventually(lambda: is_there(victim._discovery, honest.peer_id), "dialled all the same")


async def test_an_author_tells_every_follower_whoever_is_in_its_mesh_and_passes_others_news_to_the_mesh_only() -> None:
    async with (
        open_network(secret(1), store=MemoryStore(), models=[MODEL]) as author,
        open_network(secret(2), store=MemoryStore(), models=[MODEL], bootstrap=author.addresses) as listener,
        open_network(secret(3), store=MemoryStore(), bootstrap=author.addresses) as outsider,
    ):
        router, topic = author._gossip._router, topic_of(MODEL)
        own, follower = parse_peer_id(author.peer_id), parse_peer_id(listener.peer_id)
        await eventually(lambda: len(author.peers()) == 2, "connected")
        await eventually(lambda: follower in author._gossip._pubsub.peer_topics.get(topic, ()), "subscribed")
        router.mesh[topic] = set()
        assert set(router._get_peers_to_send([topic], own, own)) == {follower}
        other = parse_peer_id(outsider.peer_id)
        assert set(router._get_peers_to_send([topic], other, other)) == set()


async def test_who_gave_a_valid_chunk_is_a_regular() -> None:
    store = MemoryStore()
    digest = store.put_chunk(HashedChunk(b"weights"))
    async with (
        open_network(secret(1), store=MemoryStore()) as node,
        open_network(secret(2), store=store, bootstrap=node.addresses) as giver,
    ):
        await eventually(node.peers, "connected")
        await node.request_chunks(giver.peer_id, [Digest(bytes(32))])
        assert giver.peer_id not in node._discovery.regulars
        await node.request_chunks(giver.peer_id, [digest])
        assert giver.peer_id in node._discovery.regulars


async def test_one_network_has_no_more_connections_than_its_share_with_or_without_a_handshake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libp2p_fixes, "MAX_FROM_ORIGIN", 2)
    monkeypatch.setattr(libp2p_fixes, "origin_of", lambda host: "198.51.100.0/24")
    async with open_network(secret(1), store=MemoryStore()) as node:
        _, _, ip, _, port, *_ = node.addresses[0].split("/")
        held = [await trio.open_tcp_stream(ip, int(port)) for _ in range(2)]
        with trio.fail_after(DEADLINE_SECONDS):
            for connection in held:
                assert await connection.receive_some(1)  # the other side has begun to speak
            third = await trio.open_tcp_stream(ip, int(port))
            assert await third.receive_some(1) == b""
            await held.pop().aclose()
            await eventually(lambda: sum(libp2p_fixes._held[node._discovery._swarm].values()) == 1, "a place is free")
            fourth = await trio.open_tcp_stream(ip, int(port))
            assert await fourth.receive_some(1)
        for connection in (*held, third, fourth):
            await connection.aclose()
