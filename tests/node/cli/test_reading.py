"""Commands that only read a network: each run with a key of its own, none in the way of the next."""

from __future__ import annotations

import pytest
import trio

from derelayl_node.cli.reading import model_of, reading, reading_ledger, root_of
from derelayl_node.settings import Network
from derelayl_protocol.errors import LocalFault

from ..evm.conftest import template, world
from ..evm.world import CHAIN_ID, World

__all__ = ["template", "world"]


def network_of(world: World) -> Network:
    addresses = world.addresses
    return Network(
        name="test",
        chain_url=world.url,
        chain_id=CHAIN_ID,
        token=addresses.token,
        ledger=addresses.ledger.address,
        start_block=addresses.start_block,
    )


def test_a_root_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(LocalFault, match="not a checkpoint's root"):
        root_of("0x12")


def test_a_network_without_a_model_asks_for_one(world: World) -> None:
    with pytest.raises(LocalFault, match="pass --model"):
        model_of(None, network_of(world))


def test_reading_twice_uses_two_keys_and_leaves_nothing_in_the_way(world: World) -> None:
    async def read() -> str:
        async with reading_ledger(network_of(world)) as ledger:
            return ledger.account

    assert trio.run(read) != trio.run(read)


def test_an_index_made_for_reading_holds_what_the_ledger_holds(world: World) -> None:
    async def read() -> int | None:
        async with reading(network_of(world)) as (ledger, index):
            assert await ledger.models() == ()
            return index.head().block

    assert trio.run(read) is not None
