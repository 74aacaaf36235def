"""Coverage-guided fuzzing with atheris, each target in a process of its own: libFuzzer ends the one that it runs in."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .targets import Target

MAX_TOTAL_SECONDS = 3_600
SLOW_SECONDS = 5
"""libFuzzer's own limit for one input; it measures wall time, and machines are shared."""


def run_guided(target: Target, seed: int, count: int) -> int:
    """Give the target so many inputs, chosen by what code they reach; 0 if none broke a promise."""
    with tempfile.TemporaryDirectory(prefix="derelayl-fuzz-") as folder:
        corpus = Path(folder)
        for number, data in enumerate(target.corpus):
            (corpus / str(number)).write_bytes(data)
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.guided",
            target.name,
            folder,
            f"-runs={count}",
            f"-seed={seed + 1}",
        ]
        command += [
            f"-max_len={target.max_bytes}",
            f"-timeout={SLOW_SECONDS}",
            "-len_control=0",
            "-print_final_stats=1",
        ]
        done = subprocess.run(command, timeout=MAX_TOTAL_SECONDS, check=False, cwd=folder, env=_environment())
        return 1 if done.returncode else 0


def _environment() -> dict[str, str]:
    """That of this process, with all that it imports from."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}


def main() -> None:
    """Be the process of one target: NAME CORPUS and libFuzzer's options."""
    import atheris  # type: ignore[import-untyped]

    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["derelayl_protocol", "derelayl_node", "derelayl_training"]):
        from .targets import all_targets  # here, because only what is imported now is instrumented

        target = all_targets()[name]
    logging.disable(logging.CRITICAL)

    def one(data: bytes) -> None:
        with suppress(*target.expected):
            target.run(data)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
