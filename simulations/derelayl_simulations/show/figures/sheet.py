"""What all figures have in common: size, colours, bands, and a caption that says what was played.

Colours: viridis for what is ordered, Okabe and Ito's palette for what is not; both keep apart for every kind of colour
vision.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from ...study.results import Floats, Results
from ...study.statistics import Band, mean_band

DOTS_PER_INCH = 150
WIDTH = 10.0  # inches
PANEL = 3.4  # inches high
CAPTION_CHARACTERS = 165  # of a line
MOST_CHANGES = 8  # parameters that a caption lists; the page has them all

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7",
)  # fmt: skip
OKABE_ITO = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
STYLES = ("-", "--", ":", "-.")  # told apart from eight lines on, and in print
LARGE = 2_000
GREY, PALE = "#6b6b6b", "#e6e6e6"

T_BAND = "bands: 95 % confidence of the mean over seeds (Student's t)"
WILSON_BAND = "bands: 95 % confidence of a share (Wilson)"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finished figure."""

    name: str  # of its file
    title: str
    text: str  # what it shows and how to read it
    caption: str  # seeds, parameters, commit
    png: bytes


def sheet(rows: int, columns: int, height: float = PANEL) -> tuple[Figure, list[Axes]]:
    """Return a figure with a grid of axes, row by row."""
    figure = Figure(figsize=(WIDTH, height * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel().tolist()
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def finish(figure: Figure, results: Results, name: str, title: str, text: str, note: str) -> Drawing:
    """Put title and caption on a figure and render it; the same data gives the same bytes."""
    said = caption(results, note)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    lines = "\n".join(textwrap.wrap(said, CAPTION_CHARACTERS))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=7.5, color=GREY)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})
    return Drawing(name, title, text, said, buffer.getvalue())


def caption(results: Results, note: str) -> str:
    """Say what was played: scenario, seeds, rounds, what nobody runs or was changed or swept, the bands, the code."""
    study = results.study
    scenario = study.scenario
    seeds = study.seeds
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds ({seeds[0]} … {seeds[-1]})"
    if len(results.finished()) < study.runs:
        which += f", {len(results.finished())} of {study.runs} runs finished"
    changed = [f"{key} = {value}" for key, value in study.changed.items() if key != "rounds"]
    if len(changed) > MOST_CHANGES:
        changed = [*changed[:MOST_CHANGES], f"and {len(changed) - MOST_CHANGES} more"]
    parts = [
        f"scenario {scenario.name} (rules: {scenario.rules})",
        which,
        f"{scenario.rounds} rounds",
        *(f"not what the contract runs: {each}" for each in study.not_run()),
        ", ".join(changed) or "parameters of the scenario",
    ]
    if study.over:
        parts.append(f"swept by {study.method} over {', '.join(study.over)}: {len(study.points)} points")
    return " · ".join([*parts, note, f"derelayl {results.package}, {results.commit}"])


def line(axes: Axes, x: Floats, band: Band, place: int, label: str, **style: Any) -> None:
    """Draw a mean with its band, in the colour and dash of its place in a list."""
    colour = style.pop("color", OKABE_ITO[place % len(OKABE_ITO)])
    dashes = style.pop("linestyle", STYLES[place // len(OKABE_ITO) % len(STYLES)])
    axes.plot(x, band.centre, **{"color": colour, "linestyle": dashes, "linewidth": 1.6, "label": label, **style})
    axes.fill_between(x, band.low, band.high, color=colour, alpha=0.2, linewidth=0)


def lines(axes: Axes, results: Results, columns: Sequence[tuple[str, str]], point: int = 0, bands: bool = True) -> int:
    """Draw each column (name, label) that exists over the rounds; return how many did."""
    tables = results.matrices([name for name, _ in columns], point)
    there = [(name, label) for name, label in columns if not np.isnan(tables[name]).all()]
    for place, (name, label) in enumerate(there):
        band = mean_band(tables[name])
        x = np.arange(1, len(band.centre) + 1, dtype=np.float64)
        line(axes, x, band if bands else Band(band.centre, band.centre, band.centre), place, label)
    return len(there)


def rounds_axis(axes: Axes, rounds: int) -> None:
    """Label the x axis of something over the rounds."""
    axes.set_xlim(0, max(rounds, 2))
    axes.set_xlabel("round")


def amounts(axes: Axes, axis: Axis | None = None) -> None:
    """Write large amounts on an axis, the y axis if none is given, as 10 k or 2 M."""
    axis = axis or axes.yaxis
    if max(map(abs, axis.get_view_interval())) >= LARGE:
        axis.set_major_formatter(EngFormatter(sep=" "))


def leave_out_the_start(axes: Axes, rounds: int) -> None:
    """Scale the y axis to what is drawn after the first tenth of the rounds: a start far off would flatten the rest."""
    drawn = [
        np.asarray(each.get_ydata(), np.float64)[rounds // 10 :]
        for each in axes.get_lines()
        if np.size(each.get_xdata()) > 2
    ]
    values = np.concatenate(drawn) if drawn else np.zeros(0)
    values = np.append(values[np.isfinite(values)], 0.0)
    room = max(float(np.ptp(values)) * 0.25, 1e-9)
    axes.set_ylim(values.min() - room, values.max() + room)


def legend(axes: Axes, **where: Any) -> None:
    """Add a legend without a frame, where anything is drawn."""
    if axes.get_legend_handles_labels()[0] or "handles" in where:
        axes.legend(frameon=False, fontsize=9, **where)


def bare(key: str) -> str:
    """Return the readable end of a dotted key."""
    *path, last = key.split(".")
    return f"{path[-1]}: {last}" if path and path[0] == "world" and "group" in path else last.replace("_", " ")
