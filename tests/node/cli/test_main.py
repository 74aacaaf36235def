"""The list of commands: complete, shown without loading what they need; and what each needs to be installed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup, TyperOption
from typer.testing import CliRunner

from derelayl_node.cli import console
from derelayl_node.cli.main import BRINGS, COMMANDS, build, main
from derelayl_node.settings import NodeSettings, option_of
from derelayl_protocol.errors import Reason, RuleViolation

from ..evm.conftest import template, world
from ..evm.world import World
from .test_reading import network_of

__all__ = ["template", "world"]

SECONDS = 120.0
HEAVY = ("torch", "libp2p", "web3", "numpy", "derelayl_simulations")
EXTRA = {"torch", "safetensors", "psutil", "mlxtend", "libp2p", "multiaddr", "eth"}
"""What only extras bring; `eth` is py-evm."""

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
PROGRAM = """
import json, sys
from derelayl_node.cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    """A command in a process of its own that ends by telling what it has loaded."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def loaded(process: subprocess.Popen[str]) -> set[str]:
    _, errors = process.communicate(timeout=SECONDS)
    return set(json.loads(errors.splitlines()[-1]))


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
    whole = typer.main.get_command(build(["node"]))
    assert isinstance(whole, TyperGroup)
    node = whole.commands["node"]
    assert isinstance(node, TyperGroup)
    run = node.commands["run"]
    option = next(each for each in run.params if each.name == setting)
    assert option.opts == [option_of(setting)]
    assert isinstance(option, TyperOption)
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


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("node", "libp2p", "node"),
        ("node", "torch", "node"),
        ("data", "torch", "training"),
        ("chain", "eth", "devnet"),
        ("demo", "eth", "devnet"),
    ],
)
def test_a_command_whose_extra_is_missing_is_one_sentence_that_names_it_and_status_1(
    name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # what the interpreter finds where there is none
    monkeypatch.setattr(sys, "argv", ["derelayl", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"derelayl: `{name}` needs an extra that is not installed: pip install 'derelayl[{extra}]'\n"


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (RuleViolation(Reason.UNKNOWN_MODEL), "no such model; `derelayl model list` shows those that it has"),
        (RuleViolation(Reason.TOO_EARLY, "3 s left"), "tell when (TooEarly: 3 s left)"),
    ],
)
def test_what_the_ledger_refuses_is_a_sentence_and_status_1(
    refusal: RuleViolation, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise refusal

    assert console.run(command, debug=False) == 1
    assert told in capsys.readouterr().err


def test_the_list_of_commands_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "libp2p", "eth"):
        monkeypatch.setitem(sys.modules, module, None)
    assert CliRunner().invoke(build(["--help"]), ["--help"]).exit_code == 0


def test_the_extras_that_commands_need_exist_and_the_base_holds_none_of_them() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    assert set(BRINGS) == {command.extra for command in COMMANDS.values() if command.extra}
    assert set(BRINGS) | {"api", "sim"} <= set(project["optional-dependencies"])
    names = {line.split("==")[0].split("[")[0] for line in project["dependencies"]}
    assert not names & {"torch", "safetensors", "psutil", "mlxtend", "libp2p", "multiaddr", "py-evm"}


def test_a_simulation_runs_without_what_only_extras_bring() -> None:
    modules = loaded(start("sim", "run", "published", "--seeds", "2", "--jobs", "1", "--json"))
    assert "derelayl_simulations" in modules
    assert not modules & EXTRA


def test_the_api_is_served_without_what_only_extras_bring(tmp_path: Path, world: World) -> None:
    network_of(world).write(tmp_path / "network.toml")
    options = ["--network", f"{tmp_path}/network.toml", "--port", "0", "--index", f"{tmp_path}/index.sqlite"]
    with start("api", *options) as process:
        assert process.stdout is not None
        assert "http://127.0.0.1" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        modules = loaded(process)
    assert "hypercorn.trio" in modules
    assert not modules & EXTRA
