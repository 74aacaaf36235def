"""A ledger whose process dies in the middle of what it does, and is started again on the same outbox."""

from __future__ import annotations

from typing import Any

from derelayl_node.evm.answers import Receipt
from derelayl_node.evm.client import EvmLedger, open_ledger
from derelayl_node.evm.provider import Rpc
from derelayl_node.keys import NodeKey
from derelayl_protocol.ledger.commands import Command
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.types import Wei

from .world import World

POINTS = ("signed", "sent", "mined")
"""Where a process may die: before a signed transaction is sent, after it, or when it has been mined."""


class Crash(BaseException):
    """The process ends here."""


class DyingRpc:
    """The chain as seen by a process that dies at one point, the `left`-th time that it gets there."""

    def __init__(self, rpc: Rpc, point: str, left: int = 1) -> None:
        self._rpc, self._point, self._left = rpc, point, left
        self.died = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rpc, name)

    def send_raw(self, raw: bytes) -> None:
        self._die_at("signed")
        self._rpc.send_raw(raw)
        self._die_at("sent")

    def receipt(self, transaction: bytes) -> Receipt | None:
        receipt = self._rpc.receipt(transaction)
        if receipt is not None:
            self._die_at("mined")
        return receipt

    def _die_at(self, point: str) -> None:
        if self.died:
            raise Crash
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                self.died = True
                raise Crash


async def open_dying(world: World, key: NodeKey, point: str, left: int = 1) -> tuple[EvmLedger, DyingRpc]:
    """A ledger that dies at that point; what a former process left behind is sent again before."""
    ledger = await reopened(world, key)
    rpc = DyingRpc(world.rpc, point, left)
    let_die(ledger, rpc)
    return ledger, rpc


def let_die(ledger: EvmLedger, rpc: DyingRpc) -> None:
    """Put a chain that dies between a ledger and its own."""
    ledger._rpc = ledger._views.rpc = ledger._sender._rpc = rpc  # type: ignore[assignment]


async def reopened(world: World, key: NodeKey) -> EvmLedger:
    """The ledger of a process that lives."""
    return await open_ledger(world.url, key, world.addresses, world.folder / f"{key.address}.sqlite")


class DyingLedger:
    """Implements `ports.Ledger`: the process of every command dies once, at one point, and the next one asks again.

    What is only read goes to the ledger of the process that lives. `crashed` collects the kinds of commands that died.
    """

    def __init__(self, world: World, key: NodeKey, point: str, crashed: set[type[object]], ledger: EvmLedger) -> None:
        self._world, self._key, self._point, self._crashed, self._ledger = world, key, point, crashed, ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def send(self, command: Command, key: str | None = None, *, cover: Wei | None = None) -> tuple[Event, ...]:
        rpc = DyingRpc(self._world.rpc, self._point)
        self._ledger._rpc = self._ledger._sender._rpc = rpc  # type: ignore[assignment]
        try:
            return await self._ledger.send(command, key, cover=cover)
        except Crash:
            self._crashed.add(type(command))
        self._ledger.close()
        self._ledger = await reopened(self._world, self._key)
        return await self._ledger.send(command, key, cover=cover)
