"""The committed artifacts are what the sources compile to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from derelayl_node.evm.deploy import LIBRARIES, creation_code
from derelayl_protocol.types import Address

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


@pytest.mark.parametrize("name", [*LIBRARIES, "RelayToken", "RelayLedger"])
def test_artifact_says_how_it_was_made(name: str) -> None:
    content = artifact(name)
    assert list(content) == [
        "contractName",
        "abi",
        "bytecode",
        "deployedBytecode",
        "linkReferences",
        "deployedLinkReferences",
        "storageLayout",
        "compiler",
        "settings",
        "sourceHash",
    ]
    assert content["contractName"] == name
    assert content["compiler"].startswith("0.8.37+commit.")
    assert content["settings"]["evmVersion"] == "cancun"


@pytest.mark.parametrize("name", [*LIBRARIES, "RelayToken"])
def test_what_is_deployed_before_the_ledger_needs_no_library(name: str) -> None:
    content = artifact(name)
    assert content["linkReferences"] == content["deployedLinkReferences"] == {}
    assert re.fullmatch(r"0x[0-9a-f]+", content["bytecode"])


def test_the_ledger_is_linked_to_its_libraries_and_nothing_else() -> None:
    content = artifact("RelayLedger")
    assert set(content["linkReferences"]) == set(content["deployedLinkReferences"]) == set(LIBRARIES)
    with pytest.raises(ValueError, match="must be linked to MatchingLib"):
        creation_code("RelayLedger")
    addresses = {name: Address(f"0x{number:040x}") for number, name in enumerate(LIBRARIES, start=0xABC)}
    code = creation_code("RelayLedger", b"\x05", addresses)
    assert code[-1:] == b"\x05"
    for name, places in content["linkReferences"].items():
        assert {code[place : place + 20].hex() for place in places} == {addresses[name][2:]}


def test_lock_file_names_no_registry() -> None:
    lock = (CONTRACTS / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert '"integrity"' in lock
