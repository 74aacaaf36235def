"""The ledger on a served EVM chain behaves as every `Ledger` does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from derelayl_node.evm.client import open_ledger
from derelayl_node.keys import NodeKey
from derelayl_protocol.types import Wei

from ..conformance.ledger import FUNDS, LedgerWorld, check_ledger
from .world import ALICE, COIN, World

PLAYERS = tuple(NodeKey(bytes([number]) * 32) for number in (11, 12, 13))


@pytest.mark.slow
async def test_the_evm_ledger_conforms(world: World) -> None:
    @asynccontextmanager
    async def make() -> AsyncIterator[LedgerWorld]:
        treasury = await open_ledger(world.url, ALICE, world.addresses, world.folder / "treasury.sqlite")
        ledgers = []
        for number, key in enumerate(PLAYERS):
            await treasury.give(key.address, FUNDS, Wei(COIN))
            outbox = world.folder / f"player-{number}.sqlite"
            ledgers.append(await open_ledger(world.url, key, world.addresses, outbox))

        async def advance(seconds: float) -> None:
            world.clock.now += seconds

        try:
            identity = world.addresses.ledger
            yield LedgerWorld(ledgers, PLAYERS, identity, advance)
        finally:
            for ledger in (treasury, *ledgers):
                ledger.close()

    await check_ledger(make)
