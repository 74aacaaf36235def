"""`derelayl stake` and `derelayl model buy` on a real chain with the real contract."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import typer
from typer.testing import CliRunner, Result

from derelayl_node.cli import model, stake
from derelayl_node.cli.stake import StakeRefused
from derelayl_node.evm.client import EvmLedger, open_ledger, open_network_ledger
from derelayl_node.keys import NodeKey, create_key_file
from derelayl_node.lock import only_node
from derelayl_node.settings import Network
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.commands import CreateModel, Deposit
from derelayl_protocol.ledger.rules import Rules, model_id
from derelayl_protocol.types import Root, Wei

from ..evm.conftest import template, world
from ..evm.crashing import POINTS, Crash, DyingRpc, let_die
from ..evm.world import ALICE, BOB, COIN, RULES, World
from .test_reading import network_of

__all__ = ["template", "world"]

PAID: Rules = replace(RULES, access_fee=Wei(COIN), validator_stake=Wei(2 * COIN), unbonding_seconds=100)
GENESIS = Root(b"\x07" * 32)
MODEL = model_id(ALICE.address, GENESIS, PAID)


async def _found(world: World) -> None:
    """Alice founds a paid model and gives Bob tokens in his wallet."""
    ledger = await open_ledger(world.url, ALICE, world.addresses, world.folder / "alice.sqlite")
    await ledger.give(BOB.address, Wei(10 * COIN), COIN)
    await ledger.send(Deposit(Wei(COIN)))
    await ledger.send(CreateModel(PAID, GENESIS, Wei(0)))
    ledger.close()


@pytest.fixture
def bob(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of Bob's commands on a network with a paid model."""
    trio.run(_found, world)
    network_of(world).model_copy(update={"model": "0x" + MODEL.hex()}).write(world.folder / "network.toml")
    home = world.folder / "bob"
    create_key_file(home / "key.json", "secret", key=BOB, iterations=2)
    monkeypatch.setenv("DERELAYL_PASSWORD", "secret")
    return ["--network", str(world.folder / "network.toml"), "--home", str(home)]


