"""`derelayl model create --rules`: nothing guessed off a devnet, and the very rules that the simulator plays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from derelayl_node.cli import model
from derelayl_node.devnet.world import CHAIN_ID
from derelayl_node.keys import create_key_file
from derelayl_node.settings import Network
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.presets import DEVNET, PRESETS, STANDARD
from derelayl_protocol.ledger.rules import Rules, model_id
from derelayl_protocol.ledger.rules_file import parse_rules
from derelayl_protocol.types import TOKEN, Root, Wei
from derelayl_simulations.ledger import LedgerSettings, settings_of
from derelayl_simulations.scenarios import load

from ..evm.conftest import template, world
from ..evm.world import ALICE, World
from .test_reading import network_of

__all__ = ["template", "world"]

MINE = replace(STANDARD, legs_per_tip=4, emission=Wei(20 * TOKEN), access_fee=Wei(5 * 10**17))
FILE = """
preset = "standard"
legs_per_tip = 4
emission = 20_000_000_000_000_000_000  # 20 tokens
access_fee = 500_000_000_000_000_000  # half a token
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def alice(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of Alice's commands on a network that is no devnet."""
    network_of(world).write(world.folder / "network.toml")
    create_key_file(world.folder / "alice" / "key.json", "secret", key=ALICE, iterations=2)
    monkeypatch.setenv("DERELAYL_PASSWORD", "secret")
    return ["--network", str(world.folder / "network.toml"), "--home", str(world.folder / "alice")]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(model.app, [str(argument) for argument in arguments])


def refused(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, LocalFault), result.exception or result.output
    return str(result.exception)


def network_on(chain_id: int) -> Network:
    return Network(
        name="n", chain_url="http://localhost:1", chain_id=chain_id, token=ALICE.address, ledger=ALICE.address
    )


def test_rules_are_guessed_on_a_devnet_only() -> None:
    assert model._rules(None, network_on(CHAIN_ID)) == DEVNET
    with pytest.raises(LocalFault, match="chain 1 is no devnet's: choose with --rules standard, or --rules FILE"):
        model._rules(None, network_on(1))


def test_a_preset_and_a_file_are_printed_in_full(mine: Path) -> None:
    for name, rules in PRESETS.items():
        assert parse_rules(run("rules", name).stdout) == rules
    assert parse_rules(run("rules", mine).stdout) == MINE
    mine.write_text(FILE, encoding="utf-8-sig")  # as some editors do
    assert parse_rules(run("rules", mine).stdout) == MINE


def test_a_file_that_is_wrong_is_refused_by_name(mine: Path) -> None:
    mine.write_text(FILE + "quorun = 3\n")
    assert refused("rules", mine) == f"{mine} does not hold a model's rules: quorun is no rule, did you mean quorum?"
    assert "standart is no preset" in refused("rules", "standart")


@pytest.mark.slow
def test_the_simulator_plays_the_very_rules_that_are_registered(mine: Path, alice: list[str], world: World) -> None:
    assert "is no devnet's" in refused("create", *alice)
    three = mine.with_name("three.toml")
    three.write_text(FILE + "segments = 3\n")
    assert "the network has 2 segments, the rules say 3" in refused("create", *alice, "--rules", three)
    assert not (world.folder / "alice" / "genesis.safetensors").exists()

    made = run("create", *alice, "--rules", mine, "--json")
    assert made.exit_code == 0, made.exception
    created = json.loads(made.stdout)
    genesis = Root(bytes.fromhex(created["genesis"][2:]))
    assert created["model"] == "0x" + model_id(ALICE.address, genesis, MINE).hex()
    told = parse_rules(run("show", *alice[:2], "--model", created["model"], "--rules").stdout)
    assert told == MINE
    played = load("honest").under(told).ledger
    assert played == LedgerSettings(**settings_of(MINE))
    assert played.rules() == simulated(MINE, played.wei_per_coin)


def simulated(rules: Rules, wei_per_coin: int) -> Rules:
    """What a simulation makes of rules: other wei, and seconds that stand for phases."""
    amounts = ("min_bid", "offer_deposit", "validator_stake", "emission", "access_fee")
    phases = ("bid_seconds", "train_seconds", "commit_seconds", "reveal_seconds")
    played: dict[str, Any] = {name: getattr(rules, name) * wei_per_coin // TOKEN for name in amounts}
    played |= dict.fromkeys(phases, 1)
    return replace(
        rules,
        **played,
        segments=1,
        unbonding_seconds=4 * 4,
    )
