"""Which parameters matter: Sobol indices of a Sobol sweep, a tornado of one factor at a time."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...study.outcomes import column, outcomes
from ...study.results import Floats, Results
from ...study.statistics import Sensitivity, mean, proportion, sobol_indices
from .sheet import BLACK, BLUE, ORANGE, Drawing, amounts, bare, finish, legend, sheet

OUTCOMES = {
    "alive": "share of seeds alive",
    "supply": "supply, coins",
    "gini": "Gini coefficient",
    "quality": "quality of the best tip",
    "profit_trainer": "profit of the median trainer",
    "profit_validator": "profit of the median validator",
}
MOST_PANELS = 4


def draw_sobol(results: Results) -> Drawing | None:
    """Draw first-order and total indices of each outcome that varies."""
    if results.study.method != "sobol" or len(results.finished()) < results.study.runs:
        return None
    means = _means(results)
    keys = list(results.study.over)
    found = {name: sobol_indices(keys, values) for name, values in means.items() if not np.isnan(values).any()}
    found = {name: indices for name, indices in found.items() if any(index.total.estimate for index in indices)}
    if not found:
        return None
    chosen = list(found)[:MOST_PANELS]
    figure, axes = sheet(-(-len(chosen) // 2), min(2, len(chosen)), 0.5 * len(keys) + 1.6)
    for each, name in zip(axes, chosen, strict=False):
        _bars(each, found[name])
        each.set_title(OUTCOMES[name], fontsize=10, loc="left")
    for empty in axes[len(chosen) :]:
        empty.remove()
    legend(axes[0], loc="lower right")
    text = (
        "What share of an outcome's variance over the swept ranges a parameter explains alone (first order) and with "
        "all it acts together with (total). Outcomes are means over the seeds; luck that is left counts as variance."
    )
    note = "bars: 95 % confidence (bootstrap, fixed seed)"
    return finish(figure, results, "sobol", "Sensitivity: Sobol indices", text, note)


def draw_tornado(results: Results) -> Drawing | None:
    """Draw what each key alone moves an outcome from its lowest to its highest value."""
    if results.study.method != "one-at-a-time" or len(results.finished()) < results.study.runs:
        return None
    means = {
        name: values for name, values in _means(results).items() if not np.isnan(values).any() and np.ptp(values) > 0
    }
    if not means:
        return None
    chosen = list(means)[:MOST_PANELS]
    figure, axes = sheet(-(-len(chosen) // 2), min(2, len(chosen)), 0.45 * len(results.study.over) + 1.6)
    rows = outcomes(results)
    for each, name in zip(axes, chosen, strict=False):
        _tornado(each, results, means[name], _whiskers(rows, name))
        each.set(xlabel=OUTCOMES[name])
    for empty in axes[len(chosen) :]:
        empty.remove()
    legend(axes[0], loc="lower right")
    text = (
        "One parameter at a time goes to either end of its range; all others stay as the scenario has them (the line)."
    )
    note = "whiskers: 95 % confidence over seeds (Student's t; shares: Wilson)"
    return finish(figure, results, "tornado", "Sensitivity: one parameter at a time", text, note)


def _means(results: Results) -> dict[str, Floats]:
    """Return each outcome's mean over the seeds at every point, (points,), NaN where there is none."""
    rows = outcomes(results)
    points = rows["point"].to_numpy()
    means = {}
    for name in OUTCOMES:
        values = column(rows, name)
        means[name] = np.array([mean(values[points == point]).estimate for point in range(len(results.study.points))])
    return means


def _whiskers(rows: pl.DataFrame, name: str) -> Floats:
    """Return how far each point's interval reaches below and above its mean, (points, 2); 0 if one seed cannot say."""
    points, values = rows["point"].to_numpy(), column(rows, name)
    reach = []
    for point in range(int(points.max()) + 1):
        of_point = values[points == point]
        found = proportion(int(of_point.sum()), len(of_point)) if name == "alive" else mean(of_point)
        reach.append((found.estimate - found.low, found.high - found.estimate))
    return np.asarray(np.nan_to_num(np.array(reach)), np.float64)


def _bars(axes: Axes, indices: list[Sensitivity]) -> None:
    for place, index in enumerate(reversed(indices)):
        for offset, (found, colour, label) in enumerate(
            ((index.total, BLUE, "total"), (index.first, ORANGE, "first order"))
        ):
            where = place - 0.18 + 0.36 * offset
            half = found.high - found.estimate
            axes.barh(where, found.estimate, 0.34, color=colour, label=label if place == 0 else None)
            axes.errorbar(found.estimate, where, xerr=half, color=BLACK, linewidth=0.8, capsize=2)
    axes.set_yticks(range(len(indices)), [bare(index.key) for index in reversed(indices)])
    axes.axvline(0, color=BLACK, linewidth=0.8)
    axes.set(xlabel="share of the variance")


def _tornado(axes: Axes, results: Results, means: Floats, whiskers: Floats) -> None:
    """Draw the bars, the widest at the top; the points are the scenario, then low and high of each key."""
    keys = list(results.study.over)
    ends = {key: (1 + 2 * place, 2 + 2 * place) for place, key in enumerate(keys)}
    order = sorted(keys, key=lambda key: abs(means[ends[key][1]] - means[ends[key][0]]))
    for place, key in enumerate(order):
        for point, colour, label in zip(ends[key], (BLUE, ORANGE), ("lowest", "highest"), strict=True):
            axes.barh(
                place,
                means[point] - means[0],
                0.6,
                left=means[0],
                color=colour,
                alpha=0.85,
                label=label if place == 0 else None,
            )
            axes.errorbar(means[point], place, xerr=whiskers[point][:, None], color=BLACK, linewidth=0.8, capsize=2)
    values = [[results.study.points[point][key] for point in ends[key]] for key in order]
    names = [f"{bare(key)}\n{low:g} … {high:g}" for key, (low, high) in zip(order, values, strict=True)]
    axes.set_yticks(range(len(order)), names, fontsize=8)
    axes.axvline(means[0], color=BLACK, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    amounts(axes, axes.xaxis)
