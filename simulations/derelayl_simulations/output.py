"""The folder of a run's files: complete or not there."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from derelayl_protocol.errors import LocalFault

from .columns import COLUMNS, WHOLE
from .figures import draw_coins, draw_versions
from .report import Summary
from .runner import Result

DIGITS = 12  # significant; enough that coins of a long run add up to a thousandth


def write_run(folder: Path, results: Sequence[Result], summary: Summary) -> None:
    """Write rounds.csv, versions.png, coins.png and summary.json into `folder`, replacing those of an earlier run.

    Raises LocalFault if the folder cannot be one and OSError if the disk refuses.
    """
    with _staged(folder) as stage:
        write_csv(stage / "rounds.csv", results)
        draw_versions(results, stage / "versions.png")
        for result in results:
            if result.history is not None:
                draw_coins(result, result.history, stage / "coins.png")
        document = json.dumps(summary.document(), indent=2, ensure_ascii=False) + "\n"
        (stage / "summary.json").write_text(document, encoding="utf-8")


def check_folder(folder: Path) -> None:
    """Raise LocalFault if `folder` cannot become or is not a folder; ask before a long run, not after."""
    if folder.exists() and not folder.is_dir():
        raise LocalFault(f"{folder} is a file; name a folder")
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise LocalFault(f"{parent} cannot be written to; name another folder")


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """Write one row per seed and round; whole numbers without a point, what does not exist as an empty cell."""
    whole = [name in WHOLE for name in COLUMNS]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["seed", *COLUMNS])
        for result in results:
            for row in result.table.tolist():
                writer.writerow([result.seed, *map(_cell, row, whole)])


def _cell(value: float, whole: bool) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if whole else f"{value:.{DIGITS}g}"


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Yield a fresh folder next to `folder` and move it, or its files, into place once the block has succeeded."""
    check_folder(folder)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        yield stage
        if folder.exists():
            for file in sorted(stage.iterdir()):
                file.replace(folder / file.name)
        else:
            stage.chmod(0o755)  # mkdtemp's is private
            stage.rename(folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
