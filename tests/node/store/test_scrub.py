"""Passes over a store: what they find, and how little they read at once."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from tests.node.conformance.network import checkpoint

from derelayl_node.ports import StoreDamaged
from derelayl_node.store.chunks import FileStore
from derelayl_node.store.scrub import (
    BYTES_PER_SECOND,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MIN_BYTES,
    MOST_BYTES,
    PAUSE_SECONDS,
    Scrub,
)
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.chunk import HashedChunk
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


def test_what_cannot_be_repaired_is_told_ever_more_rarely_until_it_is_whole() -> None:
    store = MemoryStore()
    lost, manifest = checkpoint(store, chunks=1)
    data = store.chunk(manifest.chunks[0].digest)
    assert data is not None
    store.lose(manifest.chunks[0].digest)
    scrub = Scrub(store)
    told = []
    day = 24 * 3600
    for now in range(0, day, 5):
        if scrub.go_on(now) == lost:
            told.append(now)
            scrub.failed(lost, now)
    pauses = [second - first for first, second in pairwise(told)]
    assert pauses[0] <= FIRST_PAUSE_SECONDS + 2 * PAUSE_SECONDS
    assert pauses == sorted(pauses)
    assert LONGEST_PAUSE_SECONDS <= pauses[-1] <= LONGEST_PAUSE_SECONDS + 2 * PAUSE_SECONDS
    store.put_chunk(HashedChunk(data))
    assert found_in_passes(scrub, begin=2 * day, passes=2) == []
    store.lose(manifest.chunks[0].digest)
    assert found_in_passes(scrub, begin=2 * day + 1000) == [lost]


def test_a_checkpoint_that_waits_hides_no_other() -> None:
    store = MemoryStore()
    roots = []
    for seed in (1, 2):
        root, manifest = checkpoint(store, chunks=1, seed=seed)
        store.lose(manifest.chunks[0].digest)
        roots.append(root)
    scrub = Scrub(store)
    first = scrub.go_on(0.0)
    assert first is not None
    scrub.failed(first, 0.0)
    assert {first, scrub.go_on(0.0)} == set(roots)
    assert found_in_passes(scrub, begin=1, passes=2) == [root for root in roots if root != first]


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
