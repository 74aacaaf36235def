"""`Inventory` in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TypeVar

from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.manifest import Chunk
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import MAX_CHUNK_BYTES, MAX_MANIFEST_BYTES
from derelayl_protocol.types import HASH_BYTES, Digest, Root

from ..ports import StoreDamaged, StoreFull

_Name = TypeVar("_Name", Digest, Root)


class MemoryStore:
    """Chunks and manifests in dictionaries; `damage` and `max_bytes` are for tests of what goes wrong."""

    def __init__(self, *, max_bytes: int | None = None) -> None:
        self._chunks: dict[Digest, bytes] = {}
        self._manifests: dict[Root, bytes] = {}
        self._damaged: set[bytes] = set()
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def put_chunk(self, chunk: HashedChunk) -> Digest:
        """Keep a chunk under its digest, which is returned. Raises StoreFull, LocalFault for what cannot be a chunk."""
        data, digest = chunk.data, chunk.digest
        if not 1 <= len(data) <= MAX_CHUNK_BYTES:
            raise LocalFault(f"a chunk has 1 to {MAX_CHUNK_BYTES} bytes, not {len(data)}")
        with self._lock:
            used = sum(map(len, self._chunks.values()))
            if digest not in self._chunks and self._max_bytes is not None and used + len(data) > self._max_bytes:
                raise StoreFull(f"the store has reached its limit of {self._max_bytes} bytes; raise it")
            self._chunks[digest] = data
            self._damaged.discard(digest)
        return digest

    def chunk(self, digest: Digest) -> bytes | None:
        """The chunk, None if absent. Raises StoreDamaged once for a damaged one."""
        return self._take(self._chunks, digest)

    def missing(self, chunks: Iterable[Chunk]) -> tuple[Chunk, ...]:
        """Those that are not here; damaged ones are."""
        with self._lock:
            return tuple(chunk for chunk in chunks if len(self._chunks.get(chunk.digest, b"")) != chunk.length)

    def put_manifest(self, root: Root, wire: bytes) -> None:
        """Keep a manifest. Raises LocalFault for what cannot be one."""
        if not 1 <= len(wire) <= MAX_MANIFEST_BYTES:
            raise LocalFault(f"a manifest has 1 to {MAX_MANIFEST_BYTES} bytes, not {len(wire)}")
        if len(root) != HASH_BYTES:
            raise LocalFault(f"a name in the store has {HASH_BYTES} bytes, not {len(root)}")
        with self._lock:
            self._manifests[root] = wire

    def manifest(self, root: Root) -> bytes | None:
        """The manifest's wire bytes, None if absent. Raises StoreDamaged once for a damaged one."""
        return self._take(self._manifests, root)

    def roots(self) -> tuple[Root, ...]:
        """Roots whose manifest is here, in ascending order."""
        with self._lock:
            return tuple(sorted(self._manifests))

    def lose(self, name: Digest | Root) -> None:
        """Have a chunk or manifest vanish, as a file that somebody deletes."""
        with self._lock:
            self._chunks.pop(Digest(name), None)
            self._manifests.pop(Root(name), None)

    def damage(self, name: Digest | Root) -> None:
        """Let the next read of a chunk or manifest find it damaged; then it is gone, as in the real store."""
        self._damaged.add(name)

    def _take(self, held: dict[_Name, bytes], name: _Name) -> bytes | None:
        if len(name) != HASH_BYTES:
            raise LocalFault(f"a name in the store has {HASH_BYTES} bytes, not {len(name)}")
        with self._lock:
            if name in self._damaged:
                self._damaged.discard(name)
                held.pop(name, None)
                raise StoreDamaged(f"{name.hex()} is damaged and was moved aside; fetch the checkpoint again")
            return held.get(name)
