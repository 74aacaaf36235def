"""docker-compose.yml is a valid compose file and starts only commands that exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML
from typer.testing import CliRunner

from derelayl_node.cli.main import build

ROOT = Path(__file__).parents[1]


def test_the_file_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    result = subprocess.run(
        [*command, str(ROOT / "docker-compose.yml")], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_service_runs_a_command_of_ours_with_options_that_exist() -> None:
    services = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {"prepare", "chain", "found", "bootstrap", "api"} < set(services)
    for name, service in services.items():
        words = service["command"]
        if len(words) == 1:  # a shell line: `test … || derelayl …`
            words = words[0].split("derelayl ", 1)[1].split()
        options = [word.split("=")[0] for word in words if word.startswith("--")]
        path = [word for word in words[:2] if not word.startswith(("-", "/"))]
        shown = CliRunner().invoke(build(path), [*path, "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0, (name, shown.output)
        for option in options:
            assert option in shown.output, f"{name}: {option} is no option of derelayl {' '.join(path)}"
