"""The options that are made from a node's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from derelayl_node.cli.options import takes_settings


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--role", "trainer,seeder", "--bid", "7"], {"roles": "trainer,seeder", "bid_wei": 7}),
        (["--announce", "/a", "--announce", "/b"], {"announce": ["/a", "/b"]}),
        (["--pause-on-battery", "--memory", "5"], {"pause_on_battery": True, "memory_mib": 5}),
        (["--home", "x", "--learning-rate", "0.5"], {"home": Path("x"), "learning_rate": 0.5}),
    ],
)
def test_a_command_gets_what_was_given_and_none_for_the_rest(arguments: list[str], expected: dict[str, object]) -> None:
    seen: dict[str, object] = {}
    app = typer.Typer()

    @app.command()
    @takes_settings
    def command(own: bool = False, **given: Any) -> None:
        seen.update({name: value for name, value in given.items() if value is not None}, own=own)

    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert seen == {**expected, "own": False}


def test_a_number_that_is_none_is_wrong_usage() -> None:
    app = typer.Typer()

    @app.command()
    @takes_settings
    def command(**given: Any) -> None:
        raise AssertionError("not reached")

    refused = CliRunner().invoke(app, ["--steps", "many"])
    assert refused.exit_code == 2
    assert "--steps" in refused.output
