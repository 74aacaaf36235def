"""A log reader that costs nothing: for those peers of the virtual world whose index nobody asks a question."""

from __future__ import annotations

from collections.abc import Iterator

from derelayl_node.ports import BlockRef, LogBatch, LogEntry
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.types import Address, ModelId, Root


class MemoryIndex:
    """What `lineage.follower.follow` and the owner ask of `LineageIndex`, without a database."""

    def __init__(self) -> None:
        self._known: tuple[BlockRef, ...] = ()
        self._entries: list[LogEntry] = []

    def known_blocks(self) -> tuple[BlockRef, ...]:
        return self._known

    def apply(self, batch: LogBatch) -> None:
        self._known = batch.known_after(self._known)
        kept = [entry for entry in self._entries if entry.block.number <= batch.keep_through]
        self._entries = kept + list(batch.entries)

    def waiting_royalties(self, model: ModelId, account: Address) -> tuple[Root, ...]:
        return ()

    def log(self) -> Iterator[Event]:
        return (entry.event for entry in self._entries)

    def block(self) -> int:
        """The newest block."""
        return self._known[-1].number if self._known else -1

    def close(self) -> None:
        """Nothing to close."""
