"""The one form of our results: a row a figure, its rival measured beside it in the same run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"

Row = dict[str, object]


def row(
    case: str, metric: str, unit: str, values: Sequence[float], rival: str | None = None, beside: Sequence[float] = ()
) -> Row:
    """Make a row: medians over the runs; with a rival, the median ratio of ours to the rival run by run.

    `spread` is [least, greatest] of the ratios, or of the values where there is no rival.
    """
    ratios = [own / other for own, other in zip(values, beside, strict=True)] if rival else []
    shown = ratios or list(values)
    return {
        "case": case,
        "metric": metric,
        "value": round(median(values), 6),
        "unit": unit,
        "rival": rival,
        "rival_value": round(median(beside), 6) if rival else None,
        "ratio": round(median(ratios), 6) if rival else None,
        "spread": [round(min(shown), 6), round(max(shown), 6)],
        "n": len(values),
        "commit": COMMIT,
    }


def commit() -> str:
    """The commit measured, marked where the tree differs from it in more than results."""
    head = _git("rev-parse", "HEAD")
    return f"{head}-dirty" if _git("status", "--porcelain", "--", ":/", ":!/benchmarks/results") else head


def _git(*words: str) -> str:
    answer = subprocess.run(
        ["git", *words], cwd=RESULTS.parent, capture_output=True, text=True, timeout=10, check=False
    )
    return answer.stdout.strip() if answer.returncode == 0 else "uncommitted"


COMMIT = commit()
"""Taken when the benchmark starts, for that is the code it runs."""


def write(name: str, rows: Sequence[Row]) -> None:
    """Write results/NAME.json and print the rows."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for one in rows:
        beside = f"   rival {one['rival_value']}, ratio {one['ratio']}" if one["rival"] else ""
        print(f"{one['case']:38} {one['metric']:34} {one['value']} {one['unit']} {one['spread']}{beside}")
