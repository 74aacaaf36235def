from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest
import trio
from tests.node.conformance.network import ROOT, checkpoint
from trio.testing import MockClock

from derelayl_node.network import fetch
from derelayl_node.network.fetch import CHUNKS_PER_REQUEST, STALL_SECONDS, FetchFailed, FetchResult, fetch_checkpoint
from derelayl_node.ports import CheckpointStore, StoreFull
from derelayl_node.testing.network import FakeHub, FakeNetwork
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.manifest import Manifest, ManifestRejected, encode_manifest
from derelayl_protocol.errors import PeerFault
from derelayl_protocol.limits import MAX_MANIFEST_BYTES
from derelayl_protocol.types import Digest, Root

T = TypeVar("T")


class Network:
    """A node "me" with an empty store, and seeders that hold the same checkpoint."""

    def __init__(self, seeders: int, chunks: int = 20, store: MemoryStore | None = None) -> None:
        self.hub = FakeHub()
        self.store = store or MemoryStore()
        self.me = self.hub.join("me", self.store)
        self.stores = [MemoryStore() for _ in range(seeders)]
        self.seeders = [self.hub.join(f"seeder{number}", store) for number, store in enumerate(self.stores)]
        self.root = ROOT
        for seeded in self.stores:
            self.root, self.manifest = checkpoint(seeded, chunks=chunks)

    async def fetch(self, deadline_seconds: float = 600, **arguments: Any) -> FetchResult:
        settings: dict[str, Any] = {"verify": lambda manifest: None, "deadline_seconds": deadline_seconds, **arguments}
        return await fetch_checkpoint(self.me, self.store, self.root, **settings)

    def asked(self, node: FakeNetwork | None = None) -> Counter[bytes]:
        return Counter(digest for _, digests in (node or self.me).requests for digest in digests)


async def in_line(function: Callable[..., T], *arguments: Any) -> T:
    await trio.lowlevel.checkpoint()
    return function(*arguments)


