"""Tables and pictures from the rows of results/learning-TABLE.json: nothing in them is written by hand."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl

from benchmarks.rows import RESULTS, Row

mpl.use("Agg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = DOCS / "LEARNING.md"
IMAGES = DOCS / "images"

MOST_PANELS, LEAST_SHARE = 6, 0.05
"""Metrics in one picture: the first ones of the table that at least this share of its cases have."""

ROW_INCHES, PANEL_INCHES = 0.24, 3.4


def redraw(tables: Iterable[str], results: Path = RESULTS, document: Path = DOCUMENT, images: Path = IMAGES) -> None:
    """Write the picture and the part of the document of each table that has results."""
    text = document.read_text(encoding="utf-8") if document.exists() else "# Learning, measured\n"
    for name in tables:
        path = results / f"learning-{name}.json"
        if not path.exists():
            continue
        rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
        if not rows:
            continue
        images.mkdir(parents=True, exist_ok=True)
        draw(name, rows, images / f"learning-{name}.png")
        picture = f"![{name}](images/learning-{name}.png)"
        text = between_markers(text, name, f"{markdown(rows)}\n\n{picture}")
    document.write_text(text, encoding="utf-8")


def between_markers(text: str, name: str, content: str) -> str:
    """Replace what stands between the table's markers; without them a section is added at the end."""
    begin, end = f"<!-- table {name} -->", f"<!-- end of {name} -->"
    block = f"{begin}\n{content}\n{end}"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if found.search(text):
        return found.sub(lambda _match: block, text)
    return f"{text.rstrip()}\n\n## {name}\n\n{block}\n"


def markdown(rows: Sequence[Row]) -> str:
    """A line for each case, a column for each metric: median and spread, and beside a rival the ratio to it."""
    cases, metrics = _axes(rows)
    cells = {(row["case"], row["metric"]): _cell(row) for row in rows}
    units = {row["metric"]: row["unit"] for row in rows}
    lines = [
        "| case | " + " | ".join(f"{metric} [{units[metric]}]" for metric in metrics) + " |",
        "|---" * (len(metrics) + 1) + "|",
        *(f"| {case} | " + " | ".join(cells.get((case, metric), "") for metric in metrics) + " |" for case in cases),
    ]
    rivals = sorted({str(row["rival"]) for row in rows if row["rival"]})
    commits = sorted({str(row["commit"]) for row in rows})
    runs = sorted({int(str(row["n"])) for row in rows})
    note = f"Medians of {' or '.join(map(str, runs))} runs, in brackets least and greatest"
    if rivals:
        note += f"; × is the ratio to {' or '.join(rivals)}, with its own least and greatest"
    return "\n".join([*lines, "", f"{note}. Commit {', '.join(commits)}."])


def show(rows: Sequence[Row]) -> None:
    """Print rows that are not kept."""
    print(markdown(rows))


def draw(name: str, rows: Sequence[Row], path: Path) -> None:
    """One panel of bars for each of the first metrics, the cases below each other, spread as a line."""
    cases, metrics = _axes(rows)
    count = Counter(str(row["metric"]) for row in rows)
    metrics = [metric for metric in metrics if count[metric] >= LEAST_SHARE * len(cases)][:MOST_PANELS]
    size = (2 + PANEL_INCHES * len(metrics), 1.2 + ROW_INCHES * len(cases))
    figure, panels = plt.subplots(1, len(metrics), figsize=size, sharey=True, layout="constrained", squeeze=False)
    for axes, metric in zip(panels[0], metrics, strict=True):
        found = {str(row["case"]): row for row in rows if row["metric"] == metric}
        for place, case in enumerate(cases):
            if case in found:
                _bar(axes, place, found[case])
        unit = next(str(row["unit"]) for row in found.values())
        axes.set_title(metric, fontsize="small")
        axes.set_xlabel(unit, fontsize="small")
        axes.grid(axis="x", alpha=0.3)
        axes.margins(x=0.2)  # for the figures beside the bars
        values = [float(str(row["value"])) for row in found.values()]
        if unit == "share" and min(values) >= 0:
            axes.set_xlim(max(0.0, min(values) - 0.1), 1.0)
    panels[0][0].set_yticks(range(len(cases)), cases, fontsize="x-small")
    panels[0][0].invert_yaxis()
    figure.suptitle(name)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _bar(axes: plt.Axes, place: int, row: Row) -> None:
    value = float(str(row["value"]))
    axes.barh(place, value, color="tab:blue", alpha=0.8)
    low, high = (value, value) if row["rival"] else row["spread"]  # type: ignore[misc]  # a ratio has its own spread
    axes.plot([low, high], [place, place], color="black", linewidth=1)
    end, side = (high, "left") if value >= 0 else (low, "right")
    axes.annotate(f" {value:.4g} ", (end, place), fontsize=6, va="center", ha=side)


def _axes(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    return list(dict.fromkeys(str(row["case"]) for row in rows)), list(
        dict.fromkeys(str(row["metric"]) for row in rows)
    )


def _cell(row: Row) -> str:
    low, high = row["spread"]  # type: ignore[misc]
    spread = f" [{low:.4g} … {high:.4g}]" if int(str(row["n"])) > 1 and low != high else ""
    shown = f"{float(str(row['value'])):.4g}"
    return f"{shown}, ×{row['ratio']:.3g}{spread}" if row["rival"] else f"{shown}{spread}"
