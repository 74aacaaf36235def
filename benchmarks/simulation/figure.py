"""The benchmark's figure: how fast beside others, what a round costs, how much memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.rows import Row

OURS, THEIRS, LIMIT = "#0072b2", "#e69f00", "#d55e00"  # Okabe and Ito
LIMIT_MIB = 300


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw what there are rows for; write a PNG to `path`."""
    panels: list[tuple[list[Row], Callable[[Axes, list[Row]], None]]] = [
        ([one for one in rows if one["unit"] == "s"], _times),
        ([one for one in rows if one["unit"] == "1/s"], _rates),
        ([one for one in rows if str(one["case"]).endswith("participants") and one["unit"] == "ms"], _sizes),
        ([one for one in rows if " … " in str(one["case"])], _windows),
        ([one for one in rows if one["unit"] == "MiB"], _memory),
    ]
    there = [(found, panel) for found, panel in panels if found]
    heights = [1.0 + 0.45 * len(found) if panel in (_times, _rates, _memory) else 2.6 for found, panel in there]
    figure = Figure(figsize=(9.0, sum(heights) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (found, panel) in zip(
        figure.subplots(len(there), 1, height_ratios=heights, squeeze=False)[:, 0], there, strict=True
    ):
        panel(axes, found)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _times(axes: Axes, rows: list[Row]) -> None:
    _pairs(axes, rows, faster=lambda one: 1 / _number(one, "ratio"))
    axes.set_title("Published rules, 256 participants", loc="left")
    axes.set(xlabel="seconds a run (median, logarithmic)")


def _rates(axes: Axes, rows: list[Row]) -> None:
    _pairs(axes, rows, faster=lambda one: _number(one, "ratio"))
    axes.set_title("Ledger rules, same balances", loc="left")
    axes.set(xlabel="participants × rounds a second (median, logarithmic)")


def _pairs(axes: Axes, rows: list[Row], faster: Callable[[Row], float]) -> None:
    """Pairs of dots with their ratio: on a logarithmic axis the length of a bar means nothing."""
    places = np.arange(len(rows))
    ours, theirs = ([_number(one, key) for one in rows] for key in ("value", "rival_value"))
    axes.hlines(places, ours, theirs, color="#c0c0c0", linewidth=2, zorder=1)
    axes.scatter(ours, places, color=OURS, s=50, label="derelayl", zorder=2)
    axes.scatter(theirs, places, color=THEIRS, marker="s", s=50, label="rival", zorder=2)
    for place, one, right in zip(places, rows, np.maximum(ours, theirs), strict=True):
        label = f"{faster(one):,.0f}× faster (n = {one['n']})"
        axes.annotate(label, (right, place), xytext=(9, 0), textcoords="offset points", va="center")
    names = [f"{str(one['case']).split(', ', 1)[1]}\n{one['rival']}" for one in rows]
    axes.set_yticks(places, names)
    axes.set(xscale="log", ylim=(len(rows) - 0.5, -0.5))
    axes.set_xlim(min(ours + theirs) / 2, max(ours + theirs) * 40)  # room for the labels
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)


def _sizes(axes: Axes, rows: list[Row]) -> None:
    people = [int(str(one["case"]).split()[1]) for one in rows]
    _curve(axes, people, rows)
    axes.set(xscale="log", yscale="log", xlabel="participants (logarithmic)", ylabel="ms a round")
    axes.set_title("Published rules: cost of a round by participants", loc="left")


def _windows(axes: Axes, rows: list[Row]) -> None:
    ends = [int(str(one["case"]).split()[-1]) for one in rows]
    _curve(axes, ends, rows)
    axes.set(xlabel="up to round", ylabel="ms a round")
    axes.set_ylim(0, 1.2 * max(np.array([one["spread"] for one in rows], np.float64)[:, 1]))
    axes.set_title("Published rules, 256 participants: cost of a round by rounds played before", loc="left")


def _curve(axes: Axes, across: Sequence[int], rows: list[Row]) -> None:
    middle = np.array([_number(one, "value") for one in rows])
    least, most = np.array([one["spread"] for one in rows], np.float64).T
    axes.errorbar(across, middle, [middle - least, most - middle], color=OURS, marker="o", capsize=3)


def _memory(axes: Axes, rows: list[Row]) -> None:
    places, values = np.arange(len(rows)), [_number(one, "value") for one in rows]
    axes.barh(places, values, height=0.5, color=OURS)
    axes.axvline(LIMIT_MIB, color=LIMIT, linestyle="--")
    axes.annotate("the limit we set", (LIMIT_MIB, -0.45), xytext=(-4, 0), textcoords="offset points", ha="right")
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:.0f}", (value, place), xytext=(5, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, [str(one["case"]).replace(", ", "\n", 1) for one in rows])
    axes.set(xlabel="MiB at the peak of a whole run, with Python and its libraries", ylim=(len(rows) - 0.5, -0.7))
    axes.set_xlim(0, max([LIMIT_MIB, *values]) * 1.1)


def _number(one: Row, key: str) -> float:
    return float(str(one[key]))
