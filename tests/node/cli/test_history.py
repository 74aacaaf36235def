"""A network's history goes from its chain into the simulator's calibration."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from typer.testing import CliRunner

from derelayl_node.cli.history import read_network
from derelayl_node.cli.main import COMMANDS
from derelayl_node.evm.client import EvmLedger, open_ledger
from derelayl_node.keys import NodeKey
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.commands import Advance, CreateModel, Deposit, MatchRound, OfferTip, PlaceBid, Stake
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import TOKEN, Root, Wei
from derelayl_simulations.calibration.history import read_history

from ..evm.conftest import template
from ..evm.test_first_version import MODEL as FIRST_MODEL
from ..evm.test_first_version import events_of, ledger
from ..evm.world import ALICE, BOB, CAROL, COIN, RULES, Template, World, served_world
from ..lineage.players import Players
from .test_reading import network_of

__all__ = ["ledger", "template"]

GENESIS = Root(b"\x07" * 32)
MODEL = model_id(ALICE.address, GENESIS, RULES)


async def void_a_round(world: World) -> None:
    """Alice founds a model and offers it, Bob bids and hands nothing over: the round is void."""
    ledgers: dict[NodeKey, EvmLedger] = {}
    for key in (ALICE, BOB, CAROL):
        ledgers[key] = await open_ledger(world.url, key, world.addresses, world.folder / f"{key.address}.outbox")
        if key is not ALICE:
            await ledgers[ALICE].give(key.address, Wei(10_000), COIN)
        await ledgers[key].send(Deposit(Wei(10_000)))
    await ledgers[ALICE].send(CreateModel(RULES, GENESIS, Wei(5_000)))
    await ledgers[ALICE].send(OfferTip(MODEL, 1, GENESIS))
    await ledgers[CAROL].send(Stake(MODEL, Wei(40)))
    await ledgers[BOB].send(PlaceBid(MODEL, 1, 255, Wei(30)))
    world.clock.now += RULES.bid_seconds
    await ledgers[BOB].send(MatchRound(MODEL, 1, (0,), (0,)))
    world.clock.now += RULES.train_seconds
    await ledgers[BOB].send(Advance(MODEL, 1))
    for each in ledgers.values():
        each.close()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("history")
    with served_world(folder, template) as world:
        trio.run(void_a_round, world)
        network_of(world).model_copy(update={"model": to_hex(MODEL)}).write(folder / "network.toml")
        yield folder / "network.toml"


def test_a_chain_address_that_is_none_is_refused(network: Path) -> None:
    with pytest.raises(LocalFault, match="--chain-url localhost is no address"):
        read_network(network, None, "localhost")


def test_a_models_history_is_read_from_its_chain(network: Path) -> None:
    model, events = read_network(network, None, None)
    history = read_history(events, model)
    assert (model, history.rules, history.budget) == (MODEL, RULES, 5_000 / TOKEN)
    (only,) = history.rounds
    assert (only.number, only.settled, only.bidders, only.trainers) == (1, False, (BOB.address,), (BOB.address,))
    assert (only.seats, only.children) == ((CAROL.address,), (None,))


@pytest.mark.parametrize("seed", range(4))
def test_every_lawful_history_can_be_read(seed: int) -> None:
    players = Players(random.Random(seed))
    for _ in range(900):
        players.play()
    log = [entry.event for block in players.chain._blocks for entry in block.entries]
    for model in players.models:
        rounds = read_history(log, model).rounds
        assert [each.number for each in rounds] == list(range(1, players.state.models[model].current.number))
        assert rounds
        for each in rounds:
            assert each.scores.shape == (len(each.seats), len(each.trainers))
            assert not (each.judged & ~each.submitted).any()
            assert set(each.trainers) <= set(each.bidders)


def test_the_command_says_what_the_network_lacks(network: Path) -> None:
    app: Any = COMMANDS["sim"].load()
    result = CliRunner().invoke(app, ["calibrate", "--network", str(network)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the history has 0 rounds with 0 judged legs" in result.stderr


async def test_a_network_of_the_first_version_is_read_too(ledger: EvmLedger) -> None:
    history = read_history(await events_of(ledger), FIRST_MODEL)
    assert history.rules.duplicate_bps == 0
    settled = next(each for each in history.rounds if each.settled)
    assert settled.judged.any()
    assert settled.revealed.any()
    assert not settled.copies.any()