def run(app: typer.Typer, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def told(app: typer.Typer, *arguments: str) -> dict[str, object]:
    result = run(app, *arguments, "--json")
    assert result.exit_code == 0, result.output or result.exception
    document: dict[str, object] = json.loads(result.stdout)
    return document


def refused(app: typer.Typer, *arguments: str) -> str:
    result = run(app, *arguments)
    assert isinstance(result.exception, StakeRefused | LocalFault), result.exception
    return str(result.exception)


def test_a_stake_s_way_in_and_out_is_told_and_each_refusal_names_the_remedy(world: World, bob: list[str]) -> None:
    assert "is not an amount of tokens" in refused(stake.app, "add", "many", *bob)
    assert "nothing is unbonding: unstake first" in refused(stake.app, "release", *bob)
    assert "is no validator" in refused(stake.app, "unstake", *bob)
    assert "add more" in refused(stake.app, "add", "1", *bob)
    poor = refused(stake.app, "add", "50", *bob)
    assert "neither the free balance nor the wallet" in poor
    assert "50 tokens are needed" in poor
    assert "10 in its wallet and 0 free" in poor
    assert told(stake.app, "add", *bob) == {"done": "staked", "amount_wei": str(2 * COIN)}
    assert told(stake.app, "add", *bob)["done"] == "nothing is missing"
    assert told(stake.app, "add", "0.5", *bob)["amount_wei"] == str(COIN // 2)
    standing = told(stake.app, "show", *bob)
    assert (standing["stake_wei"], standing["validator"], standing["seated"]) == (str(5 * COIN // 2), True, False)
    left = told(stake.app, "unstake", *bob)
    standing = told(stake.app, "show", *bob)
    assert standing["unbonding_wei"] == left["amount_wei"] == str(5 * COIN // 2)
    assert standing["release_time"] == left["release_time"]
    assert standing["stake_wei"] == "0"
    assert "it is not time yet" in refused(stake.app, "release", *bob)
    world.clock.now += PAID.unbonding_seconds
    assert told(stake.app, "release", *bob)["amount_wei"] == str(5 * COIN // 2)
    assert told(stake.app, "show", *bob)["unbonding_wei"] == "0"


@pytest.mark.parametrize("amount", [["2"], []])
@pytest.mark.parametrize("point", POINTS)
def test_a_command_that_was_killed_and_is_typed_again_stakes_once(
    world: World, bob: list[str], point: str, amount: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dying(shared: Network, key: NodeKey, home: Path) -> EvmLedger:
        ledger = await open_network_ledger(shared, key, home)
        let_die(ledger, DyingRpc(world.rpc, point, 3))
        return ledger

    with monkeypatch.context() as patch:
        patch.setattr(stake, "open_network_ledger", dying)
        with pytest.raises(Crash):
            run(stake.app, "add", *amount, *bob)
    told(stake.app, "add", *amount, *bob)
    assert told(stake.app, "show", *bob)["stake_wei"] == str(2 * COIN)


def test_a_command_works_beside_a_running_node_of_the_same_home(bob: list[str]) -> None:
    with only_node(Path(bob[-1])):
        assert told(stake.app, "add", *bob)["done"] == "staked"
        assert told(stake.app, "show", *bob)["stake_wei"] == str(2 * COIN)


@pytest.mark.parametrize("amount", [["2"], []])
def test_a_stake_that_was_cut_off_does_not_pass_for_a_later_one(
    world: World, bob: list[str], amount: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dying(shared: Network, key: NodeKey, home: Path) -> EvmLedger:
        ledger = await open_network_ledger(shared, key, home)
        let_die(ledger, DyingRpc(world.rpc, "signed", 3))
        return ledger

    with monkeypatch.context() as patch:
        patch.setattr(stake, "open_network_ledger", dying)
        with pytest.raises(Crash):
            run(stake.app, "add", *amount, *bob)
    assert told(stake.app, "add", *bob)["done"] == "nothing is missing"
    told(stake.app, "unstake", *bob)
    world.clock.now += PAID.unbonding_seconds
    told(stake.app, "release", *bob)
    assert told(stake.app, "add", *amount, *bob) == {"done": "staked", "amount_wei": str(2 * COIN)}
    assert told(stake.app, "show", *bob)["stake_wei"] == str(2 * COIN)


def test_what_a_command_before_has_done_is_not_told_as_done_by_this_one(
    world: World, bob: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dying(shared: Network, key: NodeKey, home: Path) -> EvmLedger:
        ledger = await open_network_ledger(shared, key, home)
        let_die(ledger, DyingRpc(world.rpc, "signed", 1))
        return ledger

    told(stake.app, "add", *bob)
    with monkeypatch.context() as patch:
        patch.setattr(stake, "open_network_ledger", dying)
        with pytest.raises(Crash):
            run(stake.app, "unstake", *bob)
    assert "before, by a command that was cut off" in str(told(stake.app, "unstake", *bob)["done"])


def test_the_words_for_people_have_tokens_and_a_time(bob: list[str]) -> None:
    assert run(stake.app, "add", *bob).stdout == "staked: 2 tokens\n"
    shown = run(stake.app, "show", *bob).stdout
    assert re.search(r"^stake +2 tokens$", shown, re.MULTILINE)
    assert "wei" not in shown
    assert "UTC on" in run(stake.app, "unstake", *bob).stdout


def test_access_is_bought_once_and_of_an_accepted_checkpoint_only(bob: list[str]) -> None:
    root = "0x" + GENESIS.hex()
    assert "not an accepted checkpoint" in refused(model.app, "buy", "0x" + "01" * 32, *bob)
    assert told(model.app, "buy", root, *bob)["fee_wei"] == str(COIN)
    assert told(model.app, "buy", "best", *bob)["fee_wei"] == "0"
    assert "is already open to" in run(model.app, "buy", root, *bob).stdout


def test_a_purse_that_is_too_small_is_told_the_fee(world: World, bob: list[str]) -> None:
    told(stake.app, "add", "9.5", *bob)
    assert "the fee is 1 tokens" in refused(model.app, "buy", "best", *bob)


def test_a_paid_checkpoint_is_pulled_with_the_buyer_s_key_which_must_be_there(world: World, bob: list[str]) -> None:
    home = world.folder / "nobody"
    arguments = ("pull", "best", *bob[:2], "--home", str(home), "--out", str(world.folder / "w.safetensors"))
    assert "key" in refused(model.app, *arguments)
