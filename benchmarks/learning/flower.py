"""Flower's environment and a run in it. Flower pins older versions of what we use, so it never shares our environment.

The environment has Flower and its dependencies; torch and what else `flower_rival` imports of ours come from our own
environment, which is searched after Flower's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from derelayl_training.jobs import Architecture

ROOT = Path(__file__).parents[2]

FLOWER = "flwr==1.42.0"

FOLDER = ROOT / ".derelayl" / "bench" / FLOWER.replace("==", "-")

READY = ".ready"
"""Written into the environment's folder when it is whole."""

INSTALL_SECONDS, RUN_SECONDS = 900, 3600


class FlowerFailed(Exception):
    """Flower could not be installed or its run failed; the text says why."""


def is_installed() -> bool:
    return (FOLDER / READY).exists()


def install() -> Path:
    """Make the environment unless it is there; return its Python. Raises FlowerFailed."""
    python = FOLDER / "bin" / "python"
    if is_installed():
        return python
    venv.create(FOLDER, with_pip=True, clear=True)
    words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", FLOWER]
    _run(words, INSTALL_SECONDS, dict(os.environ), f"{FLOWER} could not be installed into {FOLDER}")
    own = sysconfig.get_path("purelib")
    purelib = FOLDER / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (purelib / "derelayl-bench.pth").write_text(own + "\n", encoding="utf-8")  # a .pth appends: Flower's own come first
    (FOLDER / READY).touch()
    return python


def run_flower(
    architecture: Architecture,
    genesis: Path,
    shards: Sequence[Path],
    test: Path,
    strategies: Sequence[Mapping[str, object]],
    folder: Path,
) -> dict[str, Any]:
    """Run the strategies (`flower_rival.Dials`) one after the other; by name what each reached. Raises FlowerFailed."""
    job, out = folder / "flower-job.json", folder / "flower-out.json"
    content = {
        "architecture": architecture.name,
        "parameters": dict(architecture.parameters),
        "genesis": str(genesis),
        "shards": list(map(str, shards)),
        "test": str(test),
        "strategies": list(strategies),
        "out": str(out),
    }
    job.write_text(json.dumps(content), encoding="utf-8")
    paths = [ROOT, ROOT / "node", ROOT / "protocol"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_HOME": str(folder / "flwr-home"),
    }
    words = [str(install()), "-m", "benchmarks.learning.flower_rival", str(job)]
    _run(words, RUN_SECONDS, environment, "Flower's run failed")
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def _run(words: list[str], seconds: int, environment: dict[str, str], failure: str) -> None:
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        raise FlowerFailed(f"{failure}: {done.stderr.strip()[-2000:]}")
