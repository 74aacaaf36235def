"""The `derelayl` command.

Each sub-command imports its own modules only when it is the one asked for: a chain process needs no torch and a
simulation no libp2p, and importing everything takes seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

HELP = "A decentralized relay-learning network: checkpoints handed on like a baton, judged and paid on a ledger."


def _demo(app: typer.Typer) -> None:
    from . import demo

    app.command("demo")(demo.demo)


def _doctor(app: typer.Typer) -> None:
    from . import doctor

    app.command("doctor")(doctor.doctor)


def _node(app: typer.Typer) -> None:
    from . import node

    app.add_typer(node.app, name="node")


def _model(app: typer.Typer) -> None:
    from . import model

    app.add_typer(model.app, name="model")


def _stake(app: typer.Typer) -> None:
    from . import stake

    app.add_typer(stake.app, name="stake")


def _lineage(app: typer.Typer) -> None:
    from . import lineage

    app.add_typer(lineage.app, name="lineage")


def _rewards(app: typer.Typer) -> None:
    from . import rewards

    app.add_typer(rewards.app, name="rewards")


def _api(app: typer.Typer) -> None:
    from . import lineage

    app.command("api")(lineage.api)


def _key(app: typer.Typer) -> None:
    from . import keys

    app.add_typer(keys.app, name="key")


def _devnet(app: typer.Typer) -> None:
    from . import devnet

    app.add_typer(devnet.app, name="devnet")


def _data(app: typer.Typer) -> None:
    from . import data

    app.add_typer(data.app, name="data")


def _chain(app: typer.Typer) -> None:
    from . import chain

    app.add_typer(chain.app, name="chain")


def _sim(app: typer.Typer) -> None:
    from derelayl_simulations.cli import app as simulations  # the one line that knows both

    app.add_typer(simulations, name="sim")


COMMANDS: dict[str, Callable[[typer.Typer], None]] = {
    "demo": _demo,
    "node": _node,
    "model": _model,
    "stake": _stake,
    "lineage": _lineage,
    "rewards": _rewards,
    "api": _api,
    "sim": _sim,
    "key": _key,
    "doctor": _doctor,
    "devnet": _devnet,
    "data": _data,
    "chain": _chain,
}


def build(arguments: Sequence[str]) -> typer.Typer:
    """The application with the sub-command that the arguments name, or with all of them."""
    app = typer.Typer(
        name="derelayl", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
    )
    app.callback()(_options)
    asked = next((argument for argument in arguments if not argument.startswith("-")), "")
    for add in [COMMANDS[asked]] if asked in COMMANDS else COMMANDS.values():
        add(app)
    return app


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Take the options that every command has; `main` reads them."""


def main() -> None:
    """Run the command line and leave with its exit status."""
    from .console import run

    sys.exit(run(build(sys.argv[1:]), debug="--debug" in sys.argv))


if __name__ == "__main__":
    main()
