"""A network of protocol version 1, recorded with the last build that took part in it: it reads as it did then."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_bloom.bloom import BloomFilter
from eth_utils.abi import function_signature_to_4byte_selector
from sqlalchemy import select

from derelayl_node.evm.client import EvmLedger
from derelayl_node.evm.deploy import NetworkAddresses
from derelayl_node.evm.first_version import AnotherVersion, check_readable
from derelayl_node.evm.outbox import Outbox
from derelayl_node.evm.provider import Rpc
from derelayl_node.keys import NodeKey
from derelayl_node.lineage import queries, tables
from derelayl_node.lineage.index import LineageIndex
from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.commands import Command
from derelayl_protocol.ledger.events import ModelCreated
from derelayl_protocol.ledger.rules import is_id_of
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.teller import Teller
from derelayl_protocol.statement.transfers import Kind
from derelayl_protocol.types import Address, LedgerId, ModelId, Ppm, Root, Wei

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "version1" / "history.json").read_text(encoding="utf-8")
)
SAID: dict[str, Any] = RECORDED["said"]
LEDGER = Address(RECORDED["ledger"])
MODEL = ModelId(bytes.fromhex(RECORDED["model"]))
UNBONDING = function_signature_to_4byte_selector("unbondingOf(bytes32,address)").hex()
VIEWS = {view["data"]: view["returned"] for view in RECORDED["views"]}


class RecordedChain:
    """Answers a client's requests from the recording, whatever it asks for."""

    def __init__(self) -> None:
        self.provider = self
        self.blocks = [self._block(number) for number in range(len(RECORDED["blocks"]))]
        self.sent = 0

    def _block(self, number: int) -> dict[str, Any]:
        bloom = BloomFilter()
        bloom.add(bytes.fromhex(LEDGER[2:]))
        hashes = ["0x" + hashlib.sha256(f"block {at}".encode()).hexdigest() for at in (number - 1, number)]
        return {
            "number": hex(number),
            "parentHash": hashes[0],
            "hash": hashes[1],
            "timestamp": hex(RECORDED["blocks"][number]["time"]),
            "logsBloom": "0x" + int(bloom).to_bytes(256, "big").hex(),
        }

    def make_request(self, method: str, params: list[Any]) -> dict[str, Any]:
        answers = {
            "eth_chainId": lambda: hex(RECORDED["chain_id"]),
            "eth_getCode": lambda: "0x60",
            "eth_getBlockByNumber": lambda: self.blocks[-1 if params[0] == "latest" else int(params[0], 16)],
            "eth_call": lambda: "0x" + self._view(params[0]["data"].removeprefix("0x")),
            "eth_getLogs": lambda: list(self._logs(params[0])),
        }
        assert method in answers, f"{method} sends something to a network that is only read"
        return {"result": answers[method]()}

    def _view(self, data: str) -> str:
        unbonding = data.startswith(UNBONDING) and data not in VIEWS  # of an account that was not there
        return "00" * 64 if unbonding else VIEWS[data]

    def _logs(self, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        for block in self.blocks[first : last + 1]:
            for index, log in enumerate(RECORDED["blocks"][int(block["number"], 16)]["logs"]):
                topics = ["0x" + topic for topic in log["topics"]]
                if topics[0] not in query.get("topics", [topics])[0]:
                    continue
                yield {
                    "address": LEDGER,
                    "topics": topics,
                    "data": "0x" + log["data"],
                    "blockNumber": block["number"],
                    "blockHash": block["hash"],
                    "transactionHash": block["hash"],
                    "logIndex": hex(index),
                }


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[EvmLedger]:
    where = LedgerId(RECORDED["chain_id"], LEDGER)
    addresses = NetworkAddresses(ledger=where, token=Address(RECORDED["token"]), start_block=0)
    rpc = Rpc(RecordedChain(), "http://recorded")  # type: ignore[arg-type]
    client = EvmLedger(rpc, NodeKey(b"\x2a" * 32), addresses, Outbox(tmp_path / "outbox", "recorded"))
    yield client
    client.close()


async def events_of(ledger: EvmLedger) -> list[Any]:
    return [entry.event for entry in (await ledger.logs(())).entries]


async def test_what_takes_part_is_refused_by_the_version_and_what_leaves_is_not(ledger: EvmLedger) -> None:
    taking_part: tuple[Command, ...] = (
        commands.PlaceBid(MODEL, 3, 0, Wei(10)),
        commands.Stake(MODEL, Wei(1_000)),
        commands.Deposit(Wei(5)),
        commands.RevealScores(MODEL, 3, (Ppm(1), Ppm(2)), (0, 1), bytes(32)),
    )
    for command in taking_part:
        with pytest.raises(AnotherVersion, match=r"protocol version 1, and this derelayl takes part .* version 2"):
            await ledger.send(command)
    with pytest.raises(AnotherVersion, match="this one can be read"):
        await ledger.check_takes_part()
    for leaving in (commands.Unstake(MODEL), commands.Release(MODEL), commands.Withdraw(Wei(1))):
        with pytest.raises(AssertionError, match="eth_"):
            await ledger.send(leaving)  # it is on its way to the chain


def test_a_version_that_nobody_knows_here_is_not_read() -> None:
    for version in ("1", "2"):
        check_readable(version)
    with pytest.raises(AnotherVersion, match="version 3, which is not known here: update derelayl"):
        check_readable("3")


async def test_statements_and_endings_are_those_that_were_told_then(ledger: EvmLedger) -> None:
    books = Books()
    teller, lines, endings = Teller(books), [], {}
    for number, event in enumerate(await events_of(ledger)):
        books.note(event)
        lines += teller.tell(event, number)
        if type(event).__name__ in ("RoundSettled", "RoundVoided"):
            ended = books.story(MODEL, event.round).endings()
            endings[str(event.round)] = [str(ending) for _, ending in sorted(ended.items())]
    assert endings == SAID["endings"]
    assert len(lines) == len(SAID["lines"])
    for line, (event, account, kind, amount, balance, sentence) in zip(lines, SAID["lines"], strict=True):
        assert [line.event, line.account, str(line.kind), str(line.amount), str(line.balance)] == [
            event, account, kind, amount, balance,
        ]  # fmt: skip
        assert line.sentence == sentence or line.kind is Kind.LEASE, "a lease says its bond now"


async def test_the_model_is_shown_with_its_rules_and_the_running_round(ledger: EvmLedger) -> None:
    assert await ledger.models() == (MODEL,)
    state = await ledger.model(MODEL)
    rules = {name: str(value) for name, value in dataclasses.asdict(state.rules).items()}
    assert rules == SAID["rules"] | {"duplicate_bps": "0"}
    assert rules == {name: str(value) for name, value in dataclasses.asdict(await ledger.rules(MODEL)).items()}
    view = await ledger.round(MODEL)
    assert view == state.current
    assert (view.number, view.phase.name) == (SAID["round"]["number"], SAID["round"]["phase"])
    assert [tip.root.hex() for tip in view.tips] == SAID["round"]["tips"]
    assert not any(tip.stalled for tip in view.tips)
    assert [str(leg.bid) for leg in view.legs] == SAID["round"]["bonds"]
    seats = [
        [seat.validator, None if seat.scores is None else [str(score) for score in seat.scores]] for seat in view.seats
    ]
    assert seats == SAID["round"]["seats"]
    assert {seat.originals for seat in view.seats} == {None, (0, 1)}
    records = {
        root.hex(): [record.owner, str(record.score), str(record.pending)] for root, record in state.checkpoints.items()
    }
    assert records == SAID["checkpoints"]
    assert await ledger.access(MODEL, Root(bytes.fromhex(RECORDED["genesis"])), state.creator)


async def test_the_index_takes_the_log_and_answers_from_it(ledger: EvmLedger, tmp_path: Path) -> None:
    index = LineageIndex(tmp_path / "lineage.sqlite")
    index.apply(await ledger.logs(()))
    created = next(event for event in await events_of(ledger) if isinstance(event, ModelCreated))
    assert is_id_of(MODEL, created.creator, created.genesis, created.rules)
    with index.reading() as connection:
        for number, endings in SAID["endings"].items():
            rows = connection.execute(select(tables.legs).where(tables.legs.c.round == int(number)))
            assert [row.status for row in sorted(rows, key=lambda row: row.leg)] == endings
        model = queries.model(connection, MODEL)
        assert model is not None
        assert json.loads(model.rules)["duplicate_bps"] == "0"
    index.close()
