"""`derelayl devnet`: the two steps that lay out a small network, for docker-compose and for trying things by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import trio
import typer

from derelayl_protocol.ledger.presets import DEVNET

from ..devnet.founding import found
from ..devnet.world import Plan, prepare, read_world
from .console import show

app = typer.Typer(no_args_is_help=True)

FolderArgument = Annotated[Path, typer.Argument(help="Folder of the devnet.")]


@app.command("prepare")
def prepare_devnet(
    folder: FolderArgument,
    trainers: Annotated[int, typer.Option("--trainers", min=1, max=16)] = 3,
    validators: Annotated[int, typer.Option("--validators", min=1, max=16)] = 3,
    data: Annotated[str, typer.Option("--data", help="What peers share: mnist-5k or any data spec.")] = "mnist-5k",
    partition: Annotated[
        str, typer.Option("--partition", help="How peers share it: iid, dirichlet:ALPHA, by-label or by-site.")
    ] = "dirichlet:0.5",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the shards and of the genesis weights.")] = 1,
    p2p_port: Annotated[int | None, typer.Option("--p2p-port", help="One port for every peer (own hosts).")] = None,
    api_port: Annotated[int | None, typer.Option("--api-port", help="One port for every API (own hosts).")] = None,
) -> None:
    """Write keys, data shards and the chain's first accounts."""
    members = 1 + trainers + validators
    plan = Plan(
        trainers=trainers,
        validators=validators,
        data=data,
        partition=partition,
        seed=seed,
        p2p_ports=None if p2p_port is None else (p2p_port,) * members,
        api_ports=None if api_port is None else (api_port,) * members,
    )
    world = prepare(folder, plan)
    show(f"{folder}: {', '.join(member.name for member in world.members)}; next: start the chain, then devnet found")


@app.command("found")
def found_devnet(
    folder: FolderArgument,
    chain_url: Annotated[str, typer.Option("--chain-url", help="JSON-RPC of the running chain.")],
    bootstrap_host: Annotated[str, typer.Option("--bootstrap-host", help="The first peer's host.")] = "127.0.0.1",
    train_seconds: Annotated[int, typer.Option("--train-seconds", min=1, help="Deadline of a leg.")] = 120,
) -> None:
    """Deploy the contracts, grant tokens, create the model, write FOLDER/network.toml (nothing where that exists)."""
    world = read_world(folder)
    if world.network_file.exists():
        show(f"{world.network_file} exists: this devnet has already been founded")
        return
    rules = replace(DEVNET, train_seconds=train_seconds)
    founded = trio.run(found, world, chain_url, rules, bootstrap_host)
    show(f"model {founded.network.model}; peers use --network {world.network_file}")
