"""Commands that only read a network: each run with a key of its own, none in the way of the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from derelayl_node.cli.reading import model_of, reading, reading_ledger, root_of
from derelayl_node.evm.client import EvmLedger
from derelayl_node.kept import MAX_KEPT_LEDGERS, kept_folder
from derelayl_node.ports import BlockRef, LogBatch
from derelayl_node.settings import Network
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import Address, LedgerId

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


def test_a_kept_index_is_read_on_by_the_next_command(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    logs = EvmLedger.logs

    async def counted(self: EvmLedger, known: Sequence[BlockRef]) -> LogBatch:
        asked.append(len(known))
        return await logs(self, known)

    monkeypatch.setattr(EvmLedger, "logs", counted)

    async def read() -> None:
        async with reading(network_of(world)):
            pass

    trio.run(read)
    first = len(asked)
    trio.run(read)
    assert asked[0] == 0
    assert len(asked) == first + 1
    assert asked[-1] > 0


def test_two_commands_at_once_do_not_share_an_index(world: World) -> None:
    async def read() -> tuple[int | None, int | None]:
        async with reading(network_of(world)) as (_, one), reading(network_of(world)) as (_, other):
            return one.head().block, other.head().block

    one, other = trio.run(read)
    assert one == other


def test_a_damaged_kept_index_is_made_anew_with_a_word(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    folder = kept_folder(network_of(world).ledger_id, world.addresses.start_block)
    assert folder is not None
    (folder / "lineage.sqlite").write_bytes(b"not a database, " * 1_000)

    async def read() -> int | None:
        async with reading(network_of(world)) as (_, index):
            return index.head().block

    assert trio.run(read) is not None
    assert "It is read again" in capsys.readouterr().err


def test_few_ledgers_are_kept() -> None:
    for number in range(MAX_KEPT_LEDGERS + 3):
        folder = kept_folder(LedgerId(number, Address("0x" + "11" * 20)), 0)
    assert folder is not None
    assert len(list(folder.parent.iterdir())) == MAX_KEPT_LEDGERS
    assert folder.exists()


def test_a_cache_that_cannot_be_written_is_done_without(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    async def read() -> int | None:
        async with reading(network_of(world)) as (_, index):
            return index.head().block

    assert trio.run(read) is not None
