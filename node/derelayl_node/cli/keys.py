"""`derelayl key`: the one key pair of a participant; and the options that many commands share, so it loads little."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..settings import DEFAULT_HOME, PASSWORD, keystore_password
from .console import show, show_json

if TYPE_CHECKING:
    from ..keys import NodeKey

app = typer.Typer(no_args_is_help=True)

HomeOption = Annotated[Path, typer.Option("--home", help="Folder of the node.")]
PasswordFileOption = Annotated[
    Path | None, typer.Option("--password-file", help=f"File with the keystore's password (or set {PASSWORD}).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("new")
def new(home: HomeOption = DEFAULT_HOME, password_file: PasswordFileOption = None, as_json: JsonOption = False) -> None:
    """Make a key and keep it encrypted in HOME/key.json."""
    from ..keys import create_key_file

    key = create_key_file(home / "key.json", keystore_password(password_file))
    _print(key, as_json)


@app.command("show")
def show_key(
    home: HomeOption = DEFAULT_HOME, password_file: PasswordFileOption = None, as_json: JsonOption = False
) -> None:
    """Print the account and the peer id of the key in HOME; never the secret."""
    from ..keys import load_key_file

    key = load_key_file(home / "key.json", keystore_password(password_file))
    _print(key, as_json)


def _print(key: NodeKey, as_json: bool) -> None:
    from ..network.identity import peer_id_of

    account, peer_id = key.address, peer_id_of(key.secret)
    if as_json:
        show_json({"account": account, "peer_id": peer_id})
    else:
        show(f"account  {account}\npeer id  {peer_id}")
