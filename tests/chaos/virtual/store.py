"""A peer's disk: a store in memory and a journal on files, slow or full when the weather says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import trio

from derelayl_node.journal import Journal
from derelayl_node.ports import StoreFull
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.types import Digest, Root
from tests.chaos.faults import FullDisk, SlowDisk

from .weather import Weather

T = TypeVar("T")


class VirtualStore(MemoryStore):
    """Outlives its peer, as a disk does."""

    def __init__(self, weather: Weather, name: str) -> None:
        super().__init__()
        self._weather = weather
        self._name = name

    @property
    def seconds(self) -> float:
        """How much longer a read or write takes now."""
        slow = self._weather.now(self._name, SlowDisk)
        return slow.seconds if slow else 0.0

    def put_chunk(self, chunk: HashedChunk) -> Digest:
        self._room()
        return super().put_chunk(chunk)

    def put_manifest(self, root: Root, wire: bytes) -> None:
        self._room()
        super().put_manifest(root, wire)

    def _room(self) -> None:
        if self._weather.now(self._name, FullDisk) is not None:
            raise StoreFull("the disk is full")


class VirtualJournal(Journal):
    """The node's own journal, on a disk that may be full."""

    def __init__(self, folder: Path, weather: Weather, name: str) -> None:
        super().__init__(folder)
        self._weather = weather
        self._name = name

    def _write(self, path: Path, document: Mapping[str, object]) -> None:
        if self._weather.now(self._name, FullDisk) is not None:
            raise StoreFull(f"cannot write {path.name}: the disk is full")
        super()._write(path, document)


async def in_line(function: Callable[..., T], *arguments: Any, **ignored: Any) -> T:
    """Instead of `trio.to_thread.run_sync`: the virtual clock does not see threads, so there are none."""
    await trio.lowlevel.checkpoint()
    for each in (getattr(function, "__self__", None), *arguments[:1]):
        if isinstance(each, VirtualStore) and each.seconds:
            await trio.sleep(each.seconds)
    return function(*arguments)
