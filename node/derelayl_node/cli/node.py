"""`derelayl node`: be a peer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from derelayl_training.loading import loading

from ..settings import Network, keystore_password, node_settings
from .console import log_to_stderr, show
from .options import takes_settings

app = typer.Typer(no_args_is_help=True)

NetworkOption = Annotated[Path, typer.Option("--network", help="The network file.")]


@app.callback()
def node() -> None:
    """Be a peer of a network."""


@app.command("run")
@takes_settings
def run(
    **given: object,
) -> None:
    """Join the network and take part until stopped; HOME/ready.json then holds the addresses.

    What no option says comes from DERELAYL_… in the environment, then from HOME/node.toml.
    """
    with loading():  # help needs none of this
        import trio

        from ..keys import load_key_file
        from ..peer import run_peer

    settings = node_settings(given)
    shared = Network.read(settings.network)
    key = load_key_file(settings.home / "key.json", keystore_password(settings.password_file))
    log_to_stderr()
    trio.run(partial(run_peer, settings, shared, key, say=show), strict_exception_groups=True)