@pytest.fixture
def clock(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """Seconds that pass at once while all tasks wait; the clock does not see threads, so there are none."""
    monkeypatch.setattr(fetch, "in_thread", in_line)
    return autojump_clock


def complete(store: CheckpointStore, root: Root, manifest: Manifest) -> bool:
    here = all(store.chunk(chunk.digest) is not None for chunk in manifest.chunks)
    return here and store.manifest(root) == encode_manifest(manifest)


# --- paid models ------------------------------------------------------------------------------------------------------


async def test_who_has_no_access_is_told_where_to_buy_it_and_need_not_wait(clock: MockClock) -> None:
    network = Network(2)
    for seeder in network.seeders:
        seeder.admit = lambda peer, digest: False
    with pytest.raises(FetchFailed, match=rf"every peer refuses it.*derelayl model buy 0x{network.root.hex()}"):
        await network.fetch()
    assert clock.current_time() < STALL_SECONDS / 2
    assert network.store.roots() == ()


async def test_a_peer_that_learns_of_the_access_a_little_late_serves_after_all(clock: MockClock) -> None:
    network = Network(1)
    answers = [False]
    network.seeders[0].admit = lambda peer, digest: answers.pop() if answers else True
    await network.fetch()
    assert complete(network.store, network.root, network.manifest)


async def test_one_peer_s_refusal_does_not_end_a_fetch_from_others(clock: MockClock) -> None:
    network = Network(2)
    network.seeders[0].admit = lambda peer, digest: False
    result = await network.fetch(hints=["seeder0"])
    assert result.bad_peers == ()
    assert complete(network.store, network.root, network.manifest)


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_nobody_there_is_told_after_the_deadline(clock: MockClock) -> None:
    network = Network(0)
    with pytest.raises(FetchFailed, match="its manifest is missing: it took longer than 7 s; no peer was connected"):
        await network.fetch(deadline_seconds=7)
    assert clock.current_time() == 7


async def test_nobody_having_it_is_told_with_their_names_once_it_stalls(clock: MockClock) -> None:
    network = Network(2)
    network.root = Root(b"\x09" * 32)
    with pytest.raises(
        FetchFailed, match=rf"nothing arrived for {STALL_SECONDS:g} s.*seeder0.*has not the manifest.*seeder1"
    ):
        await network.fetch()


async def test_missing_chunks_are_counted_and_what_came_is_kept(clock: MockClock) -> None:
    network = Network(1, chunks=5)
    lost = network.manifest.chunks[2].digest
    network.stores[0].damage(lost)
    with pytest.raises(FetchFailed, match=r"64 bytes of its chunks is missing.*seeder0.*has not the chunks"):
        await network.fetch(deadline_seconds=10)
    assert sum(network.store.chunk(chunk.digest) is not None for chunk in network.manifest.chunks) == 4
    assert network.store.roots() == ()


async def test_a_manifest_with_another_root_is_that_peers_fault_and_the_next_is_asked(clock: MockClock) -> None:
    network = Network(2)
    other = MemoryStore()
    wrong, _ = checkpoint(other, chunks=3, seed=1)
    network.hub.wrong_manifests["seeder0"] = other.manifest(wrong) or b""
    result = await network.fetch(hints=["seeder0"])
    assert result.bad_peers == ("seeder0",)
    assert result.peers == ("seeder1",)
    assert complete(network.store, network.root, network.manifest)


@pytest.mark.parametrize("wire", [b"{}", b"\xff", bytes(MAX_MANIFEST_BYTES + 1)], ids=["empty", "no text", "too long"])
async def test_a_manifest_that_is_none_is_that_peers_fault(clock: MockClock, wire: bytes) -> None:
    network = Network(2)
    network.hub.wrong_manifests["seeder0"] = wire
    assert (await network.fetch(hints=["seeder0"])).bad_peers == ("seeder0",)


async def test_a_manifest_that_is_not_authentic_is_that_peers_fault_and_the_next_is_asked(clock: MockClock) -> None:
    network = Network(2)
    forged = replace(network.manifest, signature=b"\x02" * 64 + b"\x01")  # the root does not cover the signature
    network.hub.wrong_manifests["seeder0"] = encode_manifest(forged)

    def authenticate(manifest: Manifest) -> None:
        if manifest.signature != network.manifest.signature:
            raise PeerFault("signed by somebody else")

    result = await network.fetch(hints=["seeder0"], authenticate=authenticate)
    assert result.bad_peers == ("seeder0",)
    assert complete(network.store, network.root, network.manifest)


async def test_hints_are_asked_first_and_one_answer_is_enough(
    clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(4, chunks=1)
    asked: list[str] = []
    request = network.me.request_manifest

    async def request_manifest(peer: str, root: Root) -> bytes | None:
        asked.append(peer)
        return await request(peer, root)

    monkeypatch.setattr(network.me, "request_manifest", request_manifest)
    await network.fetch(hints=["seeder2"])
    assert asked == ["seeder2"]


async def test_a_peer_that_does_not_answer_delays_the_manifest_by_its_head_start_only(clock: MockClock) -> None:
    network = Network(2, chunks=1)
    network.hub.stalled.add("seeder0")
    seen_at: list[float] = []
    await network.fetch(hints=["seeder0"], verify=lambda manifest: seen_at.append(clock.current_time()))
    assert seen_at == [fetch.HEAD_START_SECONDS]


async def test_what_verify_raises_comes_out_before_any_chunk_is_asked_for(clock: MockClock) -> None:
    network = Network(1)

    def verify(manifest: Manifest) -> None:
        raise ManifestRejected("not under this lease")

    with pytest.raises(ManifestRejected, match="not under this lease"):
        await network.fetch(verify=verify)
    assert network.me.requests == []


async def test_a_flipped_byte_is_that_peers_fault_and_the_fetch_completes_from_another(clock: MockClock) -> None:
    network = Network(2)
    for chunk in network.manifest.chunks:
        network.seeders[0].lies[chunk.digest] = b"\xff" * chunk.length
    result = await network.fetch()
    assert result.bad_peers == ("seeder0",)
    assert result.bytes_fetched == 20 * 64
    assert complete(network.store, network.root, network.manifest)


async def test_what_a_peer_that_stalls_was_asked_for_is_asked_of_idle_ones(clock: MockClock) -> None:
    network = Network(4)
    network.hub.stalled |= {"seeder0", "seeder1"}
    await network.fetch()
    assert complete(network.store, network.root, network.manifest)
    assert clock.current_time() <= 2 * fetch.SLOW_SECONDS


async def test_what_a_slow_peer_alone_has_is_waited_for(clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(2, chunks=4)
    for chunk in network.manifest.chunks:
        network.stores[1].damage(chunk.digest)
    asked = network.me.request_chunks
    of_slow: list[Digest] = []

    async def request_chunks(peer: str, digests: Sequence[Digest]) -> Mapping[Digest, HashedChunk]:
        if peer == "seeder0":
            of_slow.extend(digests)
            await trio.sleep(10 * fetch.SLOW_SECONDS)
        return await asked(peer, digests)

    monkeypatch.setattr(network.me, "request_chunks", request_chunks)
    await network.fetch()
    assert complete(network.store, network.root, network.manifest)
    assert sorted(of_slow) == sorted(chunk.digest for chunk in network.manifest.chunks)


@pytest.mark.parametrize(("answer", "answered"), [("none", False), ("not here", True), ("wrong", True)])
async def test_a_fetch_that_failed_tells_whether_anybody_answered(
    answer: str, answered: bool, clock: MockClock
) -> None:
    network = Network(2)
    network.hub.unreachable |= {"seeder0", "seeder1"} if answer == "none" else {"seeder0"}
    if answer == "wrong":  # refused before a byte of it is read
        network.hub.wrong_manifests["seeder1"] = bytes(MAX_MANIFEST_BYTES + 1)
    network.root = Root(b"\x09" * 32)
    with pytest.raises(FetchFailed) as failed:
        await network.fetch(deadline_seconds=5)
    assert failed.value.answered is answered


async def test_a_full_store_ends_the_fetch_with_its_own_error(clock: MockClock) -> None:
    with pytest.raises(StoreFull):
        await Network(3, store=MemoryStore(max_bytes=200)).fetch()


# --- resuming ---------------------------------------------------------------------------------------------------------


async def test_a_peer_that_dies_costs_at_most_its_chunks_in_flight(
    clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(2, chunks=40)
    asked = network.me.request_chunks

    async def request_chunks(peer: str, digests: Sequence[Digest]) -> Mapping[Digest, HashedChunk]:
        if peer == "seeder0" and sum(name == peer for name, _ in network.me.requests) >= 2:
            network.hub.unreachable.add(peer)
            network.me.requests.append((peer, tuple(digests)))
        return await asked(peer, digests)

    monkeypatch.setattr(network.me, "request_chunks", request_chunks)
    result = await network.fetch()
    assert complete(network.store, network.root, network.manifest)
    assert result.bad_peers == ()
    twice = [digest for digest, times in network.asked().items() if times > 1]
    assert len(twice) <= CHUNKS_PER_REQUEST


async def test_a_killed_fetch_goes_on_where_it_was(clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(1, chunks=40)
    asked = network.me.request_chunks

    with trio.CancelScope() as life:

        async def request_chunks(peer: str, digests: Sequence[Digest]) -> Mapping[Digest, HashedChunk]:
            if len(network.me.requests) == 5:
                life.cancel()
            return await asked(peer, digests)

        monkeypatch.setattr(network.me, "request_chunks", request_chunks)
        await network.fetch()
    assert network.store.roots() == ()
    monkeypatch.setattr(network.me, "request_chunks", asked)
    result = await network.fetch()
    assert complete(network.store, network.root, network.manifest)
    assert 40 - 5 * CHUNKS_PER_REQUEST <= result.chunks <= 40 - 4 * CHUNKS_PER_REQUEST
    assert sum(network.asked().values()) <= 40 + CHUNKS_PER_REQUEST


async def test_a_checkpoint_that_is_here_asks_nobody(clock: MockClock) -> None:
    network = Network(1)
    await network.fetch()
    network.hub.leave("seeder0")
    network.me.requests.clear()
    result = await network.fetch()
    assert (result.bytes_fetched, result.chunks, result.peers) == (0, 0, ())
    assert network.me.requests == []


async def test_damaged_chunks_and_manifests_are_fetched_again(clock: MockClock) -> None:
    network = Network(1)
    await network.fetch()
    bad = network.manifest.chunks[7].digest
    network.store.damage(bad)
    network.store.damage(network.root)
    network.me.requests.clear()
    result = await network.fetch()
    assert network.asked() == {bad: 1}
    assert result.chunks == 1
    assert complete(network.store, network.root, network.manifest)


async def test_only_what_the_parent_lacks_is_fetched(clock: MockClock) -> None:
    network = Network(1, chunks=10)
    for chunk in network.manifest.chunks[:7]:
        network.store.put_chunk(HashedChunk(network.stores[0].chunk(chunk.digest) or b""))
    result = await network.fetch()
    assert result.bytes_fetched == 3 * 64
    assert set(network.asked()) == {chunk.digest for chunk in network.manifest.chunks[7:]}


# --- many peers -------------------------------------------------------------------------------------------------------


async def test_peers_share_the_work_and_no_chunk_is_asked_for_twice(clock: MockClock) -> None:
    network = Network(4, chunks=64)
    result = await network.fetch()
    assert set(result.peers) == {f"seeder{number}" for number in range(4)}
    assert set(network.asked().values()) == {1}
    assert result.bytes_fetched == 64 * 64


async def test_chunks_spread_over_several_peers_are_put_together(clock: MockClock) -> None:
    network = Network(2, chunks=10)
    for number, chunk in enumerate(network.manifest.chunks):
        network.stores[number % 2].damage(chunk.digest)
    await network.fetch()
    assert complete(network.store, network.root, network.manifest)


async def test_a_peer_that_joins_late_is_asked_too(clock: MockClock) -> None:
    network = Network(0)
    late = MemoryStore()
    network.root, network.manifest = checkpoint(late, chunks=6)

    async def join() -> None:
        await trio.sleep(30)
        network.hub.join("late", late)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(join)
        assert (await network.fetch()).peers == ("late",)
