"""The `derelayl` command.

Each sub-command imports its own modules only when it is the one asked for: a chain process needs no torch and a
simulation no libp2p, and importing everything takes seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from derelayl_protocol.ledger.events import Event
from derelayl_protocol.types import ModelId
from derelayl_training.loading import loading

from ..failures import Failure

HELP = "A decentralized relay-learning network: checkpoints handed on like a baton, judged and paid on a ledger."


Loaded = typer.Typer | Callable[..., None]


BRINGS = {"training": ("torch",), "node": ("torch", "libp2p"), "devnet": ("torch", "libp2p", "eth")}
"""Of each extra that a command needs, the modules by which it is known to be installed."""


class ExtraMissing(Failure):
    """A command needs an extra of this distribution that is not installed; the message names it."""


@dataclass(frozen=True, slots=True)
class Command:
    """A sub-command: its line in the list of all, how its modules are loaded, and the extra that they need."""

    summary: str
    load: Callable[[], Loaded]
    extra: str = ""


def _demo() -> Loaded:
    from .demo import demo

    return demo


def _node() -> Loaded:
    from .node import app

    return app


def _model() -> Loaded:
    from .model import app

    return app


def _stake() -> Loaded:
    from .stake import app

    return app


def _lineage() -> Loaded:
    from .lineage import app

    return app


def _rewards() -> Loaded:
    from .rewards import app

    return app


def _api() -> Loaded:
    from .lineage import api

    return api


def _sim() -> Loaded:
    from derelayl_simulations.cli import mounted  # the one line that knows both

    def read(network: Path, model: str | None, chain_url: str | None) -> tuple[ModelId, list[Event]]:
        from .history import read_network

        return read_network(network, model, chain_url)

    return mounted(read)


def _key() -> Loaded:
    from .keys import app

    return app


def _doctor() -> Loaded:
    from .doctor import doctor

    return doctor


def _devnet() -> Loaded:
    from .devnet import app

    return app


def _data() -> Loaded:
    from .data import app

    return app


def _chain() -> Loaded:
    from .chain import app

    return app


COMMANDS = {
    "demo": Command(
        "Run a whole relay here: chain, peers, real data, a killed trainer, lineage, report.", _demo, "devnet"
    ),
    "node": Command("Be a peer of a network.", _node, "node"),
    "model": Command("Relays: create, list, show; buy, pull and use a checkpoint.", _model, "node"),
    "stake": Command("A validator's stake: show it, add to it, leave, release what has unbonded.", _stake),
    "lineage": Command("Show and prove where a checkpoint came from.", _lineage),
    "rewards": Command("Where every wei came from, and why nothing came.", _rewards),
    "api": Command("Serve lineage over REST without being a peer.", _api),
    "sim": Command("Simulate the incentives of a relay.", _sim),
    "key": Command("The key pair that is both ledger account and network identity.", _key, "node"),
    "doctor": Command(
        "Check whether this machine can run a node: versions, disk, port, key, chain, clock, data.", _doctor, "node"
    ),
    "devnet": Command("Lay out a small network in a folder.", _devnet, "devnet"),
    "data": Command("Inspect data, and write the schema that peers with tables share.", _data, "training"),
    "chain": Command("The embedded chain: one process, persistent, JSON-RPC. For devnets.", _chain, "devnet"),
}


def build(arguments: Sequence[str]) -> typer.Typer:
    """The application with the sub-command that the arguments name, or with a line for each and none of them loaded.

    Raises ExtraMissing.
    """
    app = typer.Typer(
        name="derelayl", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
    )
    app.callback()(_options)
    asked = next((argument for argument in arguments if not argument.startswith("-")), "")
    for name in [asked] if asked in COMMANDS else COMMANDS:
        loaded = _load(name) if name == asked else _not_loaded
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=name, help=COMMANDS[name].summary)
        else:
            app.command(name, short_help=COMMANDS[name].summary)(loaded)
    return app


def _load(name: str) -> Loaded:
    command = COMMANDS[name]
    if command.extra and not all(find_spec(module) for module in BRINGS[command.extra]):
        raise ExtraMissing(f"`{name}` needs an extra that is not installed: pip install 'derelayl[{command.extra}]'")
    return command.load()


def _not_loaded() -> None:
    raise AssertionError("a command that the arguments name is loaded")


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Take the options that every command has; `main` reads them."""


def main() -> None:
    """Run the command line and leave with its exit status."""
    from .console import run

    def command() -> None:
        with loading():
            made = build(sys.argv[1:])
        made()

    sys.exit(run(command, debug="--debug" in sys.argv))


if __name__ == "__main__":
    main()
