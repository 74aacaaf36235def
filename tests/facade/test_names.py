"""The names of the façade: all there, all documented, none of them loaded before it is asked for."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import derelayl
from derelayl_plugins import resolve

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "PYTHON.md").read_text(encoding="utf-8")
RULES = ("MINIMAL", "DEVNET", "STANDARD")


def test_importing_it_loads_nothing_of_ours_and_no_library() -> None:
    code = "import sys, derelayl; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split()) - sys.stdlib_module_names
    ours = {name for name in loaded if name.startswith("derelayl")}
    assert ours == {"derelayl", "derelayl_plugins", "derelayl_protocol"}
    assert not loaded & {"torch", "numpy", "trio", "web3", "libp2p", "pydantic", "fastapi", "polars"}


@pytest.mark.parametrize(
    ("names", "absent"),
    [
        (["Rules", "MINIMAL", "Node", "simulate", "Architecture"], ["torch", "safetensors", "libp2p", "eth"]),
        (["Relay", "Lease", "Checkpoint", "load", "deal", "Split"], ["libp2p", "multiaddr", "eth", "web3"]),
    ],
    ids=["without extras", "with the extra for training"],
)
def test_a_name_needs_no_more_than_its_extra_brings(names: list[str], absent: list[str]) -> None:
    code = f"import sys, derelayl; [getattr(derelayl, name) for name in {names}]"
    code += f"; print(*(name for name in {absent} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Rely'; it has load, deal"):
        _ = derelayl.Rely


@pytest.mark.parametrize("name", derelayl.__all__)
def test_every_name_is_documented_where_it_is_and_on_the_page(name: str) -> None:
    value = getattr(derelayl, name)
    assert f"`{name}" in PAGE or f"derelayl.{name}" in PAGE
    if name in RULES:
        return  # a value; the text below it says what it is for
    assert inspect.getdoc(value)
    public = inspect.getmembers(value, lambda each: inspect.isfunction(each) or isinstance(each, property))
    own = {each: member for each, member in public if not each.startswith("_") and each in vars(value)}
    assert [each for each, member in own.items() if not inspect.getdoc(member)] == []


def test_type_checkers_see_the_same_names_at_the_same_places() -> None:
    tree = ast.parse(inspect.getsource(derelayl))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: f"derelayl.{node.module}" if node.level else node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == derelayl._PLACES
    assert set(seen) == set(derelayl.__all__) == set(dir(derelayl))
    assert all(resolve(f"{place}:{name}") is getattr(derelayl, name) for name, place in seen.items())
