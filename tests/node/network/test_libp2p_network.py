import gc
import logging
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio
from eth_account import Account
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from tests.node.conformance.network import (
    DEADLINE_SECONDS,
    ENTRY,
    MODEL,
    ROOT,
    STRANGER,
    TRAINER,
    LyingStore,
    PeerNetworkConformance,
    eventually,
)
from trio.testing import wait_all_tasks_blocked

from derelayl_node.network import gossip
from derelayl_node.network.allowance import BURST, Allowance
from derelayl_node.network.faults import MAX_FAULTS
from derelayl_node.network.gossip import Gossip, entries_topic_of, topic_of
from derelayl_node.network.host import MAX_STREAMS_TO_PEER, Libp2pNetwork, open_network
from derelayl_node.network.identity import address_of, parse_peer_id, peer_id_of
from derelayl_node.ports import CheckpointStore, LedgerUnavailable, NotForYou, PeerUnreachable
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.messages import CHUNKS_PROTOCOL, MANIFEST_PROTOCOL, Announcement
from derelayl_protocol.errors import Ignored, LocalFault, PeerFault
from derelayl_protocol.ledger.entries import SignedEntry
from derelayl_protocol.limits import MAX_MANIFEST_BYTES
from derelayl_protocol.types import Address, Digest, Root

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs installed beside trio hide trio.TaskStatus from type checkers


def secret(number: int) -> bytes:
    return bytes([number + 1]) * 32


def all_connected(nodes: Sequence[Libp2pNetwork]) -> bool:
    return all(len(node.peers()) == len(nodes) - 1 for node in nodes)


def all_know_topic(nodes: Sequence[Libp2pNetwork]) -> bool:
    """Whether every node sends news of MODEL to every other at once, and not only when gossip tells of it later."""
    topics = (topic_of(MODEL), entries_topic_of(MODEL))
    meshes = (node._gossip._router.mesh.get(topic, ()) for node in nodes for topic in topics)
    return all(len(peers) == len(nodes) - 1 for peers in meshes)


@asynccontextmanager
async def open_nodes(stores: Sequence[CheckpointStore], **options: Any) -> AsyncIterator[list[Libp2pNetwork]]:
    async with AsyncExitStack() as stack:
        nodes: list[Libp2pNetwork] = []
        for number, store in enumerate(stores):
            bootstrap = nodes[0].addresses if nodes else ()
            opening = open_network(secret(number), store=store, models=[MODEL], bootstrap=bootstrap, **options)
            nodes.append(await stack.enter_async_context(opening))
        await eventually(lambda: all_connected(nodes), "all connected")
        await eventually(lambda: len(nodes) == 1 or all_know_topic(nodes), "all subscribed")
        yield nodes


class TestLibp2pNetwork(PeerNetworkConformance):
    def open_nodes(self, stores: Sequence[CheckpointStore]) -> AbstractAsyncContextManager[Sequence[Libp2pNetwork]]:
        return open_nodes(stores, check_entry=lambda entry: None)


# --- paid chunks and signed entries -----------------------------------------------------------------------------------


async def test_chunks_are_given_to_the_account_that_the_door_admits_and_manifests_to_all() -> None:
    asked: list[tuple[Address | None, Digest]] = []

    async def admit(account: Address | None, digest: Digest) -> bool:
        asked.append((account, digest))
        return account == address_of(peer_id_of(secret(1)))

    store = MemoryStore()
    digest = store.put_chunk(HashedChunk(b"weights"))
    store.put_manifest(ROOT, b"any bytes")
    async with open_nodes([store, MemoryStore(), MemoryStore()], admit=admit) as (server, buyer, stranger):
        assert await buyer.request_chunks(server.peer_id, [digest]) == {digest: HashedChunk(b"weights")}
        with pytest.raises(NotForYou):
            await stranger.request_chunks(server.peer_id, [digest])
        assert await stranger.request_manifest(server.peer_id, ROOT) == b"any bytes"
        assert stranger.faults_of(server.peer_id) == server.faults_of(stranger.peer_id) == 0
        missing = Digest(bytes(32))
        assert await stranger.request_chunks(server.peer_id, [missing]) == {}
    assert asked == [(address_of(peer_id_of(secret(number))), digest) for number in (1, 2)]


