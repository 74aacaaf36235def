"""Who watches the stage from outside: an account of its own that only reads, and keeps every event in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from derelayl_node.evm.client import EvmLedger, open_network_ledger
from derelayl_node.keys import NodeKey
from derelayl_node.ports import BlockRef, LogEntry
from derelayl_protocol.ledger.events import RoundSettled, RoundVoided

from .stage import Stage


class Observer:
    """The ledger's log so far, on the canonical chain."""

    def __init__(self, ledger: EvmLedger) -> None:
        self.ledger = ledger
        self.entries: list[LogEntry] = []
        self._known: tuple[BlockRef, ...] = ()

    async def look(self) -> None:
        """Take in what is new. Raises LedgerUnavailable."""
        more = True
        while more:
            batch = await self.ledger.logs(self._known)
            self.entries = [entry for entry in self.entries if entry.block.number <= batch.keep_through]
            self.entries += batch.entries
            self._known = batch.known_after(self._known)
            more = batch.more

    @property
    def block(self) -> int:
        """The newest block taken in."""
        return self._known[-1].number if self._known else 0

    @property
    def rounds_settled(self) -> int:
        """Rounds that were settled."""
        return sum(isinstance(entry.event, RoundSettled) for entry in self.entries)

    @property
    def rounds_over(self) -> int:
        """Rounds that were settled or voided."""
        return sum(isinstance(entry.event, RoundSettled | RoundVoided) for entry in self.entries)


@asynccontextmanager
async def observing(stage: Stage) -> AsyncIterator[Observer]:
    """Open an observer of the stage's chain."""
    ledger = await open_network_ledger(stage.founded.network, NodeKey.generate(), stage.world.home("observer"))
    try:
        yield Observer(ledger)
    finally:
        ledger.close()
