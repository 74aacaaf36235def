"""The Pareto front of rules, with the scenarios' own rules marked on it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ...search.objectives import Measure
from ...search.optimise import Optimised
from ...search.pareto import Bools
from ...study.results import Floats, Results
from .sheet import BLUE, GREY, PALE, RED, Drawing, finish, legend, sheet

MOST_COLUMNS = 3
ROOM = 0.08  # of the range, on each side


def draw_front(results: Results, found: Optimised, words: str) -> Drawing:
    """Draw each pair of objectives; `results` are those of the first world, `words` say where the default stands."""
    objectives = found.task.objectives
    pairs = list(itertools.combinations(range(len(objectives)), 2)) or [(0, 0)]
    columns = min(MOST_COLUMNS, len(pairs))
    figure, axes = sheet(-(-len(pairs) // columns), columns)
    values = np.array([[row[each.name].estimate for each in objectives] for row in found.scores])
    for place, each in enumerate(axes):
        if place >= len(pairs):
            each.axis("off")
            continue
        first, second = pairs[place]
        _panel(each, values[:, [first, second]], found, (objectives[first], objectives[second]))
    legend(axes[0], loc="best")
    worlds = ", ".join(world.name for world in found.task.worlds)
    text = (
        f"Each dot is one set of rules, by its worst outcome in {worlds}. Blue: on the front, so nothing else that "
        f"keeps the constraints is as good in everything. The star is the default. {words}"
    )
    meant = "; ".join(f"{each.name}: {each.words}" for each in objectives)
    kept = ", ".join(str(each) for each in found.task.constraints) or "none"
    note = (
        f"worst of {worlds}; {len(found.points)} points in {max(found.generations) + 1} generations; means over seeds; "
        f"constraints: {kept} · {meant}"
    )
    return finish(figure, results, "front", "What the rules trade for what", text, note)


def _panel(axes: Axes, values: Floats, found: Optimised, measures: tuple[Measure, Measure]) -> None:
    for who, style, label in _groups(found):
        axes.scatter(values[who, 0], values[who, 1], label=label, **style)
    axes.set_xlabel(_label(measures[0]))
    axes.set_ylabel(_label(measures[1]))
    shown = values[found.allowed | (np.arange(len(values)) == 0)]  # what breaks a constraint may be far off
    for limits, column in ((axes.set_xlim, shown[:, 0]), (axes.set_ylim, shown[:, 1])):
        there = column[np.isfinite(column)]
        room = ROOM * (float(np.ptp(there)) if len(there) else 0.0) or 1.0
        if len(there):
            limits(there.min() - room, there.max() + room)


def _groups(found: Optimised) -> list[tuple[Bools, dict[str, Any], str]]:
    default = np.arange(len(found.points)) == 0
    return [
        (~found.allowed & ~default, {"marker": "x", "color": PALE, "s": 16}, "breaks a constraint"),
        (found.allowed & ~found.front & ~default, {"color": GREY, "s": 12, "alpha": 0.6}, "allowed"),
        (found.front & ~default, {"color": BLUE, "s": 22}, "front"),
        (default, {"marker": "*", "color": RED, "s": 160, "edgecolor": "white", "zorder": 5}, "default"),
    ]


def _label(measure: Measure) -> str:
    return f"{measure.name}: {measure.unit}\n({'less' if measure.lower else 'more'} is better)"