async def test_a_door_that_cannot_tell_now_serves_nobody_and_blames_nobody() -> None:
    async def admit(account: Address | None, digest: Digest) -> bool:
        raise LedgerUnavailable("the chain is silent")

    store = MemoryStore()
    digest = store.put_chunk(HashedChunk(b"weights"))
    async with open_nodes([store, MemoryStore()], admit=admit) as (server, node):
        with pytest.raises(PeerUnreachable):
            await node.request_chunks(server.peer_id, [digest])
        assert node.faults_of(server.peer_id) == 0


async def test_entries_that_break_a_rule_are_not_passed_on_and_count_against_their_author() -> None:
    def check(entry: SignedEntry) -> None:
        if entry.round == 1:
            raise PeerFault("a wrong signature")
        if entry.round == 2:
            raise Ignored("not the running round")

    async with open_nodes([MemoryStore(), MemoryStore()], check_entry=check) as (author, node):
        author._gossip._check_entry = lambda entry: None
        for number in (1, 2, 3):
            await author.announce(replace(ENTRY, round=number))
        with trio.fail_after(DEADLINE_SECONDS):
            assert (await node.next_entry())[1].round == 3
        assert node.faults_of(author.peer_id) == node.counters["announcements_malformed"] == 1


async def test_a_node_that_follows_no_round_passes_no_entry_on() -> None:
    async with open_nodes([MemoryStore(), MemoryStore()]) as (author, node):
        author._gossip._check_entry = lambda entry: None
        await author.announce(ENTRY)
        await author.announce(Announcement(MODEL, 1, ROOT, TRAINER))
        with trio.fail_after(DEADLINE_SECONDS):
            await node.next_announcement()
        assert node.faults_of(author.peer_id) == 0
        with trio.move_on_after(0.2):
            pytest.fail(f"heard {await node.next_entry()}")


# --- opening and closing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(32), b"\xff" * 32], ids=["none", "short", "zero", "too large"])
async def test_a_key_that_is_none_is_refused_in_one_sentence(key: bytes) -> None:
    with pytest.raises(LocalFault, match="the node's key"):
        async with open_network(key, store=MemoryStore()):
            pytest.fail("it opened")


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "/ip4/127.0.0.1/tcp/1",
        f"/ip4/127.0.0.1/udp/1/quic-v1/p2p/{STRANGER}",
        "/ip4/127.0.0.1/tcp/1/p2p/x",
    ],
)
async def test_a_bootstrap_address_that_cannot_be_dialled_is_refused_in_one_sentence(address: str) -> None:
    with pytest.raises(LocalFault, match="bootstrap address"):
        async with open_network(secret(0), store=MemoryStore(), bootstrap=[address]):
            pytest.fail("it opened")


async def test_a_port_in_use_is_told_in_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with pytest.raises(LocalFault, match=f"cannot listen on 127.0.0.1 port {port}: .*choose another"):
            async with open_network(secret(0), store=MemoryStore(), port=port):
                pytest.fail("it opened")


async def test_a_port_of_another_node_is_told_in_one_sentence() -> None:
    async with open_network(secret(0), store=MemoryStore()) as node:
        port = int(node.addresses[0].split("/")[4])
        with pytest.raises(LocalFault, match="cannot listen"):
            async with open_network(secret(1), store=MemoryStore(), port=port):
                pytest.fail("it opened")


async def test_an_exception_inside_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_network(secret(0), store=MemoryStore()):
            raise ZeroDivisionError


async def test_leaving_is_quick_and_quiet_while_peers_are_connected_or_gone() -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        async with open_nodes([MemoryStore(), MemoryStore()]) as (first, second):
            hung_up = parse_peer_id(second.peer_id)
            await first._host.disconnect(hung_up)


def test_a_peer_id_maps_to_the_ledger_account_of_the_same_key() -> None:
    assert address_of(peer_id_of(secret(4))) == Account.from_key(secret(4)).address.lower()


