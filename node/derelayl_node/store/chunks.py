"""Content-addressed chunks and manifests in files.

Below the store's folder::

    chunks/ab/abcd…      one chunk, named by the BLAKE3-256 of its bytes
    manifests/ab/abcd…   BLAKE3-256 of the wire bytes [32] ‖ the manifest's wire bytes, named by its root
    damaged/             files that were not what their name says, moved aside

A file is complete or not there: it is written beside its place under a temporary name, flushed to disk and then
renamed. A file found damaged is moved to ``damaged/``, so that it counts as absent from then on and a fetch brings it
again. Its manifest stays: a manifest here says nothing of its chunks, `missing` does.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from blake3 import blake3

from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.manifest import Chunk
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MAX_CHUNK_BYTES, MAX_MANIFEST_BYTES
from derelayl_protocol.types import HASH_BYTES, Digest, Root
from derelayl_training.files import TEMPORARY_SUFFIX, replacing

from ..ports import StoreDamaged, StoreFull

STALE_SECONDS = 3600.0
"""A temporary file this old belongs to a process that was killed; a younger one may be another process at work."""

DISK_IS_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

DISK_IS_BAD = frozenset({errno.EIO, errno.EISDIR})
"""Reading fails and will: the file counts as damaged. Other failures, as of permissions, are for people to mend."""

MAX_DAMAGED_KEPT = 64
"""Damaged files kept for whoever wants to know why; on a dying disk the oldest go."""

_log = logging.getLogger(__name__)


class FileStore:
    """`CheckpointStore` in a folder. Threads and processes may share it."""

    def __init__(self, path: Path, *, max_bytes: int | None = None) -> None:
        """Open or create the store; `max_bytes` bounds the chunks in it.

        Raises LocalFault when the folder cannot be used.
        """
        self._path = path
        self._chunks = path / "chunks"
        self._manifests = path / "manifests"
        self._damaged = path / "damaged"
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        try:
            for folder in (self._chunks, self._manifests, self._damaged):
                folder.mkdir(parents=True, exist_ok=True)
            self._remove_stale()
            self._bytes = sum(size for _, size in _files(self._chunks)) if max_bytes is not None else 0
        except OSError as error:
            raise LocalFault(
                f"the store at {path} cannot be used: {error.strerror}; choose another folder or fix its owner"
            ) from error

    def put_chunk(self, chunk: HashedChunk) -> Digest:
        """Write atomically under its digest, which is returned; idempotent.

        Raises StoreFull, LocalFault for what cannot be a chunk.
        """
        size = len(chunk.data)
        if not 1 <= size <= MAX_CHUNK_BYTES:
            raise LocalFault(f"a chunk has 1 to {MAX_CHUNK_BYTES} bytes, not {size}")
        place = self._place(self._chunks, chunk.digest)
        found = self._read_to_compare(place, size)
        if found != chunk.data:
            if found is not None:
                _log.warning("%s", self._set_aside(place))
            with self._reserved(size):
                self._write(place, chunk.data)
        return chunk.digest

    def chunk(self, digest: Digest) -> bytes | None:
        """The chunk, its digest checked; None if absent. Raises StoreDamaged."""
        place = self._place(self._chunks, digest)
        data = self._read(place, MAX_CHUNK_BYTES)
        if data is not None and HashedChunk(data).digest != digest:
            raise self._set_aside(place)
        return data

    def missing(self, chunks: Iterable[Chunk]) -> tuple[Chunk, ...]:
        """Those of which no file of the right length is here; nothing is read, so a damaged one may pass."""
        folder, found = os.fspath(self._chunks), []  # for thousands of files a look: no `Path`, which costs four stats
        for chunk in chunks:
            name = chunk.digest.hex()
            if _size(f"{folder}/{name[:2]}/{name}") != chunk.length:
                found.append(chunk)
        return tuple(found)

    def put_manifest(self, root: Root, wire: bytes) -> None:
        """Write atomically; idempotent. That the manifest has this root, the caller has checked.

        Raises StoreFull, LocalFault.
        """
        if not 1 <= len(wire) <= MAX_MANIFEST_BYTES:
            raise LocalFault(f"a manifest has 1 to {MAX_MANIFEST_BYTES} bytes, not {len(wire)}")
        place, content = self._place(self._manifests, root), blake3(wire).digest() + wire
        if self._read_to_compare(place, len(content)) != content:
            self._write(place, content)

    def manifest(self, root: Root) -> bytes | None:
        """The manifest's wire bytes, None if absent. Raises StoreDamaged."""
        place = self._place(self._manifests, root)
        content = self._read(place, HASH_BYTES + MAX_MANIFEST_BYTES)
        if content is None:
            return None
        wire = content[HASH_BYTES:]
        if blake3(wire).digest() != content[:HASH_BYTES]:
            raise self._set_aside(place)
        return wire

    def roots(self) -> tuple[Root, ...]:
        """Roots whose manifest is here, in ascending order. Raises StoreDamaged for an unreadable folder."""
        try:
            names = [place.name for place, _ in _files(self._manifests)]
        except OSError as error:
            raise StoreDamaged(
                f"the folder {self._manifests} cannot be read: {error.strerror}; fix its permissions"
            ) from error
        return tuple(Root(bytes.fromhex(name)) for name in sorted(names) if _is_name(name))

    # --- files --------------------------------------------------------------------------------------------------------

    def _place(self, folder: Path, name: bytes) -> Path:
        if len(name) != HASH_BYTES:
            raise LocalFault(f"a name in the store has {HASH_BYTES} bytes, not {len(name)}")
        return folder / name.hex()[:2] / name.hex()

    def _read(self, place: Path, most: int) -> bytes | None:
        try:
            with place.open("rb") as file:
                return file.read(most + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in DISK_IS_BAD:
                raise self._set_aside(place) from error
            raise StoreDamaged(
                f"the file {place} cannot be read: {error.strerror}; fix its permissions or delete it"
            ) from error

    def _read_to_compare(self, place: Path, most: int) -> bytes | None:
        """Read what is to be replaced unless it is right; what cannot be read is."""
        try:
            return self._read(place, most)
        except StoreDamaged as damage:
            _log.warning("%s", damage)
            return None

    def _write(self, place: Path, content: bytes) -> None:
        """Put `content` at `place`, which then has all of it or is as it was. Raises StoreFull, LocalFault."""
        try:
            place.parent.mkdir(exist_ok=True)
            with replacing(place, shared=True) as part:
                part.write_bytes(content)
        except OSError as error:
            if error.errno in DISK_IS_FULL:
                raise StoreFull(
                    f"the disk of the store at {self._path} is full: {error.strerror}; free some space"
                ) from error
            raise LocalFault(
                f"the file {place} cannot be written: {error.strerror}; check the folder's permissions"
            ) from error

    def _set_aside(self, place: Path) -> StoreDamaged:
        """Move a damaged file out of the way and return what to raise. Another thread may have been faster."""
        aside = self._damaged / f"{place.name}.{secrets.token_hex(4)}"
        size = (_size(place) or 0) if self._chunks in place.parents else 0
        try:
            os.replace(place, aside)
            os.utime(aside)
            self._forget_damaged()
        except FileNotFoundError:
            return StoreDamaged(f"the file {place} was damaged and has been moved aside; fetch the checkpoint again")
        except OSError as error:
            return StoreDamaged(f"the file {place} is damaged and cannot be moved aside: {error.strerror}; delete it")
        with self._lock:
            self._bytes -= min(size, self._bytes)
        return StoreDamaged(f"the file {place} is damaged and was moved to {aside}; fetch the checkpoint again")

    def _forget_damaged(self) -> None:
        kept = sorted(self._damaged.iterdir(), key=lambda path: path.lstat().st_mtime_ns)
        for path in kept[:-MAX_DAMAGED_KEPT]:
            if path.is_file():
                path.unlink(missing_ok=True)

    @contextmanager
    def _reserved(self, size: int) -> Iterator[None]:
        """Count `size` bytes against the limit while and after they are written. Raises StoreFull."""
        if self._max_bytes is None:
            yield
            return
        with self._lock:
            if self._bytes + size > self._max_bytes:
                raise StoreFull(
                    f"the store at {self._path} has reached its limit of {self._max_bytes} bytes; raise "
                    "the limit or free some space"
                )
            self._bytes += size
        try:
            yield
        except BaseException:
            with self._lock:
                self._bytes -= size
            raise

    def _remove_stale(self) -> None:
        before = time.time() - STALE_SECONDS
        for folder in (self._chunks, self._manifests):
            for temporary in folder.glob(f"*/*{TEMPORARY_SUFFIX}"):
                with suppress(FileNotFoundError):  # its writer has just finished
                    if temporary.stat().st_mtime < before:
                        _log.info("removing %s, left by a process that was killed", temporary)
                        temporary.unlink()


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files of a two-level folder with their sizes in bytes."""
    with os.scandir(folder) as groups:
        for group in groups:
            if group.is_dir():
                with os.scandir(group) as entries:
                    for entry in entries:
                        if _is_name(entry.name):
                            yield Path(entry.path), entry.stat().st_size


def _is_name(name: str) -> bool:
    return len(name) == 2 * HASH_BYTES and all(digit in "0123456789abcdef" for digit in name)


def _size(place: Path | str) -> int | None:
    """Bytes of a regular file, None if there is none."""
    try:
        found = os.stat(place)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
