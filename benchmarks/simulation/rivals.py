"""Environments of the rivals and runs in them: they pin other versions of what we use, so they never share ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

READY = ".ready"
"""Written into an environment's folder when it is whole."""

INSTALL_SECONDS, RUN_SECONDS = 900, 3600


class RivalFailed(Exception):
    """A rival could not be installed or its run failed; the text says why."""


@dataclass(frozen=True, slots=True)
class Rival:
    name: str
    package: str  # as pip takes it
    module: str  # what to run in its environment
    needs: tuple[str, ...] = ()  # what it imports and does not ask pip for

    @property
    def folder(self) -> Path:
        """Of this Python: speeds compare only where ours and the rival's are run by the same one."""
        name = f"{self.package.replace('==', '-')}-python{sys.version_info.major}.{sys.version_info.minor}"
        return ROOT / ".derelayl" / "bench" / name

    def install(self) -> Path:
        """Make the environment unless it is there; return its Python. Raises RivalFailed."""
        python = self.folder / "bin" / "python"
        if not (self.folder / READY).exists():
            venv.create(self.folder, with_pip=True, clear=True)
            words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", self.package]
            words += self.needs
            _run(words, INSTALL_SECONDS, f"{self.package} could not be installed into {self.folder}")
            (self.folder / READY).touch()
        return python

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run a job (`rival_job.Job`) in a fresh process; return its seconds and digest. Raises RivalFailed."""
        python = self.install()
        with tempfile.TemporaryDirectory() as folder:
            asked, out = Path(folder) / "job.json", Path(folder) / "out.json"
            asked.write_text(json.dumps({**job, "out": str(out)}), encoding="utf-8")
            _run([str(python), "-P", "-m", self.module, str(asked)], RUN_SECONDS, f"{self.name}'s run failed")
            answer: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return answer


MESA = "3.5.1" if sys.version_info >= (3, 12) else "3.3.1"
"""The newest that this Python can run: Mesa needs Python 3.12 since 3.4. radCAD 0.14 needs one before 3.13."""

RIVALS = (
    Rival(f"Mesa {MESA}", f"mesa=={MESA}", "benchmarks.simulation.mesa_rival", ("networkx",)),
    Rival("radCAD 0.14.0", "radcad==0.14.0", "benchmarks.simulation.radcad_rival", ("typing_extensions",)),
)


def fresh(module: str, *words: str) -> str:
    """Run one of our modules in a fresh process of our own environment; return what it prints. Raises RivalFailed."""
    return _run([sys.executable, "-P", "-m", module, *words], RUN_SECONDS, f"{module} failed")


def _run(words: list[str], seconds: int, failure: str) -> str:
    paths = [ROOT, ROOT / "simulations", ROOT / "protocol"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        raise RivalFailed(f"{failure}: {done.stderr.strip()[-2000:]}")
    return done.stdout