@pytest.mark.parametrize("peer", ["", "0OIl"])
def test_what_is_no_peer_id_is_a_peer_fault(peer: str) -> None:
    with pytest.raises(PeerFault):
        address_of(peer)


@pytest.mark.parametrize(
    "peer",
    ["12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"],
    ids=["Ed25519", "a hash of a key"],
)
def test_an_id_of_another_kind_of_key_is_nobody_on_the_ledger(peer: str) -> None:
    assert address_of(peer) is None


# --- peers that misbehave ---------------------------------------------------------------------------------------------


async def test_a_manifest_above_the_limit_is_refused_before_it_is_read() -> None:
    async with open_nodes([MemoryStore(), MemoryStore()]) as (node, hostile):

        async def answer(stream: INetStream) -> None:
            await stream.read(32)
            await stream.write((MAX_MANIFEST_BYTES + 1).to_bytes(4, "big"))
            await stream.close()

        hostile._host.set_stream_handler(TProtocol(MANIFEST_PROTOCOL), answer)
        with pytest.raises(PeerFault, match=str(MAX_MANIFEST_BYTES + 1)):
            await node.request_manifest(hostile.peer_id, ROOT)
        assert node.faults_of(hostile.peer_id) == 1


async def test_an_answer_that_ends_early_is_no_answer() -> None:
    async with open_nodes([MemoryStore(), MemoryStore()]) as (node, hostile):

        async def answer(stream: INetStream) -> None:
            await stream.read(32)
            await stream.write((1000).to_bytes(4, "big") + b"half")
            await stream.close()

        hostile._host.set_stream_handler(TProtocol(MANIFEST_PROTOCOL), answer)
        with pytest.raises(PeerUnreachable, match="996 of 1000 bytes early"):
            await node.request_manifest(hostile.peer_id, ROOT)


async def test_a_peer_that_lies_three_times_is_refused_and_disconnected() -> None:
    async with open_nodes([MemoryStore(), LyingStore()]) as (node, liar):
        for _ in range(MAX_FAULTS):
            with pytest.raises(PeerFault):
                await node.request_chunks(liar.peer_id, [Digest(ROOT)])
        with pytest.raises(PeerUnreachable, match="refused"):
            await node.request_chunks(liar.peer_id, [Digest(ROOT)])
        assert node.peers() == ()
        await eventually(lambda: liar.peer_id not in node._discovery.connected(), "the liar is disconnected")


async def test_a_request_for_too_many_chunks_counts_against_the_asker() -> None:
    async with open_nodes([MemoryStore(), MemoryStore()]) as (node, asker):
        stream = await asker._host.new_stream(parse_peer_id(node.peer_id), [TProtocol(CHUNKS_PROTOCOL)])
        await stream.write((17).to_bytes(2, "big") + bytes(17 * 32))
        await eventually(lambda: node.faults_of(asker.peer_id) == 1, "the fault is counted")
        assert await asker.request_manifest(node.peer_id, ROOT) is None


async def test_a_store_that_raises_leaves_the_node_alive(caplog: pytest.LogCaptureFixture) -> None:
    class BrokenStore(MemoryStore):
        def manifest(self, root: Root) -> bytes | None:
            raise ZeroDivisionError

    store = BrokenStore()
    digest = store.put_chunk(HashedChunk(b"weights"))
    with caplog.at_level(logging.CRITICAL):
        async with open_nodes([MemoryStore(), store]) as (node, broken):
            with pytest.raises(PeerUnreachable):
                await node.request_manifest(broken.peer_id, ROOT)
            assert await node.request_chunks(broken.peer_id, [digest]) == {digest: HashedChunk(b"weights")}


