"""`derelayl key`: the one key pair of a participant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..keys import create_key_file, load_key_file
from ..network.identity import peer_id_of
from ..settings import keystore_password
from .console import show, show_json

app = typer.Typer(no_args_is_help=True)

HomeOption = Annotated[Path, typer.Option("--home", help="Folder of the node.")]
PasswordFileOption = Annotated[
    Path | None, typer.Option("--password-file", help="File with the keystore's password (or set DERELAYL_PASSWORD).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_HOME = Path(".derelayl/node")


@app.command("new")
def new(home: HomeOption = DEFAULT_HOME, password_file: PasswordFileOption = None, as_json: JsonOption = False) -> None:
    """Make a key and keep it encrypted in HOME/key.json."""
    key = create_key_file(home / "key.json", keystore_password(password_file))
    _print(key.address, peer_id_of(key.secret), as_json)


@app.command("show")
def show_key(
    home: HomeOption = DEFAULT_HOME, password_file: PasswordFileOption = None, as_json: JsonOption = False
) -> None:
    """Print the account and the peer id of the key in HOME; never the secret."""
    key = load_key_file(home / "key.json", keystore_password(password_file))
    _print(key.address, peer_id_of(key.secret), as_json)


def _print(account: str, peer_id: str, as_json: bool) -> None:
    if as_json:
        show_json({"account": account, "peer_id": peer_id})
    else:
        show(f"account  {account}\npeer id  {peer_id}")
