"""A client in JavaScript, written from docs/PROTOCOL.md alone, against a node over real sockets."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.node.conformance.network import DEADLINE_SECONDS, MODEL, eventually

from derelayl_node.handoff import keep_genesis
from derelayl_node.keys import NodeKey
from derelayl_node.network import discovery
from derelayl_node.network.gossip import topic_of
from derelayl_node.network.host import Libp2pNetwork, open_network
from derelayl_node.testing.store import MemoryStore
from derelayl_node.testing.trainer import FAKE_ARCHITECTURE, FakeTrainer
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.types import Address, Digest, LedgerId, Root

HERE = Path(__file__).parent
PACKAGES = HERE / "node_modules"
LEDGER = LedgerId(20260502, Address("0x" + "1e" * 20))
KEY = NodeKey(bytes(31) + b"\x01")

INSTALL_SECONDS = 120
"""For npm; where it takes longer the registry cannot be reached."""


@pytest.fixture(scope="module")
def packages() -> None:
    """Have the pinned packages beside the client, or skip with the reason."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no Node.js on this machine: a client in JavaScript cannot be tried")
    installed = PACKAGES / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= (HERE / "package-lock.json").stat().st_mtime:
        return
    try:
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"],
            cwd=HERE, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm took longer than {INSTALL_SECONDS} s for the packages of the client")
    if done.returncode:
        pytest.skip(f"npm could not install the packages of the client: {done.stderr.strip()[-300:]}")


class Client:
    """The running client."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._said = b""

    async def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(line.encode() + b"\n")

    async def did(self, what: str) -> dict[str, Any]:
        """The next thing that it has done, which must be `what`."""
        assert self._process.stdout is not None
        with trio.fail_after(DEADLINE_SECONDS):
            while b"\n" not in self._said:
                piece = await self._process.stdout.receive_some()
                assert piece, f"the client ended before it {what}"
                self._said += piece
        line, self._said = self._said.split(b"\n", 1)
        done: dict[str, Any] = json.loads(line)
        assert done["did"] == what
        return done


@asynccontextmanager
async def client(node: Libp2pNetwork, root: Root, paid: Digest) -> AsyncIterator[Client]:
    wanted = {
        "address": node.addresses[0],
        "model": MODEL.hex(),
        "root": root.hex(),
        "paid": paid.hex(),
        "ledger": {"chain_id": LEDGER.chain_id, "address": LEDGER.address},
    }
    async with trio.open_nursery() as nursery:
        command = ["node", "client.mjs", json.dumps(wanted)]
        run = partial(trio.run_process, command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process: trio.Process = await nursery.start(run)
        try:
            yield Client(process)
        finally:
            assert process.stdin is not None
            await process.stdin.aclose()
            nursery.cancel_scope.deadline = trio.current_time() + DEADLINE_SECONDS


@pytest.mark.usefixtures("packages")
async def test_a_client_written_from_the_specification_verifies_a_checkpoint_and_shares_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "EXCHANGE_SECONDS", (0.1,))  # of a peer that does not serve it: cut off once
    monkeypatch.setattr(discovery, "ROUND_SECONDS", 0.05)
    store = MemoryStore()
    weights = await FakeTrainer().genesis(FAKE_ARCHITECTURE, 1, tmp_path / "genesis.safetensors")
    root = keep_genesis(store, KEY, LEDGER, FAKE_ARCHITECTURE, weights)
    paid = store.put_chunk(HashedChunk(b"for buyers only"))

    async def admit(account: Address | None, digest: Digest) -> bool:
        return digest != paid

    opening = open_network(KEY.secret, store=store, models=[MODEL], admit=admit)
    async with opening as node, client(node, root, paid) as stranger:
        peer = (await stranger.did("connected"))["peer"]
        assert (await stranger.did("verified"))["trainer"] == KEY.address
        assert (await stranger.did("fetched"))["chunks"] > 0
        assert (await stranger.did("asked"))["answers"] == ["not for you", "not here"]

        await stranger.did("subscribed")
        mesh = node._gossip._router.mesh
        await eventually(lambda: peer in map(str, mesh.get(topic_of(MODEL), ())), "it is in the mesh")
        await node.announce(Announcement(MODEL, 3, root, KEY.address))
        heard = await stranger.did("heard")
        assert (heard["from"], heard["root"], heard["round"]) == (node.peer_id, root.hex(), 3)
        await stranger.tell("announce")
        await stranger.did("announced")
        with trio.fail_after(DEADLINE_SECONDS):
            author, announcement = await node.next_announcement()
        assert (author, announcement.root, announcement.round) == (peer, root, 7)

        exchanges = node._discovery._known(peer).exchanges
        await eventually(lambda: node._discovery._known(peer).exchanges > exchanges + 5, "asked for peers again")
        await stranger.tell("again")
        assert await stranger.did("asked again") == {"did": "asked again", "same": True, "connection": "open"}
        assert node.faults_of(peer) == 0
