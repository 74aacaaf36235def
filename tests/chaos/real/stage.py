"""The stage of the chaos with real processes: the embedded chain and seven peers, real sockets, a worker without torch.

A round lasts as long as its legs: bids, commits and reveals need a block each, and blocks are a second apart.
A founded network is files only, and can be copied: each copy gets ports of its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio

from derelayl_node.devnet.founding import Founded, bootstrap_address, found
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


SEEDS_APART = 100_000
"""Between two peers' seeds: a leg's seed is its peer's and the round, and no two legs may bring the same bytes."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the stage plays."""

    leg_seconds: float = 2.0
    steps: int = 20
    poll_seconds: float = 0.25
    rules: Rules = SWIFT


@dataclass(frozen=True, slots=True)
class Script:
    """A founded network at rest: its folder, its contracts and its model."""

    world: World
    founded: Founded

    def copy(self, folder: Path) -> Script:
        """The same network in a new folder, with free ports."""
        shutil.copytree(self.world.folder, folder)
        count = len(self.world.members)
        ports = free_ports(2 * count)
        members = tuple(
            replace(member, p2p_port=p2p, api_port=api)
            for member, p2p, api in zip(self.world.members, ports[:count], ports[count:], strict=True)
        )
        world = replace(self.world, folder=folder, members=members)
        world.write()
        first = members[0]
        bootstrap = bootstrap_address("127.0.0.1", first.p2p_port, world.key_of(first.name))
        network = self.founded.network.model_copy(update={"bootstrap": (bootstrap,)})
        return Script(world, replace(self.founded, network=network))


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


async def write_script(folder: Path, rules: Rules, seed: int) -> Script:
    """Found a network in a new `folder`; nothing runs afterwards."""
    world = await trio.to_thread.run_sync(_prepare, folder, seed)
    chain = _chain(world, free_ports(1)[0])
    try:
        chain.start()
        founded = await found(world, str((await chain.ready())["url"]), rules, worker=WORKER)
        return Script(world, founded)
    finally:
        stop_all([chain])


@asynccontextmanager
async def play_script(
    script: Script,
    pace: Pace,
    seed: int,
    *,
    through: Callable[[str, str], str] = lambda name, url: url,
    more: Mapping[str, Mapping[str, Any]] | None = None,
    turned: Mapping[str, str] | None = None,
    wait: bool = True,
) -> AsyncIterator[Stage]:
    """Start the chain and the peers, and `wait` until all are ready; no process outlives the block.

    `through` says by which URL a peer reaches the chain, given its name and the chain's own. `more` are settings of
    single peers, and `turned` is what villain a peer plays, see `villains`.
    """
    preload()
    world = script.world
    chain = _chain(world, free_ports(1)[0])
    peers: dict[str, Child] = {}
    try:
        chain.start()
        url = str((await chain.ready())["url"])
        founded = replace(script.founded, network=script.founded.network.model_copy(update={"chain_url": url}))
        for number, member in enumerate(world.members):
            network = world.home(member.name) / "network.toml"
            founded.network.model_copy(update={"chain_url": through(member.name, url)}).write(network)
            settings = {
                **_settings(world, member, pace, network, seed + SEEDS_APART * number),
                **(more or {}).get(member.name, {}),
            }
            command = [json.dumps(settings, default=str), (turned or {}).get(member.name, "")]
            peers[member.name] = Child(member.name, command, world.home(member.name), run=run_node)
            peers[member.name].start()
        if wait:
            async with trio.open_nursery() as nursery:
                for peer in peers.values():
                    nursery.start_soon(peer.ready)
        yield Stage(world, founded, chain, url, peers)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(stop_all, [*peers.values(), chain])


@asynccontextmanager
async def open_stage(folder: Path, pace: Pace, seed: int) -> AsyncIterator[Stage]:
    """Found a network in a new `folder` and play on it."""
    preload()
    async with play_script(await write_script(folder, pace.rules, seed), pace, seed) as stage:
        yield stage


def _chain(world: World, port: int) -> Child:
    home = world.home("chain")
    return Child("chain", ["chain", "run", "--home", str(home), "--port", str(port)], home)


def _prepare(folder: Path, seed: int) -> World:
    table = folder.with_name(f"{folder.name}.csv")
    table.write_text("a,b,label\n" + "".join(f"{row},{row % 7},{row % 2}\n" for row in range(ROWS)))
    world = prepare(folder, Plan(data=f"table:{table},label=label", partition="iid", seed=seed))
    table.unlink()
    world = replace(world, architecture=ARCHITECTURE)
    world.write()
    return world


def _settings(world: World, member: Member, pace: Pace, network: Path, seed: int) -> dict[str, Any]:
    return {
        "home": world.home(member.name),
        "network": network,
        "roles": member.role,
        "password_file": world.password_file,
        "p2p_port": member.p2p_port,
        "api_port": member.api_port,
        "seed": seed,
        "steps": pace.steps,
        "poll_seconds": pace.poll_seconds,
        "data": Dials(seed, pace.leg_seconds).spec() if member.data else "",
    }
