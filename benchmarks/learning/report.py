"""Tables and pictures from the rows of results/learning-TABLE.json: nothing in them is written by hand."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl

from benchmarks.learning.exit_curves import draw_curves
from benchmarks.rows import RESULTS, Row

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = DOCS / "LEARNING-TABLES.md"
IMAGES = DOCS / "images"

MOST_PANELS, LEAST_SHARE = 7, 0.05
"""Metrics in one picture: the first ones of the table that at least this share of its cases have."""

ROW_INCHES, PANEL_INCHES = 0.24, 3.4
FEW_CASES, PANELS_BESIDE = 8, 4
"""Of a table with few cases no more panels stand beside each other."""

COLUMNS = 120
"""Of a line in a document that is not a row of a table."""

RIVAL_COLOUR = "tab:orange"


def redraw(tables: Iterable[str], results: Path = RESULTS, document: Path = DOCUMENT, images: Path = IMAGES) -> None:
    """Write the picture and the part of the document of each table that has results."""
    text = document.read_text(encoding="utf-8") if document.exists() else "# Learning: the tables\n"
    for name in tables:
        path = results / f"learning-{name}.json"
        if not path.exists():
            continue
        rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
        if not rows:
            continue
        images.mkdir(parents=True, exist_ok=True)
        path = images / f"learning-{name}.png"
        if name == "early-exit":
            draw_curves(rows, path)
        else:
            draw(name, rows, path)
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
    return "\n".join([*lines, "", *textwrap.wrap(f"{note}. Commit {', '.join(commits)}.", COLUMNS)])


def show(rows: Sequence[Row]) -> None:
    """Print rows that are not kept."""
    print(markdown(rows))


def draw(name: str, rows: Sequence[Row], path: Path) -> None:
    """One panel of bars for each of the first metrics, the cases below each other; spread a line, a rival a tick."""
    cases, metrics = _axes(rows)
    count = Counter(str(row["metric"]) for row in rows)
    metrics = [metric for metric in metrics if count[metric] >= LEAST_SHARE * len(cases)][:MOST_PANELS]
    figure, panels = _panels(len(metrics), len(cases))
    for axes, metric in zip(panels, metrics, strict=True):
        found = {str(row["case"]): row for row in rows if row["metric"] == metric}
        for place, case in enumerate(cases):
            if case in found:
                _bar(axes, place, found[case])
        unit = next(str(row["unit"]) for row in found.values())
        axes.set_title(metric, fontsize="small")
        axes.tick_params(axis="y", labelsize="x-small")
        axes.set_xlabel(unit, fontsize="small")
        axes.grid(axis="x", alpha=0.3)
        axes.margins(x=0.2)  # for the figures beside the bars
        values = [float(str(row["value"])) for row in found.values()]
        if unit == "share" and min(values) >= 0:
            axes.set_xlim(max(0.0, min(values) - 0.1), 1.0)
    panels[0].set_yticks(range(len(cases)), cases)
    panels[0].invert_yaxis()
    rivals = sorted({str(row["rival"]) for row in rows if row["rival"]})
    figure.suptitle(f"{name} (orange: {' or '.join(rivals)})" if rivals else name)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panels(number: int, cases: int) -> tuple[Figure, list[plt.Axes]]:
    columns = number if cases > FEW_CASES else min(PANELS_BESIDE, number)
    lines = -(-number // columns)
    size = (2 + PANEL_INCHES * columns, (1.2 + ROW_INCHES * cases) * lines)
    figure, panels = plt.subplots(lines, columns, figsize=size, sharey=True, layout="constrained", squeeze=False)
    for axes in panels.flat[number:]:
        axes.set_axis_off()
    return figure, list(panels.flat[:number])


def _bar(axes: plt.Axes, place: int, row: Row) -> None:
    value = float(str(row["value"]))
    axes.barh(place, value, color="tab:blue", alpha=0.8)
    if row["rival"]:
        low, high = sorted((value, float(str(row["rival_value"]))))  # the spread is the ratio's
        axes.plot(float(str(row["rival_value"])), place, "|", color=RIVAL_COLOUR, markersize=9, markeredgewidth=2)
    else:
        low, high = row["spread"]  # type: ignore[misc]
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
