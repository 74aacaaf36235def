"""`derelayl node`: be a peer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer

from ..keys import load_key_file
from ..peer import run_peer
from ..settings import Network, keystore_password, node_settings
from . import lifeline
from .console import log_to_stderr, show
from .keys import DEFAULT_HOME, HomeOption, PasswordFileOption

app = typer.Typer(no_args_is_help=True)

NetworkOption = Annotated[Path, typer.Option("--network", help="The network file.")]


@app.callback()
def node() -> None:
    """Be a peer of a network."""


@app.command("run")
def run(
    network: NetworkOption,
    home: HomeOption = DEFAULT_HOME,
    role: Annotated[
        str, typer.Option("--role", help="trainer, validator, seeder, relayer; separate several by commas.")
    ] = "trainer",
    data: Annotated[
        str,
        typer.Option("--data", help="shard:PATH, images:FOLDER[,size=HxW][,gray], mnist-5k, fashion-mnist[:FOLDER]."),
    ] = "",
    model: Annotated[str | None, typer.Option("--model", help="Model id; default: the network file's.")] = None,
    password_file: PasswordFileOption = None,
    p2p_host: Annotated[str | None, typer.Option("--p2p-host", help="Address to listen on for peers.")] = None,
    p2p_port: Annotated[int | None, typer.Option("--p2p-port", help="Port for peers; 0 takes a free one.")] = None,
    announce: Annotated[
        list[str] | None, typer.Option("--announce", help="Multiaddress others shall dial (behind a port mapping).")
    ] = None,
    api_host: Annotated[str | None, typer.Option("--api-host", help="Address of the REST API.")] = None,
    api_port: Annotated[int | None, typer.Option("--api-port", help="Its port; 0 takes a free one.")] = None,
    bid: Annotated[int | None, typer.Option("--bid", help="Bid for a lease, in wei.")] = None,
    segment: Annotated[str | None, typer.Option("--segment", help="rotate, whole, or a segment's number.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps of one leg.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Samples in one step.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Step size of SGD.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the legs' batches.")] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="backprop, local, incubation, ela, sparse, adapter, pseudoinverse.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Dials of a leg, KEY=VALUE,…, e.g. prox=0.01,distil=0.5.")
    ] = None,
    privacy: Annotated[str | None, typer.Option("--privacy", help="none, or dp: differentially private legs.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", help="Threads of training and judging.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N, mps.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="auto, float32, bfloat16.")] = None,
    memory_mib: Annotated[
        int | None, typer.Option("--memory", help="MiB for a step's activations; larger batches go in pieces.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", help="Processes that share a leg's batches, one GPU each (torchrun).")
    ] = None,
    pause_on_battery: Annotated[bool, typer.Option("--pause-on-battery", help="Train on mains only.")] = False,
    train_hours: Annotated[
        str | None, typer.Option("--train-hours", help="Local hours at which to train, e.g. 22-6.")
    ] = None,
    submission: Annotated[
        str | None, typer.Option("--submission", help="direct, or relayed: signed entries that a relayer sends.")
    ] = None,
    tied: Annotated[bool, typer.Option("--lifeline", help="Stop when standard input closes.")] = False,
) -> None:
    """Join the network and take part until stopped; HOME/ready.json then holds the addresses."""
    settings = node_settings(
        {
            "home": home,
            "network": network,
            "roles": tuple(part.strip() for part in role.split(",")),
            "data": data,
            "model": model,
            "p2p_host": p2p_host,
            "p2p_port": p2p_port,
            "announce": tuple(announce) if announce else None,
            "api_host": api_host,
            "api_port": api_port,
            "bid_wei": bid,
            "segment": segment,
            "steps": steps,
            "batch": batch,
            "learning_rate": learning_rate,
            "seed": seed,
            "submission": submission,
            "method": method,
            "recipe": recipe,
            "privacy": privacy,
            "threads": threads,
            "device": device,
            "precision": precision,
            "memory_mib": memory_mib,
            "processes": processes,
            "pause_on_battery": pause_on_battery or None,
            "train_hours": train_hours,
        }
    )
    shared = Network.read(network)
    key = load_key_file(home / "key.json", keystore_password(password_file))
    if tied:
        lifeline.hold()
    log_to_stderr()
    trio.run(partial(run_peer, settings, shared, key, say=show), strict_exception_groups=True)
