"""Installed packages with entry points, as pip would leave them: modules and a dist-info folder on the path."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from derelayl_simulations.world import strategies
from derelayl_simulations.world.strategies import foreign

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugins"

Install = Callable[..., None]
CACHES = (
    strategies._plugin_names,
    strategies.trainer_of,
    strategies.judge_of,
    foreign.role_and_strategy,
)
"""A process looks for plug-ins once; here what is installed changes from test to test."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution: its name, its entry points by group, and modules by name."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def put(name: str, groups: Mapping[str, Mapping[str, str]], modules: Mapping[str, str] | None = None) -> None:
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in groups[group].items()) for group in groups
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        for module, text in (modules or {}).items():
            (site / f"{module}.py").write_text(text)

    yield put
    for module in set(sys.modules) - before:
        if str(site) in (getattr(sys.modules[module], "__file__", None) or ""):
            del sys.modules[module]
    for cached in CACHES:
        cached.cache_clear()


@pytest.fixture
def example(install: Install, tmp_path: Path) -> None:
    """The package in examples/plugins, installed."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "derelayl_example", tmp_path / "site" / "derelayl_example")
    install(project["name"], project["entry-points"])
