"""`derelayl rewards`: on a real chain with the real contract, and from a node's REST API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from typer.testing import CliRunner, Result

from derelayl_node.api.app import create_app
from derelayl_node.api.client import NodeSilent
from derelayl_node.api.status import NodeStatus
from derelayl_node.cli import rewards
from derelayl_node.evm.client import EvmLedger, open_ledger
from derelayl_node.keys import NodeKey, create_key_file
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.proof import Chain
from derelayl_node.ports import LedgerUnavailable
from derelayl_node.testing.history import Relay, person, sample
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.commands import (
    Advance,
    CollectRoyalty,
    Command,
    CreateModel,
    Deposit,
    Fund,
    MatchRound,
    OfferTip,
    PlaceBid,
    Stake,
    SubmitLeg,
    Unstake,
    Withdraw,
)
from derelayl_protocol.ledger.events import Funded
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.statement.books import Books
from derelayl_protocol.types import LedgerId, Root, Wei

from ..evm.conftest import template
from ..evm.world import ALICE, BOB, CAROL, CHAIN_ID, COIN, RULES, Template, World, served_world
from .test_reading import network_of

__all__ = ["template"]

GENESIS = Root(b"\x07" * 32)
MODEL = model_id(ALICE.address, GENESIS, RULES)
NAME = "0x" + MODEL.hex()


async def _void_a_round(world: World) -> None:
    """Alice founds a model and offers it, Bob and she bid, Bob submits, Carol judges nothing: the round is voided."""
    ledgers: dict[NodeKey, EvmLedger] = {}
    for key in (ALICE, BOB, CAROL):
        ledgers[key] = await open_ledger(world.url, key, world.addresses, world.folder / f"{key.address}.outbox")
        if key is not ALICE:
            await ledgers[ALICE].give(key.address, Wei(10_000), COIN)
        await ledgers[key].send(Deposit(Wei(10_000)))

    async def send(key: NodeKey, *commands: Command) -> None:
        for command in commands:
            await ledgers[key].send(command)

    await send(ALICE, CreateModel(RULES, GENESIS, Wei(5_000)), OfferTip(MODEL, 1, GENESIS))
    await send(CAROL, Stake(MODEL, Wei(40)))
    await send(BOB, PlaceBid(MODEL, 1, 255, Wei(30)))
    await send(ALICE, PlaceBid(MODEL, 1, 2, Wei(20)))
    world.clock.now += RULES.bid_seconds
    await send(BOB, MatchRound(MODEL, 1, (0, 1), (0,)), SubmitLeg(MODEL, 1, 0, Root(b"\x08" * 32)))
    world.clock.now += RULES.train_seconds
    await send(BOB, Advance(MODEL, 1))
    world.clock.now += RULES.commit_seconds
    await send(BOB, Advance(MODEL, 1))
    await send(CAROL, Unstake(MODEL), Withdraw(Wei(7)))
    await send(BOB, PlaceBid(MODEL, 2, 0, Wei(11)))
    await send(ALICE, OfferTip(MODEL, 2, GENESIS), Fund(MODEL, Wei(3)), CollectRoyalty(MODEL, GENESIS, 1))
    for ledger in ledgers.values():
        ledger.close()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Iterator[Path]:
    """The network file of a chain, for reading only, on which a round was voided and the next one runs."""
    folder = tmp_path_factory.mktemp("rewards")
    with served_world(folder, template) as world:
        trio.run(_void_a_round, world)
        network_of(world).model_copy(update={"model": NAME}).write(folder / "network.toml")
        yield folder / "network.toml"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """A node whose API answers at every URL; its index holds one model that has settled rounds."""
    history, relay = sample(3)
    index = LineageIndex(tmp_path / "lineage.db")
    index.apply(history.batch())
    chain = Chain("test", LedgerId(CHAIN_ID, person("ledger")))
    web = create_app(index, chain=chain, manifests=lambda root: None, status=lambda: NodeStatus(True, 0.0))

    connected = partial(httpx.AsyncClient, transport=httpx.ASGITransport(web))
    monkeypatch.setattr("derelayl_node.api.client.httpx.AsyncClient", connected)
    monkeypatch.setattr(rewards, "LINES_AT_ONCE", 3)
    yield relay
    index.close()


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(rewards.app, [str(argument) for argument in arguments])


def told(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output or result.exception
    return result.stdout


def refused(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, LocalFault | NodeSilent)
    return str(result.exception)


# --- what cannot be answered ------------------------------------------------------------------------------------------


def test_without_a_chain_and_a_node_nothing_can_be_explained() -> None:
    assert "--network FILE" in refused("explain", "--account", ALICE.address)


def test_an_account_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    assert "not an account" in refused("explain", "--api", "http://127.0.0.1:1", "--account", "0x12")


def test_a_node_that_does_not_answer_is_named() -> None:
    text = refused("explain", "--api", "http://127.0.0.1:1", "--account", ALICE.address)
    assert text.startswith("http://127.0.0.1:1/v1/accounts/")


# --- from the chain ---------------------------------------------------------------------------------------------------


def test_a_statement_adds_up_to_what_the_contract_says(network: Path) -> None:
    document = json.loads(told("explain", "--network", network, "--account", CAROL.address, "--json"))
    assert document["free_wei"] == str(10_000 - 40 - 7)
    assert document["lines"][-1]["balance_after_wei"] == document["free_wei"]
    assert [line["kind"] for line in document["lines"]] == [
        "deposit", "stake", "seat", "slashed", "unbonding", "withdrawal",
    ]  # fmt: skip
    text = told("explain", "--network", network, "--account", CAROL.address)
    assert "you committed to no scores in round 1: 4 wei of your stake (10 %) was slashed" in text
    assert "free balance 9,953 wei (9953 wei): what these 6 lines add up to" in text
    assert re.search(r"ValidatorSlashed: block \d+, transaction 0x[0-9a-f]{64}, log \d+", text)


def test_the_default_account_is_that_of_the_key_in_home(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERELAYL_PASSWORD", "pass")
    monkeypatch.setattr("derelayl_node.keys.SCRYPT_ITERATIONS", 2)
    home = network.parent / "home"
    key = create_key_file(home / "key.json", "pass")
    assert f"statement of {key.address}" in told("explain", "--network", network, "--home", home)


def test_a_round_tells_everybodys_part_in_it(network: Path) -> None:
    text = told("explain", "--network", network, "--round", "1")
    void = "round 1 was voided: fewer seats committed than the quorum"
    assert text.startswith(f"{void}; 20 wei forfeited and 4 wei slashed go into the next pot")
    for key, moved in ((ALICE, "-20 wei"), (BOB, "0.0"), (CAROL, "0.0")):
        assert f"{key.address}: {moved}" in text
    assert "leg 1 of round 1 expired: nothing was submitted in time; your bid of 20 wei was forfeited" in text
    assert (
        "leg 0x08080808… was voided with round 1: fewer seats committed than the quorum; your bid of 20 "
        "wei was returned" in text
    )


def test_one_account_in_one_round(network: Path) -> None:
    text = told("explain", "--network", network, "--round", "2", "--account", BOB.address)
    assert "you bid 11 wei for segment 0 in round 2" in text
    assert "these 1 lines add up to -11 wei" in text


def test_balances_recomputed_from_events_equal_the_contract(network: Path) -> None:
    document = json.loads(told("reconcile", "--network", network, "--json"))
    assert document["differences"] == []
    assert document["surplus_wei"] == "0"
    assert document["total_wei"] == str(30_000 - 7)
    assert "all are equal; the events account for" in told("reconcile", "--network", network)


def test_balances_that_differ_are_shown_and_the_status_says_so(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = Funded(MODEL, BOB.address, Wei(1))
    monkeypatch.setattr(rewards, "Books", lambda events: Books([*events, forged]))
    result = run("reconcile", "--network", network)
    assert (result.exit_code, "2 differ" in result.stdout) == (1, True)
    document = json.loads(run("reconcile", "--network", network, "--json").stdout)
    assert {(one["what"], one["whose"]) for one in document["differences"]} == {
        ("free balance", BOB.address),
        ("budget", f"model {NAME}"),
    }


def test_tokens_sent_past_the_ledger_are_a_remark_and_no_difference(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = EvmLedger.tokens_at

    async def with_stray_ones(self: EvmLedger, block: int) -> Wei:
        return Wei(await read(self, block) + 5)

    monkeypatch.setattr(EvmLedger, "tokens_at", with_stray_ones)
    assert "5 wei were sent to the contract without a deposit" in told("reconcile", "--network", network)


def test_a_log_that_contradicts_itself_is_no_ledgers(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewards, "Books", lambda events: Books(list(events)[1:]))
    result = run("reconcile", "--network", network)
    assert isinstance(result.exception, LedgerUnavailable)
    assert "contradicts itself" in str(result.exception)


# --- from a node ------------------------------------------------------------------------------------------------------


def test_a_node_gives_the_same_statement_page_by_page(node: Relay) -> None:
    document = json.loads(told("explain", "--api", "http://node", "--account", person("t1"), "--json"))
    assert len(document["lines"]) > 3
    assert document["free_wei"] == str(sum(int(line["amount_wei"]) for line in document["lines"]))
    assert "was not selected (insufficient): score -4,000 ppm, margin 1,000 ppm" in told(
        "explain", "--api", "http://node", "--round", "1"
    )


def test_a_node_says_in_words_what_it_does_not_know(node: Relay) -> None:
    assert "has no account" in refused("explain", "--api", "http://node", "--account", "0x" + "9" * 40)
    assert "has no round 99" in refused("explain", "--api", "http://node", "--round", "99")
