"""The list of commands: complete, and shown without loading what they need."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

from derelayl_node.cli.main import COMMANDS, build
from derelayl_node.settings import NodeSettings, option_of

SECONDS = 60.0
HEAVY = ("torch", "libp2p", "web3", "numpy", "derelayl_simulations")


def test_an_unknown_command_is_refused_with_the_nearest_one() -> None:
    refused = CliRunner().invoke(build(["nod"]), ["nod"])
    assert refused.exit_code == 2
    assert "'node'" in refused.output


def test_help_lists_every_command() -> None:
    shown = CliRunner().invoke(build(["--help"]), ["--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert all(command.summary in shown.output for command in COMMANDS.values())


@pytest.mark.parametrize("setting", NodeSettings.model_fields)
def test_every_setting_of_a_node_is_an_option_with_help(setting: str) -> None:
    run = typer.main.get_command(build(["node"])).commands["node"].commands["run"]
    option = next(each for each in run.params if each.name == setting)
    assert option.opts == [option_of(setting)]
    assert option.help == NodeSettings.model_fields[setting].description
    assert option.default is None


@pytest.mark.parametrize("arguments", [["node", "run", "--help"], ["data", "list"], ["--help"]])
def test_help_and_lists_load_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from derelayl_node.cli.main import build; "
        f"build({arguments})({arguments}, standalone_mode=False); "
        f"print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert ran.stderr.strip() == ""
    assert ran.stdout


def test_help_loads_no_command() -> None:
    program = (
        "import sys; from derelayl_node.cli.main import build; build(['--help']); "
        f"print(*(name for name in {HEAVY} if name in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert ran.stdout.strip() == ""
