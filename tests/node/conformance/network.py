"""What every `PeerNetwork` does, whether over sockets or in memory, and helpers for its tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from blake3 import blake3

from derelayl_node.ports import CheckpointStore, PeerUnreachable
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.manifest import Chunk, Header, Manifest, TensorSpec, encode_manifest, root_of
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.ledger.commands import SignedCommit
from derelayl_protocol.ledger.entries import SignedEntry
from derelayl_protocol.limits import MAX_CHUNK_BYTES, MAX_DIGESTS_PER_REQUEST
from derelayl_protocol.types import Address, Digest, ModelId, Root

MODEL = ModelId(b"\x05" * 32)
OTHER_MODEL = ModelId(b"\x06" * 32)
ROOT = Root(b"\x07" * 32)
ABSENT = Digest(bytes(32))
TRAINER = Address("0x" + "ab" * 20)
STRANGER = "16Uiu2HAmEWQnHq2jLKJypwVnVoQeFCULuyop6atvq2eWjYSUjzNi"  # a valid id of nobody
SIGNATURE = b"\x01" * 64 + b"\x00"
ENTRY = SignedEntry(MODEL, 3, SignedCommit(TRAINER, b"\x08" * 32, b"\x09" * 64))

DEADLINE_SECONDS = 30.0


async def eventually(holds: Callable[[], object], what: str) -> None:
    """Wait until `holds()` is true, or fail after DEADLINE_SECONDS naming `what`."""
    with trio.move_on_after(DEADLINE_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for is inside libp2p and sets no event
            await trio.sleep(0.01)
        return
    pytest.fail(f"not within {DEADLINE_SECONDS} s: {what}")


def checkpoint(store: CheckpointStore, *, chunks: int, chunk_bytes: int = 64, seed: int = 0) -> tuple[Root, Manifest]:
    """Put a checkpoint of one-chunk tensors into a store."""
    names = [f"tensor{number:04}" for number in range(chunks)]
    table = []
    for name in names:
        data = (f"{seed} {name} ".encode() * chunk_bytes)[:chunk_bytes]
        table.append(Chunk(len(data), store.put_chunk(HashedChunk(data))))
    tensors = tuple(TensorSpec(name, "U8", (chunk_bytes,), 0) for name in names)
    manifest = Manifest(
        Header(ModelId(bytes(32)), (), 0, 255, TRAINER, "mlp", {}, {}, tensors), tuple(table), SIGNATURE
    )
    store.put_manifest(root_of(manifest), encode_manifest(manifest))
    return root_of(manifest), manifest


class LyingStore(MemoryStore):
    """Has every chunk, each with the same wrong bytes."""

    def chunk(self, digest: Digest) -> bytes | None:
        return b"not what you asked for"


class PeerNetworkConformance:
    """Inherit, and say how to open nodes that are all connected and follow MODEL."""

    def open_nodes(self, stores: Sequence[CheckpointStore]) -> AbstractAsyncContextManager[Sequence[Any]]:
        raise NotImplementedError

    async def test_a_peer_that_nobody_knows_is_unreachable(self) -> None:
        async with self.open_nodes([MemoryStore()]) as (node,):
            with pytest.raises(PeerUnreachable):
                await node.request_manifest(STRANGER, ROOT)
            with pytest.raises(PeerUnreachable):
                await node.request_chunks(STRANGER, [ABSENT])

    async def test_a_node_does_not_ask_itself(self) -> None:
        async with self.open_nodes([MemoryStore()]) as (node,):
            with pytest.raises(PeerUnreachable):
                await node.request_manifest(node.peer_id, ROOT)

    async def test_a_chunk_with_wrong_bytes_is_a_peer_fault(self) -> None:
        async with self.open_nodes([MemoryStore(), LyingStore()]) as (node, liar):
            with pytest.raises(PeerFault, match=ABSENT.hex()):
                await node.request_chunks(liar.peer_id, [ABSENT])

    @pytest.mark.parametrize("count", [0, MAX_DIGESTS_PER_REQUEST + 1])
    async def test_a_request_of_too_many_or_no_chunks_is_refused_here(self, count: int) -> None:
        async with self.open_nodes([MemoryStore(), MemoryStore()]) as (node, peer):
            with pytest.raises(LocalFault, match=f"{count} digests"):
                await node.request_chunks(peer.peer_id, [Digest(bytes([n]) * 32) for n in range(count)])

    async def test_what_a_peer_lacks_is_absent(self) -> None:
        store = MemoryStore()
        digest = store.put_chunk(HashedChunk(b"weights"))
        async with self.open_nodes([MemoryStore(), store]) as (node, peer):
            assert await node.request_manifest(peer.peer_id, ROOT) is None
            assert await node.request_chunks(peer.peer_id, [ABSENT, digest]) == {digest: HashedChunk(b"weights")}

    async def test_what_a_peer_finds_damaged_is_absent(self) -> None:
        store = MemoryStore()
        good, bad = store.put_chunk(HashedChunk(b"good")), store.put_chunk(HashedChunk(b"bad"))
        store.damage(bad)
        async with self.open_nodes([MemoryStore(), store]) as (node, peer):
            assert await node.request_chunks(peer.peer_id, [bad, good]) == {good: HashedChunk(b"good")}

    async def test_the_largest_request_is_answered(self) -> None:
        store = MemoryStore()
        digests = [store.put_chunk(HashedChunk(bytes([n]) * MAX_CHUNK_BYTES)) for n in range(MAX_DIGESTS_PER_REQUEST)]
        async with self.open_nodes([MemoryStore(), store]) as (node, peer):
            chunks = await node.request_chunks(peer.peer_id, digests)
        assert [blake3(chunks[digest].data).digest() for digest in digests] == digests

    async def test_a_manifest_comes_as_it_was_stored(self) -> None:
        store = MemoryStore()
        store.put_manifest(ROOT, b"any bytes")
        async with self.open_nodes([MemoryStore(), store]) as (node, peer):
            assert await node.request_manifest(peer.peer_id, ROOT) == b"any bytes"

    async def test_everybody_sees_everybody_but_itself(self) -> None:
        async with self.open_nodes([MemoryStore() for _ in range(3)]) as nodes:
            for node in nodes:
                assert set(node.peers()) == {other.peer_id for other in nodes} - {node.peer_id}

    async def test_an_announcement_reaches_the_others_with_its_author(self) -> None:
        announcement = Announcement(MODEL, 3, ROOT, TRAINER)
        async with self.open_nodes([MemoryStore() for _ in range(3)]) as (author, *others):
            await author.announce(announcement)
            for other in others:
                with trio.fail_after(DEADLINE_SECONDS):
                    assert await other.next_announcement() == (author.peer_id, announcement)

    async def test_a_signed_entry_reaches_the_others(self) -> None:
        async with self.open_nodes([MemoryStore() for _ in range(3)]) as (author, *others):
            await author.announce(ENTRY)
            for other in others:
                with trio.fail_after(DEADLINE_SECONDS):
                    assert await other.next_entry() == (author.peer_id, ENTRY)

    async def test_a_node_hears_nothing_of_models_it_does_not_follow_and_nothing_of_itself(self) -> None:
        async with self.open_nodes([MemoryStore(), MemoryStore()]) as (author, other):
            await other.announce(Announcement(MODEL, 1, ROOT, TRAINER))
            await author.announce(Announcement(OTHER_MODEL, 2, ROOT, TRAINER))
            await author.announce(Announcement(MODEL, 3, ROOT, TRAINER))
            with trio.fail_after(DEADLINE_SECONDS):
                assert (await other.next_announcement())[1].round == 3
