"""`derelayl chain`: the embedded chain, for devnets and demos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from derelayl_protocol.errors import LocalFault
from derelayl_training.files import write_json

from ..devchain.server import run_chain

app = typer.Typer(no_args_is_help=True)


@app.command("run")
def run(
    home: Annotated[Path, typer.Option("--home", help="Folder with genesis.json and the chain's file.")],
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8545,
) -> None:
    """Serve the chain in HOME until stopped; HOME/ready.json then holds its URL."""
    chain_id, balances = _read_genesis(home / "genesis.json")

    def ready(url: str) -> None:
        write_json(home / "ready.json", {"url": url})
        typer.echo(f"chain {chain_id} at {url}")

    status = run_chain(home / "chain.sqlite", port, chain_id, balances, host=host, ready=ready)
    if status:
        raise typer.Exit(status)


def _read_genesis(path: Path) -> tuple[int, dict[str, int]]:
    try:
        document = json.loads(path.read_text())
        chain_id = int(document["chain_id"])
        balances = {str(account): int(wei) for account, wei in document["balances"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LocalFault(f"cannot use {path} ({error}); make it with `derelayl devnet prepare`") from None
    return chain_id, balances
