"""What every `CheckpointStore` does, whether in files or in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from derelayl_node.ports import Inventory, StoreDamaged, StoreFull
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.manifest import Chunk
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MAX_CHUNK_BYTES, MAX_MANIFEST_BYTES
from derelayl_protocol.types import Digest, Root

ABSENT = Digest(bytes(32))
ROOT = Root(b"\x07" * 32)


class CheckpointStoreConformance:
    """Inherit, and say how to open a store and how to damage what it holds."""

    def open_store(self, path: Path, *, max_bytes: int | None = None) -> Inventory:
        raise NotImplementedError

    def damage(self, store: Inventory, name: Digest | Root) -> None:
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Inventory:
        return self.open_store(tmp_path / "store")

    @pytest.mark.parametrize("data", [b"", bytes(MAX_CHUNK_BYTES + 1)], ids=["empty", "too long"])
    def test_what_cannot_be_a_chunk_is_refused(self, store: Inventory, data: bytes) -> None:
        with pytest.raises(LocalFault, match="a chunk has 1 to"):
            store.put_chunk(HashedChunk(data))

    @pytest.mark.parametrize("wire", [b"", bytes(MAX_MANIFEST_BYTES + 1)], ids=["empty", "too long"])
    def test_what_cannot_be_a_manifest_is_refused(self, store: Inventory, wire: bytes) -> None:
        with pytest.raises(LocalFault, match="a manifest has 1 to"):
            store.put_manifest(ROOT, wire)
        assert store.roots() == ()

    def test_a_name_of_another_length_is_refused(self, store: Inventory) -> None:
        for use in (lambda: store.chunk(Digest(b"../x")), lambda: store.put_manifest(Root(b"short"), b"{}")):
            with pytest.raises(LocalFault, match="32 bytes"):
                use()

    def test_a_store_at_its_limit_refuses_new_chunks_and_keeps_the_old(self, tmp_path: Path) -> None:
        store = self.open_store(tmp_path / "small", max_bytes=10)
        digest = store.put_chunk(HashedChunk(b"12345678"))
        with pytest.raises(StoreFull, match="10 bytes"):
            store.put_chunk(HashedChunk(b"abc"))
        assert store.chunk(digest) == b"12345678"
        assert store.chunk(Digest(blake3(b"abc").digest())) is None
        assert store.put_chunk(HashedChunk(b"12345678")) == digest

    def test_a_damaged_chunk_is_told_once_then_absent_and_can_be_put_again(self, store: Inventory) -> None:
        digest = store.put_chunk(HashedChunk(b"weights"))
        self.damage(store, digest)
        with pytest.raises(StoreDamaged, match="fetch the checkpoint again"):
            store.chunk(digest)
        assert store.chunk(digest) is None
        store.put_chunk(HashedChunk(b"weights"))
        assert store.chunk(digest) == b"weights"

    def test_a_damaged_manifest_is_told_once_then_absent(self, store: Inventory) -> None:
        store.put_manifest(ROOT, b"{}")
        self.damage(store, ROOT)
        with pytest.raises(StoreDamaged, match="fetch the checkpoint again"):
            store.manifest(ROOT)
        assert store.manifest(ROOT) is None
        assert store.roots() == ()

    def test_missing_are_the_chunks_without_a_file_of_their_length(self, store: Inventory) -> None:
        here = Chunk(7, store.put_chunk(HashedChunk(b"weights")))
        shorter, absent = Chunk(6, here.digest), Chunk(7, ABSENT)
        assert store.missing([here, absent, shorter]) == (absent, shorter)
        assert store.missing([]) == ()

    def test_absent_names_give_none(self, store: Inventory) -> None:
        assert store.chunk(ABSENT) is None
        assert store.manifest(ROOT) is None
        assert store.roots() == ()

    def test_a_chunk_comes_back_under_its_blake3_digest(self, store: Inventory) -> None:
        data = bytes(range(256)) * (MAX_CHUNK_BYTES // 256)
        digest = store.put_chunk(HashedChunk(data))
        assert digest == blake3(data).digest()
        assert store.chunk(digest) == data

    def test_putting_a_chunk_twice_counts_once(self, tmp_path: Path) -> None:
        store = self.open_store(tmp_path / "small", max_bytes=10)
        for _ in range(3):
            store.put_chunk(HashedChunk(b"12345678"))

    def test_a_manifest_comes_back_as_it_was_put_last(self, store: Inventory) -> None:
        store.put_manifest(ROOT, b"old")
        store.put_manifest(ROOT, b"new")
        store.put_manifest(ROOT, b"new")
        assert store.manifest(ROOT) == b"new"

    def test_roots_are_listed_in_ascending_order(self, store: Inventory) -> None:
        roots = [Root(bytes([number]) * 32) for number in (9, 1, 5)]
        for root in roots:
            store.put_manifest(root, b"{}")
        assert store.roots() == tuple(sorted(roots))
