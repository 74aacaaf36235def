import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from blake3 import blake3
from tests.node.conformance.network import DEADLINE_SECONDS, LyingStore, checkpoint, eventually

from derelayl_node.network.fetch import CHUNKS_PER_REQUEST, fetch_checkpoint
from derelayl_node.network.host import open_network
from derelayl_node.store.chunks import FileStore
from derelayl_node.store.packing import assemble_weights
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.manifest import Manifest
from derelayl_protocol.limits import KIB
from derelayl_protocol.types import Digest, Root

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs installed beside trio hide trio.TaskStatus from type checkers

CHUNKS = 24


def accept(manifest: Manifest) -> None:
    """Have nothing against any manifest."""


class CountingStore(MemoryStore):
    """Remembers which chunks were read, and sets `reached` at the `limit`-th."""

    def __init__(self) -> None:
        super().__init__()
        self.served: list[Digest] = []
        self.limit = 0
        self.reached = trio.Event()

    def chunk(self, digest: Digest) -> bytes | None:
        self.served.append(digest)
        if len(self.served) == self.limit:
            trio.from_thread.run_sync(self.reached.set)
        return super().chunk(digest)


def seed(stores: Sequence[MemoryStore]) -> tuple[bytes, Manifest]:
    for store in stores:
        root, manifest = checkpoint(store, chunks=CHUNKS, chunk_bytes=64 * KIB)
    return root, manifest


async def test_a_lying_seeder_is_found_out_and_the_fetch_completes_from_another(tmp_path: Path) -> None:
    liar, honest = LyingStore(), MemoryStore()
    root, manifest = seed([liar, honest])
    mine = FileStore(tmp_path)
    async with (
        open_network(b"\x01" * 32, store=liar) as bad,
        open_network(b"\x02" * 32, store=honest, bootstrap=bad.addresses) as good,
        open_network(b"\x03" * 32, store=mine, bootstrap=bad.addresses) as me,
    ):
        await eventually(lambda: len(me.peers()) == 2, "connected")
        result = await fetch_checkpoint(me, mine, Root(root), deadline_seconds=DEADLINE_SECONDS, verify=accept)
    assert result.bad_peers == (bad.peer_id,)
    assert result.bytes_fetched == CHUNKS * 64 * KIB
    assert good.peer_id in result.peers
    assert all(mine.chunk(chunk.digest) == honest.chunk(chunk.digest) for chunk in manifest.chunks)


async def test_a_chunk_is_hashed_once_until_it_is_stored_and_once_when_it_is_assembled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, mine = MemoryStore(), FileStore(tmp_path)  # a store in memory hashes nothing when it serves
    root, manifest = seed([honest])
    hashed: Counter[bytes] = Counter()

    def counting(data: bytes) -> blake3:
        hashed[data] += 1
        return blake3(data)

    for name, module in sys.modules.items():
        if name.startswith("derelayl_") and hasattr(module, "blake3"):
            monkeypatch.setattr(module, "blake3", counting)
    contents = [honest.chunk(chunk.digest) for chunk in manifest.chunks]
    async with (
        open_network(b"\x01" * 32, store=honest) as seeder,
        open_network(b"\x02" * 32, store=mine, bootstrap=seeder.addresses) as me,
    ):
        await eventually(me.peers, "connected")
        await fetch_checkpoint(me, mine, Root(root), deadline_seconds=DEADLINE_SECONDS, verify=accept)
    assert [hashed[content or b""] for content in contents] == [1] * CHUNKS
    assemble_weights(manifest, mine, tmp_path / "weights.safetensors")
    assert [hashed[content or b""] for content in contents] == [2] * CHUNKS


async def test_a_seeder_that_leaves_mid_way_costs_at_most_its_chunks_in_flight(tmp_path: Path) -> None:
    leaving, staying = CountingStore(), CountingStore()
    leaving.limit = 2 * CHUNKS_PER_REQUEST
    root, manifest = seed([leaving, staying])
    mine = FileStore(tmp_path)

    async def leave_when_asked(task_status: "TaskStatus[tuple[str, ...]]" = trio.TASK_STATUS_IGNORED) -> None:
        async with open_network(b"\x01" * 32, store=leaving) as network:
            task_status.started(network.addresses)
            await leaving.reached.wait()

    async with trio.open_nursery() as nursery:
        bootstrap = await nursery.start(leave_when_asked)
        async with (
            open_network(b"\x02" * 32, store=staying, bootstrap=bootstrap),
            open_network(b"\x03" * 32, store=mine, bootstrap=bootstrap) as me,
        ):
            await eventually(lambda: len(me.peers()) == 2, "connected")
            result = await fetch_checkpoint(me, mine, Root(root), deadline_seconds=DEADLINE_SECONDS, verify=accept)
    assert all(mine.chunk(chunk.digest) is not None for chunk in manifest.chunks)
    assert result.bad_peers == ()
    assert len(set(leaving.served) & set(staying.served)) <= CHUNKS_PER_REQUEST
