"""The relay as users run it: the chain and four peers as processes, real sockets, real training, two rounds.

Bids, children, commits and reveals go through a relayer; the demo sends them directly.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import trio

from derelayl_node.cli.reading import catch_up
from derelayl_node.demo.audit import audit
from derelayl_node.demo.chronicle import Chronicle
from derelayl_node.demo.course import chain_process, node_process
from derelayl_node.demo.node_api import NodeApi
from derelayl_node.demo.request import DemoOptions
from derelayl_node.devnet.founding import Founded, found
from derelayl_node.devnet.processes import Child, stop_all
from derelayl_node.devnet.world import TOKEN_SUPPLY, Plan, World, prepare
from derelayl_node.evm.client import open_network_ledger
from derelayl_node.keys import NodeKey
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.proof import join_pages, verify_proof
from derelayl_node.lineage.proof_format import LedgerReference
from derelayl_protocol.checkpoint.ancestry import lineage_digest
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.presets import DEVNET
from derelayl_protocol.types import Address

ROUNDS = 2
TEST_SECONDS = 150.0
"""Two rounds take half a minute on an idle machine."""


@pytest.mark.slow
def test_two_rounds_over_real_sockets_are_judged_paid_and_provable(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    world = prepare(folder, Plan(trainers=1, validators=2, test_size=200, seed=3))
    children: list[Child] = []
    try:
        trio.run(_play, world, DemoOptions(out=folder, steps=20), children)
    finally:
        stop_all(children)
    assert all(child.process is None for child in children)


async def _play(world: World, options: DemoOptions, children: list[Child]) -> None:
    with trio.fail_after(TEST_SECONDS):
        children.append(chain_process(world))
        children[0].start()
        founded = await found(world, (await children[0].ready())["url"], DEVNET)
        for member in world.members:
            children.append(_relayed(node_process(world, member, options)))
            children[-1].start()
        for child in children[1:]:
            await child.ready()
        await _check(world, founded, children)
        log = children[1].log.read_text()
        assert all(f"entries for others: {command}" in log for command in ("SubmitBySig", "CommitBySig", "RevealBySig"))


def _relayed(child: Child) -> Child:
    """The peer with its entries sent by others; the seeder is who sends them."""
    command = ["seeder,relayer" if word == "seeder" else word for word in child.command]
    return replace(child, command=[*command, "--submission", "relayed"])


async def _check(world: World, founded: Founded, children: list[Child]) -> None:
    home = world.home("observer")
    ledger = await open_network_ledger(founded.network, NodeKey.generate(), home)
    index = LineageIndex(home / "lineage.sqlite")
    chronicle = Chronicle({Address(member.account): member.name for member in world.members})
    known = 0
    while chronicle.closed_rounds < ROUNDS:
        for child in children:
            child.check()
        await catch_up(ledger, index)
        entries = (await ledger.logs(())).entries
        list(chronicle.tell(entry.event for entry in entries[known:]))
        known = len(entries)
        await trio.sleep(0.2)
    selected = [leg for leg in chronicle.legs if leg.selected]
    assert selected, "no leg of two rounds was selected"
    assert all(leg.reward > 0 for leg in selected)
    await _lineages_agree(world, founded, chronicle)
    await catch_up(ledger, index)  # the events above were read after it had caught up last
    await _proof_holds(world, founded, "0x" + (selected[-1].child or b"").hex(), index)
    accounts = [Address(world.founder), *(Address(member.account) for member in world.members)]
    assert (await audit(ledger, founded.model, accounts, TOKEN_SUPPLY)).conserved
    index.close()
    ledger.close()


async def _lineages_agree(world: World, founded: Founded, chronicle: Chronicle) -> None:
    expected = lineage_digest(chronicle.edges(ROUNDS))
    for member in world.members:
        api = NodeApi(f"http://127.0.0.1:{member.api_port}")
        while True:  # until the node's index has read that far; the test's deadline bounds it
            if lineage_digest(await api.edges(founded.model, ROUNDS)) == expected:
                break
            await trio.sleep(0.2)


async def _proof_holds(world: World, founded: Founded, root: str, index: LineageIndex) -> None:
    """Ask a peer for the proof and check it against events read from the chain by ourselves."""

    def fetch(place: LedgerReference) -> Event | None:
        block, transaction = bytes.fromhex(place.block_hash[2:]), bytes.fromhex(place.transaction_hash[2:])
        return index.event(block, transaction, place.log_index)

    url = f"http://127.0.0.1:{world.members[0].api_port}"
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        page = (await client.get(f"/v1/checkpoints/{root}/proof")).json()
    statements = verify_proof(join_pages([page]), fetch)
    assert all(one.holds for one in statements), [one for one in statements if not one.holds]
    assert any("hashes to the root" in one.text for one in statements)
    assert json.dumps(page).count(founded.network.ledger) > 0
