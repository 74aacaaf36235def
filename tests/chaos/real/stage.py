"""The stage of the chaos with real processes: the embedded chain and seven peers, real sockets, a worker without torch.

A round lasts as long as its legs: bids, commits and reveals need a block each, and blocks are a second apart.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from derelayl_node.devnet.founding import Founded, found
from derelayl_node.devnet.processes import Child, preload, stop_all
from derelayl_node.devnet.world import Member, Plan, World, free_ports, prepare
from derelayl_protocol.ledger.presets import DEVNET
from derelayl_protocol.ledger.rules import Rules

from .node import WORKER, run_node
from .worker import ARCHITECTURE, Dials

ROWS = 500
"""Rows of the table that a devnet is prepared with; nobody trains on it."""


SWIFT = replace(DEVNET, train_seconds=15, commit_seconds=15, reveal_seconds=10)
"""A vanished peer holds a round up by a few blocks only."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the stage plays."""

    leg_seconds: float = 2.0
    steps: int = 20
    poll_seconds: float = 0.25
    rules: Rules = SWIFT


@dataclass(frozen=True, slots=True)
class Stage:
    """What is running. `peers` is by name, in the order of the world's members."""

    world: World
    founded: Founded
    chain: Child
    chain_url: str
    peers: Mapping[str, Child]

    def everybody(self) -> list[Child]:
        """All processes, the chain first."""
        return [self.chain, *self.peers.values()]


@asynccontextmanager
async def open_stage(
    folder: Path, pace: Pace, seed: int, chain_of: Mapping[str, str] | None = None
) -> AsyncIterator[Stage]:
    """Play from a new `folder`; no process outlives the block. `chain_of` names other URLs of the chain by peer."""
    preload()
    world = await trio.to_thread.run_sync(_prepare, folder, seed)
    port = free_ports(1)[0]
    home = world.home("chain")
    chain = Child("chain", ["chain", "run", "--home", str(home), "--port", str(port)], home)
    peers: dict[str, Child] = {}
    try:
        chain.start()
        url = str((await chain.ready())["url"])
        founded = await found(world, url, pace.rules, worker=WORKER)
        for number, member in enumerate(world.members):
            network = world.home(member.name) / "network.toml"
            own_url = (chain_of or {}).get(member.name, url)
            founded.network.model_copy(update={"chain_url": own_url}).write(network)
            peers[member.name] = _peer(world, member, pace, network, seed + number)
            peers[member.name].start()
        async with trio.open_nursery() as nursery:
            for peer in peers.values():
                nursery.start_soon(peer.ready)
        yield Stage(world, founded, chain, url, peers)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(stop_all, [*peers.values(), chain])


def _prepare(folder: Path, seed: int) -> World:
    table = folder.with_name(f"{folder.name}.csv")
    table.write_text("a,b,label\n" + "".join(f"{row},{row % 7},{row % 2}\n" for row in range(ROWS)))
    world = prepare(folder, Plan(data=f"table:{table},label=label", partition="iid", seed=seed))
    table.unlink()
    world = replace(world, architecture=ARCHITECTURE)
    world.write()
    return world


def _peer(world: World, member: Member, pace: Pace, network: Path, seed: int) -> Child:
    home = world.home(member.name)
    settings = {
        "home": str(home),
        "network": str(network),
        "roles": member.role,
        "password_file": str(world.password_file),
        "p2p_port": member.p2p_port,
        "api_port": member.api_port,
        "seed": seed,
        "steps": pace.steps,
        "poll_seconds": pace.poll_seconds,
        "data": Dials(seed, pace.leg_seconds).spec() if member.data else "",
    }
    return Child(member.name, [json.dumps(settings)], home, run=run_node)