async def test_a_reader_that_stalls_does_not_keep_others_from_being_served() -> None:
    store = MemoryStore()
    digests = [store.put_chunk(HashedChunk(bytes([n]) * 2**20)) for n in range(16)]
    async with open_nodes([store, MemoryStore(), MemoryStore()]) as (node, staller, other):
        streams = []
        for _ in range(8):
            stream = await staller._host.new_stream(parse_peer_id(node.peer_id), [TProtocol(CHUNKS_PROTOCOL)])
            await stream.write((16).to_bytes(2, "big") + b"".join(digests))
            streams.append(stream)  # and never read
        with trio.fail_after(DEADLINE_SECONDS):
            assert len(await other.request_chunks(node.peer_id, digests)) == 16
            with pytest.raises(PeerUnreachable):  # eight streams are what one peer may hold
                await staller.request_manifest(node.peer_id, ROOT)
            assert await other.request_manifest(node.peer_id, ROOT) is None


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 20_000], ids=["empty", "no announcement", "too long"])
async def test_a_malformed_announcement_counts_against_its_author_and_is_not_heard(data: bytes) -> None:
    async with open_nodes([MemoryStore(), MemoryStore()]) as (node, author):
        author._gossip._pubsub.remove_topic_validator(topic_of(MODEL))
        await author._gossip._pubsub.publish(topic_of(MODEL), data)
        await eventually(lambda: node.faults_of(author.peer_id) == 1, "the fault is counted")
        assert node.counters["announcements_malformed"] == 1
        await author.announce(Announcement(MODEL, 1, ROOT, TRAINER))
        with trio.fail_after(DEADLINE_SECONDS):
            assert (await node.next_announcement())[1].round == 1


def _has_arrived(gossip: Gossip, count: int) -> bool:
    return len(gossip.announcements._waiting) + gossip.too_many == count


async def test_of_a_flood_no_more_is_heard_than_its_author_is_allowed() -> None:
    async with open_nodes([MemoryStore() for _ in range(2)]) as (author, listener):
        gossip = listener._gossip
        gossip._allowance = Allowance(lambda: 0.0)
        for number in range(1, int(BURST) + 4):  # one by one: libp2p drops much of what comes at once
            await author.announce(Announcement(MODEL, number, ROOT, TRAINER))
            await eventually(partial(_has_arrived, gossip, number), f"announcement {number} arrived")
        assert gossip.too_many == 3


async def test_of_messages_that_were_passed_on_no_more_is_kept_than_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gossip, "MAX_COMPARED", 2)
    async with open_nodes([MemoryStore(), MemoryStore()]) as (author, listener):
        for number in range(1, 6):
            await author.announce(Announcement(MODEL, number, ROOT, TRAINER))
            assert (await listener.next_announcement())[1].round == number
        for node in (author, listener):
            router = node._gossip._router
            assert not any(router.recent_message_deliveries.values())
            assert len(router.equivocation_detection) == 2


async def test_of_peers_that_were_asked_nothing_is_remembered() -> None:
    async with open_nodes([MemoryStore(), MemoryStore()]) as (node, peer):
        assert await node.request_manifest(peer.peer_id, ROOT) is None
        for number in range(3):
            with pytest.raises(PeerUnreachable):
                await node.request_manifest(peer_id_of(secret(100 + number)), ROOT)
        assert not node._slots


async def test_a_peer_is_asked_no_more_at_once_than_its_slots_also_after_one_was_given_back() -> None:
    async with open_nodes([MemoryStore(), MemoryStore()]) as (node, peer):
        running, most = 0, list[int]()

        async def ask() -> None:
            nonlocal running
            async with node._slot(peer.peer_id):
                running += 1
                most.append(running)
                await wait_all_tasks_blocked()
                running -= 1

        async with trio.open_nursery() as nursery:
            for _ in range(3 * MAX_STREAMS_TO_PEER):
                nursery.start_soon(ask)
        assert len(most) == 3 * MAX_STREAMS_TO_PEER
        assert max(most) == MAX_STREAMS_TO_PEER
        assert not node._slots


async def test_garbage_on_the_port_changes_nothing() -> None:
    store = MemoryStore()
    store.put_manifest(ROOT, b"here")
    async with open_nodes([MemoryStore(), store]) as (node, peer):
        _, _, host, _, port, *_ = peer.addresses[0].split("/")
        for garbage in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1000, b"\x13/multistream/1.0.0\n\xff\xff\xff\xff"):
            connection = await trio.open_tcp_stream(host, int(port))
            await connection.send_all(garbage)
            await connection.aclose()
        assert await node.request_manifest(peer.peer_id, ROOT) == b"here"


# --- peers that come and go -------------------------------------------------------------------------------------------


