"""Passes over a store: what they find, and how little they read at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.node.conformance.network import checkpoint

from derelayl_node.ports import StoreDamaged
from derelayl_node.store.chunks import FileStore
from derelayl_node.store.scrub import BYTES_PER_SECOND, MIN_BYTES, MOST_BYTES, PAUSE_SECONDS, Scrub
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.limits import MAX_CHUNK_BYTES
from derelayl_protocol.types import Digest, Root


class CountingStore(MemoryStore):
    """Counts the bytes of the chunks that are read."""

    read = 0

    def chunk(self, digest: Digest) -> bytes | None:
        data = super().chunk(digest)
        self.read += len(data or b"")
        return data


def found_in_passes(scrub: Scrub, *, begin: float, passes: int = 1) -> list[Root]:
    """Whatever is found while the clock goes on by a second a look."""
    found = [scrub.go_on(begin + second) for second in range(int(passes * PAUSE_SECONDS))]
    return [root for root in found if root is not None]


@pytest.mark.parametrize("fault", ["damage", "lose"])
def test_a_damaged_or_missing_chunk_is_found_once_a_pass(fault: str) -> None:
    store = MemoryStore()
    good, _ = checkpoint(store, chunks=3, seed=1)
    bad, manifest = checkpoint(store, chunks=3, seed=2)
    getattr(store, fault)(manifest.chunks[1].digest)
    scrub = Scrub(store)
    assert found_in_passes(scrub, begin=0) == [bad]
    assert found_in_passes(scrub, begin=1000, passes=2) == [bad, bad]
    assert good in store.roots()


def test_a_manifest_damaged_on_disk_is_found(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    root, _ = checkpoint(store, chunks=1)
    (file,) = tmp_path.glob(f"manifests/*/{root.hex()}")
    file.write_bytes(b"nonsense")
    assert found_in_passes(Scrub(store), begin=0) == [root]


def test_a_manifest_that_a_request_has_found_damaged_is_missed_in_the_next_pass() -> None:
    store = MemoryStore()
    root, _ = checkpoint(store, chunks=1)
    scrub = Scrub(store)
    assert found_in_passes(scrub, begin=0) == []
    store.damage(root)
    with pytest.raises(StoreDamaged):
        store.manifest(root)
    assert found_in_passes(scrub, begin=1000) == [root]


def test_a_whole_store_is_read_once_a_pass_and_a_shared_chunk_too() -> None:
    store = CountingStore()
    for seed in (1, 1, 2):
        checkpoint(store, chunks=2, seed=seed)
    scrub = Scrub(store)
    assert found_in_passes(scrub, begin=0) == []
    assert store.read == 4 * 64


def test_a_look_reads_what_is_due_and_never_more_than_the_bound() -> None:
    store = CountingStore()
    checkpoint(store, chunks=20, chunk_bytes=MAX_CHUNK_BYTES)
    scrub = Scrub(store)
    scrub.go_on(0.0)
    began = store.read
    assert began <= MOST_BYTES + MAX_CHUNK_BYTES
    scrub.go_on(0.0)
    assert store.read == began
    scrub.go_on(2.0)
    assert store.read - began == 2 * BYTES_PER_SECOND
    scrub.go_on(1000.0)
    assert store.read - began <= 2 * BYTES_PER_SECOND + MOST_BYTES + MAX_CHUNK_BYTES


def test_small_files_count_as_a_page_each() -> None:
    store = CountingStore()
    checkpoint(store, chunks=3000, chunk_bytes=8)
    Scrub(store).go_on(0.0)
    assert store.read <= (MOST_BYTES // MIN_BYTES + 2) * 8
