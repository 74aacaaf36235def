from pathlib import Path

from tests.node.conformance.store import CheckpointStoreConformance

from derelayl_node.ports import CheckpointStore
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.types import Digest, Root


class TestMemoryStore(CheckpointStoreConformance):
    def open_store(self, path: Path, *, max_bytes: int | None = None) -> MemoryStore:
        return MemoryStore(max_bytes=max_bytes)

    def damage(self, store: CheckpointStore, name: Digest | Root) -> None:
        assert isinstance(store, MemoryStore)
        store.damage(name)
