import errno
import os
import threading
from pathlib import Path

import pytest
from tests.node.conformance.store import ROOT, CheckpointStoreConformance

from derelayl_node.ports import CheckpointStore, StoreDamaged, StoreFull
from derelayl_node.store.chunks import MAX_DAMAGED_KEPT, STALE_SECONDS, FileStore
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import Digest, Root


def files_of(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file())


def only_file_of(store: Path, name: bytes) -> Path:
    (found,) = store.rglob(name.hex())
    return found


class TestFileStore(CheckpointStoreConformance):
    def open_store(self, path: Path, *, max_bytes: int | None = None) -> FileStore:
        self.path = path
        return FileStore(path, max_bytes=max_bytes)

    def damage(self, store: CheckpointStore, name: Digest | Root) -> None:
        file = only_file_of(self.path, name)
        file.write_bytes(file.read_bytes()[:-1] + b"\xff")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = FileStore(tmp_path)

    def refuse(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreFull, match="disk"):
        store.put_chunk(HashedChunk(b"weights"))
    with pytest.raises(StoreFull, match="disk"):
        store.put_manifest(ROOT, b"{}")
    assert files_of(tmp_path) == []


def test_another_write_error_is_ours_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path)

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(LocalFault, match="cannot be written: Read-only file system"):
        store.put_chunk(HashedChunk(b"weights"))
    assert files_of(tmp_path) == []


def test_a_failed_write_does_not_count_against_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path, max_bytes=8)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda source, target: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        with pytest.raises(LocalFault):
            store.put_chunk(HashedChunk(b"12345678"))
    store.put_chunk(HashedChunk(b"12345678"))


def test_a_folder_that_is_a_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(LocalFault, match=r"cannot be used: .*choose another folder"):
        FileStore(tmp_path / "store")


def test_a_file_without_permission_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    digest = store.put_chunk(HashedChunk(b"weights"))

    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StoreDamaged, match=f"{digest.hex()} cannot be read: Permission denied; fix its permissions"):
        store.chunk(digest)


def test_a_file_that_no_disk_gives_back_is_moved_aside_and_can_be_put_again(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    digest = store.put_chunk(HashedChunk(b"weights"))
    file = only_file_of(tmp_path, digest)
    file.unlink()
    file.mkdir()  # what no permission bit can make readable, not even for root
    with pytest.raises(StoreDamaged, match=digest.hex()):
        store.chunk(digest)
    store.put_chunk(HashedChunk(b"weights"))
    assert store.chunk(digest) == b"weights"


def test_a_damaged_chunk_of_the_right_length_is_replaced_when_it_is_put_again(tmp_path: Path) -> None:
    store = FileStore(tmp_path, max_bytes=10)
    digest = store.put_chunk(HashedChunk(b"weights"))
    for _ in range(3):
        only_file_of(tmp_path, digest).write_bytes(b"weightS")
        store.put_chunk(HashedChunk(b"weights"))
        assert store.chunk(digest) == b"weights"


def test_a_dying_disk_leaves_a_bounded_number_of_damaged_files(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    for _ in range(MAX_DAMAGED_KEPT + 3):
        digest = store.put_chunk(HashedChunk(b"weights"))
        only_file_of(tmp_path, digest).write_bytes(b"weightS")
        with pytest.raises(StoreDamaged):
            store.chunk(digest)
    assert len(list((tmp_path / "damaged").iterdir())) == MAX_DAMAGED_KEPT


@pytest.mark.parametrize("content", [b"", b"weight", b"weightS", b"weights and more"])
def test_a_file_of_other_bytes_is_moved_aside_and_named(tmp_path: Path, content: bytes) -> None:
    store = FileStore(tmp_path)
    digest = store.put_chunk(HashedChunk(b"weights"))
    only_file_of(tmp_path, digest).write_bytes(content)
    with pytest.raises(StoreDamaged, match=digest.hex()):
        store.chunk(digest)
    (aside,) = (tmp_path / "damaged").iterdir()
    assert aside.read_bytes() == content


def test_a_truncated_chunk_is_replaced_when_it_is_put_again(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    digest = store.put_chunk(HashedChunk(b"weights"))
    only_file_of(tmp_path, digest).write_bytes(b"wei")
    store.put_chunk(HashedChunk(b"weights"))
    assert store.chunk(digest) == b"weights"


def test_only_old_temporary_files_are_removed_at_opening(tmp_path: Path) -> None:
    digest = FileStore(tmp_path).put_chunk(HashedChunk(b"weights"))
    file = only_file_of(tmp_path, digest)
    old, young = file.with_name("old.partial"), file.with_name("young.partial")
    for temporary in (old, young):
        temporary.write_bytes(b"half")
    stamp = young.stat().st_mtime - STALE_SECONDS - 60
    os.utime(old, (stamp, stamp))
    FileStore(tmp_path)
    assert not old.exists()
    assert young.exists()
    assert file.exists()


def test_a_store_opened_again_has_what_was_put_and_counts_it(tmp_path: Path) -> None:
    digest = FileStore(tmp_path).put_chunk(HashedChunk(b"12345678"))
    FileStore(tmp_path).put_manifest(ROOT, b"{}")
    store = FileStore(tmp_path, max_bytes=10)
    assert store.chunk(digest) == b"12345678"
    assert store.roots() == (ROOT,)
    with pytest.raises(StoreFull):
        store.put_chunk(HashedChunk(b"abc"))


def test_foreign_files_are_no_roots(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put_manifest(ROOT, b"{}")
    (tmp_path / "manifests" / "README").write_text("hello")
    (tmp_path / "manifests" / ROOT.hex()[:2] / "notes.txt").write_text("hello")
    assert store.roots() == (ROOT,)


def test_threads_that_put_the_same_chunk_do_not_disturb_one_another(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    found: list[Digest] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.put_chunk(HashedChunk(b"weights")))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(found) == 8
    assert store.chunk(found[0]) == b"weights"
    assert len(files_of(tmp_path)) == 1
