"""The hosting's workflow brings a machine and calls .ci/run: what must pass is written there alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def job() -> dict[str, Any]:
    (found,) = YAML(typ="safe").load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    return dict(found)


def test_the_file_follows_the_schema_of_workflows() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_it_calls_ci_run_and_nothing_else_of_ours() -> None:
    *before, last = [step["run"] for step in job()["steps"] if "run" in step]
    assert last == "bash .ci/run"
    assert (ROOT / ".ci" / "run").is_file()
    assert before == [
        "sudo apt-get update && sudo apt-get install --yes build-essential libgmp-dev"
    ]  # as setup.sh asks


def test_it_brings_the_versions_that_the_project_names_and_actions_by_their_major_version() -> None:
    steps = {step["uses"].partition("@")[0]: step for step in job()["steps"] if "uses" in step}
    assert all(re.fullmatch(r"actions/[a-z-]+@v[0-9]+", step["uses"]) for step in steps.values())
    assert steps["actions/setup-python"]["with"]["python-version"] == "3.11"
    assert steps["actions/setup-node"]["with"]["node-version"] == "20"
    assert job()["timeout-minutes"] == 90
