"""A whole chain in the test's own process: clocks that obey, accounts, signed transactions, a deployed ledger."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils.address import to_checksum_address

from derelayl_node.devchain.embedded import EmbeddedChain
from derelayl_node.devchain.server import ChainServer
from derelayl_node.evm.deploy import NetworkAddresses, deploy
from derelayl_node.evm.provider import Rpc, open_chain
from derelayl_node.keys import NodeKey
from derelayl_protocol.ledger.presets import MINIMAL
from derelayl_protocol.types import TOKEN, Wei

CHAIN_ID = 31337
COIN = TOKEN  # the chain's own coin has as many wei
ALICE, BOB, CAROL = (NodeKey(bytes([number]) * 32) for number in (1, 2, 3))
BALANCES: dict[str, int] = {key.address: 1_000 * COIN for key in (ALICE, BOB)}
SINK = "0x" + "ee" * 20

RULES = replace(
    MINIMAL,
    segments=4,
    bid_seconds=60,  # long phases, for the clock moves with every look at it
    train_seconds=600,
    commit_seconds=600,
    reveal_seconds=600,
    quorum=1,
    validator_stake=Wei(10),
)


class ManualClock:
    """Moves only when told to; starts at a fixed time."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class TickingClock(ManualClock):
    """Every look at it is a second later, so that no transaction has to wait for the next block."""

    def __call__(self) -> float:
        self.now += 1
        return self.now


def open_embedded(path: Path, clock: ManualClock, chain_id: int = CHAIN_ID) -> EmbeddedChain:
    return EmbeddedChain(path, chain_id=chain_id, genesis_balances=BALANCES, clock=clock)


def transfer(key: NodeKey, nonce: int, **changes: Any) -> bytes:
    """A raw transaction that sends one wei to the sink."""
    fields = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "to": to_checksum_address(SINK),
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 10,
        **changes,
    }
    signed = Account.sign_transaction({name: value for name, value in fields.items() if value is not None}, key.secret)
    return bytes(signed.raw_transaction)


def post(url: str, body: bytes, content_type: str = "application/json") -> tuple[int, Any]:
    """One HTTP request; the status and the decoded JSON."""
    request = urllib.request.Request(url, body, {"Content-Type": content_type})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def ask(url: str, method: str, *params: Any) -> Any:
    """One JSON-RPC call; the whole answer."""
    return post(url, json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())[1]


@dataclass
class World:
    """A served chain with a deployed ledger whose tokens belong to Alice."""

    folder: Path
    clock: ManualClock
    chain: EmbeddedChain
    url: str
    rpc: Rpc
    addresses: NetworkAddresses


@dataclass(frozen=True)
class Template:
    """A chain's file on which the ledger is deployed already, to be copied."""

    file: Path
    now: float
    addresses: NetworkAddresses


def make_template(folder: Path) -> Template:
    clock = TickingClock()
    file = folder / "template.sqlite"
    with ChainServer(open_embedded(file, clock)) as server:
        addresses = deploy(open_chain(server.url, CHAIN_ID), ALICE, supply=Wei(1_000_000 * COIN))
    return Template(file, clock.now, addresses)


@contextmanager
def served_world(folder: Path, template: Template) -> Iterator[World]:
    clock = TickingClock(template.now)
    shutil.copy(template.file, folder / "chain.sqlite")
    chain = open_embedded(folder / "chain.sqlite", clock)
    with ChainServer(chain) as server:
        yield World(folder, clock, chain, server.url, open_chain(server.url, CHAIN_ID), template.addresses)
