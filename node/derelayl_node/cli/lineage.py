"""`derelayl lineage` and `derelayl api`: where a checkpoint came from, checked against the chain."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import trio
import typer
from rich.tree import Tree

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.spelling import first_digits, to_hex
from derelayl_protocol.statement.words import segment_name, short
from derelayl_protocol.types import ModelId, Root

from ..api.app import create_app
from ..api.client import NodeClient
from ..api.server import serve
from ..api.status import NodeStatus
from ..clock import SystemClock
from ..lineage import queries
from ..lineage.database import index_file
from ..lineage.follower import Progress, follow
from ..lineage.index import LineageIndex
from ..lineage.proof import join_pages
from ..lineage.records import Checkpoint
from ..pace import Pace
from ..settings import Network, variable_of
from ..signals import stop_on_signal
from .console import log_to_stderr, out, show, show_json
from .keys import JsonOption
from .node import NetworkOption
from .reading import ModelOption, chain_of, model_of, reading, reading_ledger, root_of, verify

app = typer.Typer(no_args_is_help=True)

MAX_SHOWN = 100_000
FOLLOW_SECONDS = 1.0


@app.command("show")
def show_lineage(network: NetworkOption, model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Print the lineage tree of a model, rebuilt from the chain."""
    shared = Network.read(network)
    checkpoints = trio.run(partial(_checkpoints, shared, model_of(model, shared)))
    if as_json:
        show_json([_edge(checkpoint) for checkpoint in checkpoints])
        return
    branches: dict[Root, Tree] = {}
    for checkpoint in checkpoints:
        label = _label(checkpoint)
        parent = branches.get(checkpoint.parent)
        branches[checkpoint.root] = Tree(label) if parent is None else parent.add(label)
        if parent is None:
            top = branches[checkpoint.root]
    out.print(top)


@app.command("export")
def export(
    network: NetworkOption,
    target: Annotated[Path, typer.Option("--out", help="JSON file to write.")],
    model: ModelOption = None,
) -> None:
    """Write every leg of a model, with its place on the chain, to a JSON file."""
    shared = Network.read(network)
    checkpoints = trio.run(partial(_checkpoints, shared, model_of(model, shared)))
    document = {"network": shared.name, "chain_id": shared.chain_id, "ledger": shared.ledger}
    legs = [_edge(checkpoint) for checkpoint in checkpoints]
    target.write_text(json.dumps({**document, "checkpoints": legs}, indent=2) + "\n", encoding="utf-8")
    show(f"{target}: {len(legs)} checkpoints")


@app.command("proof")
def proof(
    root: Annotated[str, typer.Argument(help="Root of the checkpoint.")],
    api_url: Annotated[str, typer.Option("--api", help="A node's REST API.")],
    network: Annotated[
        Path | None, typer.Option("--network", help="Check the proof against this network's chain.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a node where a checkpoint came from and, with --network, check every claim against the chain itself."""
    pages = trio.run(NodeClient(api_url).pages, f"/v1/checkpoints/{to_hex(root_of(root))}/proof")
    document = join_pages(pages)
    if network is None:
        show_json(document.model_dump(mode="json"))
        return
    shared = Network.read(network)
    statements = trio.run(verify, shared, document)
    if as_json:
        show_json([{"holds": one.holds, "root": one.root, "text": one.text} for one in statements])
    else:
        for one in statements:
            show(f"{'ok ' if one.holds else 'NO '} {short(one.root)}  {one.text}")
    if not all(one.holds for one in statements):
        raise typer.Exit(1)


def api(
    network: NetworkOption,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    index: Annotated[
        str, typer.Option("--index", envvar=variable_of("index"), help="The index's SQLite file, or postgresql://… .")
    ] = ".derelayl/lineage.sqlite",
) -> None:
    """Serve lineage over REST without being a peer."""
    log_to_stderr()
    trio.run(partial(_serve, Network.read(network), host, port, index))


async def _checkpoints(shared: Network, model: ModelId) -> list[Checkpoint]:
    async with reading(shared) as (_, index):
        with index.reading() as connection:
            found = queries.all_checkpoints(connection, model, 0, MAX_SHOWN)
    if not found:
        raise LocalFault(f"the ledger has no model {to_hex(model)}: check --model and the network file")
    return found


async def _serve(shared: Network, host: str, port: int, place: str) -> None:
    file = index_file(place)
    if file is not None:
        await trio.Path(file.parent).mkdir(parents=True, exist_ok=True)
    clock, progress = SystemClock(), Progress()
    index = await trio.to_thread.run_sync(LineageIndex, place)

    def status() -> NodeStatus:
        stale = progress.error if progress.another_chain else ""
        return NodeStatus(progress.reachable, progress.lag_seconds(clock.now()), progress.error, stale=stale)

    try:
        async with reading_ledger(shared) as ledger, trio.open_nursery() as nursery:
            nursery.start_soon(stop_on_signal, nursery.cancel_scope)
            web = create_app(index, chain=chain_of(shared), manifests=lambda root: None, status=status)
            url = await nursery.start(serve, web, host, port, trio.Event())
            show(f"lineage of {shared.name} at {url}/ and {url}/v1/models")
            nursery.start_soon(follow, ledger, index, clock, Pace(clock, FOLLOW_SECONDS), progress)
    finally:
        index.close()


def _label(checkpoint: Checkpoint) -> str:
    gain = "" if checkpoint.gain is None else f" {checkpoint.gain / 1e6:+.3f}"
    where = "" if checkpoint.leg is None else f"round {checkpoint.round}, segment {segment_name(checkpoint.segment)}, "
    return f"{first_digits(checkpoint.root)} {checkpoint.status}{gain} ({where}{checkpoint.owner[:10]})"


def _edge(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "root": to_hex(checkpoint.root),
        "parent": None if checkpoint.leg is None else to_hex(checkpoint.parent),
        "status": checkpoint.status,
        "trainer": checkpoint.owner,
        "round": checkpoint.round,
        "leg": checkpoint.leg,
        "segment": checkpoint.segment,
        "gain_ppm": checkpoint.gain,
        "reward_wei": str(checkpoint.reward),
        "block": checkpoint.submitted.block_number,
        "transaction": to_hex(checkpoint.submitted.transaction),
    }