async def test_three_nodes_that_know_one_address_find_one_another() -> None:
    async with open_nodes([MemoryStore() for _ in range(3)]) as nodes:
        for node in nodes:
            assert len(node.peers()) == 2


async def test_a_peer_that_restarts_at_another_port_is_found_again_and_heard() -> None:
    async with (
        open_network(secret(0), store=MemoryStore(), models=[MODEL]) as boot,
        open_network(secret(1), store=MemoryStore(), models=[MODEL], bootstrap=boot.addresses) as watcher,
    ):
        for life in range(2):
            async with open_network(secret(2), store=MemoryStore(), models=[MODEL], bootstrap=boot.addresses) as mover:
                trio_of_nodes = (boot, watcher, mover)
                await eventually(partial(all_connected, trio_of_nodes), "connected")
                await eventually(partial(all_know_topic, trio_of_nodes), "subscribed")
                await mover.announce(Announcement(MODEL, life, ROOT, TRAINER))
                for node in (boot, watcher):
                    with trio.fail_after(DEADLINE_SECONDS):
                        assert (await node.next_announcement())[1].round == life
            await eventually(lambda: len(boot.peers()) == len(watcher.peers()) == 1, "gone")


class Life:
    """One life of a node in a task of its own."""

    def __init__(self, number: int, port: int = 0) -> None:
        self.number, self.port = number, port
        self.address = ""
        self._stop, self._stopped = trio.Event(), trio.Event()

    async def run(self, task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        async with open_network(secret(self.number), store=MemoryStore(), port=self.port) as network:
            self.address = network.addresses[0]
            task_status.started()
            await self._stop.wait()
        self._stopped.set()

    async def end(self) -> None:
        self._stop.set()
        await self._stopped.wait()


async def test_a_bootstrap_that_restarts_is_dialled_again() -> None:
    async with trio.open_nursery() as nursery:
        life = Life(0)
        await nursery.start(life.run)
        async with open_network(secret(1), store=MemoryStore(), bootstrap=[life.address]) as node:
            await eventually(lambda: node.peers() == (peer_id_of(secret(0)),), "connected")
            await life.end()
            await eventually(lambda: node.peers() == (), "gone")
            life = Life(0, port=int(life.address.split("/")[4]))
            await nursery.start(life.run)
            await eventually(lambda: node.peers() == (peer_id_of(secret(0)),), "connected again")
            await life.end()


async def test_leaving_ends_every_thread() -> None:
    before = {thread.name for thread in threading.enumerate() if "_background_cleanup" in thread.name}
    async with open_network(secret(0), store=MemoryStore(), models=[MODEL]):
        pass
    assert {thread.name for thread in threading.enumerate() if "_background_cleanup" in thread.name} == before


async def test_cancelling_closes_every_socket() -> None:
    """ResourceWarning is an error in the tests, so a socket left open fails this one or the next."""
    async with open_network(secret(0), store=MemoryStore()) as node:
        with trio.CancelScope() as scope:
            async with open_network(secret(1), store=MemoryStore(), bootstrap=node.addresses) as other:
                await eventually(other.peers, "connected")
                scope.cancel()
                await trio.sleep_forever()
        await eventually(lambda: node.peers() == (), "gone")
    gc.collect()


async def test_what_is_not_closed_in_time_has_its_sockets_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would stay open until the garbage collector comes across them, in whatever test then runs."""
    monkeypatch.setattr("derelayl_node.network.host.CLOSE_SECONDS", 0.0)
    async with open_network(secret(0), store=MemoryStore()) as first:
        before = len(psutil.Process().net_connections("tcp"))
        async with open_network(secret(1), store=MemoryStore(), bootstrap=first.addresses) as second:
            await eventually(lambda: all_connected([first, second]), "connected")
        await eventually(lambda: len(psutil.Process().net_connections("tcp")) == before, "all closed")


async def test_cancelling_while_opening_ends_too() -> None:
    with trio.fail_after(DEADLINE_SECONDS), trio.CancelScope() as scope:
        scope.cancel()
        async with open_network(secret(1), store=MemoryStore()):
            await trio.sleep_forever()
