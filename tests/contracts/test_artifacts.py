"""The committed artifacts are what the sources compile to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from .evm import ARTIFACTS, artifact

CONTRACTS = ARTIFACTS.parent
COMPILE_SECONDS = 600
"""Deadline of a compilation, which takes fifteen seconds on an idle machine and ten times that on a busy one."""


@pytest.mark.slow
def test_recompiling_gives_the_committed_artifacts() -> None:
    node = shutil.which("node")
    if node is None or not (CONTRACTS / "node_modules").is_dir():
        if "CI" not in os.environ:
            pytest.skip("needs Node and `npm ci --ignore-scripts` in contracts/")
        pytest.fail("CI must install Node and run `npm ci --ignore-scripts` in contracts/")
    command = [node, str(CONTRACTS / "tools" / "compile.mjs"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["RelayLedger", "RelayToken"])
def test_artifact_says_how_it_was_made(name: str) -> None:
    content = artifact(name)
    assert list(content) == [
        "contractName",
        "abi",
        "bytecode",
        "deployedBytecode",
        "compiler",
        "settings",
        "sourceHash",
    ]
    assert content["contractName"] == name
    assert content["compiler"].startswith("0.8.37+commit.")
    assert content["settings"]["evmVersion"] == "cancun"
    assert re.fullmatch(r"0x[0-9a-f]+", content["bytecode"]), "complete: no library is left to be linked"


def test_lock_file_names_no_registry() -> None:
    lock = (CONTRACTS / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert '"integrity"' in lock
