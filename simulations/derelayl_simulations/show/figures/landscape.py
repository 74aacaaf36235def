"""How an outcome depends on what was swept: a curve for one key, a map for two, maps side by side for three."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from ...study.outcomes import outcomes
from ...study.results import Floats, Results
from ...study.statistics import Interval, mean, proportion
from ...theory.branching import can_branch, growth
from .sheet import BLACK, OKABE_ITO, RED, STYLES, WILSON_BAND, Drawing, amounts, bare, finish, sheet

MOST_PANELS = 6
MOST_NUMBERS = 150  # cells of a map that get their number written in
OFF = 0.32  # of a mark from the middle of its cell, so that the number stays readable

CURVES = ("alive", "relays_alive", "quality", "supply", "inflation", "gini", "participants", "selected")
"""Outcomes of a curve, besides the profits of strategies and roles."""


def draw_extinction(results: Results) -> Drawing | None:
    """Draw the share of seeds alive over a sweep of two or three keys on a grid."""
    study = results.study
    if study.method != "grid" or not 2 <= len(study.over) <= 3:
        return None
    rows = outcomes(results)
    x, y, *rest = _by_length(results)
    facets = _values(results, rest[0])[:MOST_PANELS] if rest else [None]
    figure, axes = sheet(-(-len(facets) // 3), min(3, len(facets)), 3.8 if rest else 5.0)
    image = None
    for each, facet in zip(axes, facets, strict=False):
        chosen = rows if facet is None else rows.filter(pl.col(rest[0]) == facet)
        grid = _grid(chosen, (x, y), results)
        image = _map(each, grid, (_values(results, x), _values(results, y)))
        each.set(xlabel=bare(x), ylabel=bare(y))
        if facet is not None:
            each.set_title(f"{bare(rest[0])} = {facet}", fontsize=10)
        _mark_branching(each, results, (x, y), {} if facet is None else {rest[0]: facet})
    for empty in axes[len(facets) :]:
        empty.remove()
    assert image is not None
    figure.colorbar(image, ax=axes[: len(facets)], label="share of seeds alive", shrink=0.8)
    text = f"Share of the seeds that are alive after {study.scenario.rounds} rounds."
    if study.scenario.rules == "published":
        text += (
            " Ring: k·p·s ≤ 1, owners cannot become more on average. Cross: floor(s·k) < 2, so that a lone owner never "
            "becomes two whatever k·p·s is. Both are derived, see the theory below."
        )
    return finish(
        figure, results, "extinction", "Where the relay stays alive", text, f"{len(study.seeds)} seeds a cell"
    )


def draw_response(results: Results) -> Drawing | None:
    """Draw the outcomes over one swept key of numbers."""
    study = results.study
    if len(study.over) != 1 or study.method == "one-at-a-time":
        return None
    key = next(iter(study.over))
    values = [point.get(key) for point in study.points]
    if not all(isinstance(value, int | float) for value in values):
        return None
    rows = outcomes(results)
    panels = [name for name in CURVES if name in rows.columns and _varies(rows, name)]
    if "relays_alive" in panels and study.scenario.world.relays > 1:
        panels.remove("alive")  # a seed is alive while a single relay is
    panels = panels[: MOST_PANELS - 1]
    groups = [[name] for name in panels]
    profits = [name for name in rows.columns if name.startswith("profit_") and rows[name].null_count() < len(rows)]
    if profits:
        groups.append(profits)
    if not groups:
        return None
    figure, axes = sheet(-(-len(groups) // 2), min(2, len(groups)), 3.2)
    for each, names in zip(axes, groups, strict=False):
        for place, name in enumerate(names):
            _curve(each, rows, (key, name), place)
        each.set(xlabel=bare(key), ylabel=_label(names))
        if len(names) > 1:
            each.axhline(0, color=BLACK, linewidth=0.8)
            each.legend(frameon=False, fontsize=8)
        elif names[0] == "alive":
            each.set_ylim(0, 1.02)
        else:
            amounts(each)
    for empty in axes[len(groups) :]:
        empty.remove()
    text = f"Outcomes after {study.scenario.rounds} rounds at each value of {key}."
    note = f"{WILSON_BAND}; of a mean: Student's t"
    return finish(figure, results, "response", f"What {bare(key)} does", text, note)


def _by_length(results: Results) -> list[str]:
    """Return the swept keys, those with the most values first: two for the axes, the third for the panels."""
    return sorted(results.study.over, key=lambda key: -len(_values(results, key)))


def _values(results: Results, key: str) -> list[Any]:
    return list(dict.fromkeys(point[key] for point in results.study.points))


def _grid(rows: pl.DataFrame, keys: tuple[str, str], results: Results) -> Floats:
    """Return the share alive, (values of y, values of x), NaN where nothing is finished."""
    columns, lines = (_values(results, key) for key in keys)
    grid = np.full((len(lines), len(columns)), np.nan)
    for (x, y), cell in rows.group_by(*keys):
        grid[lines.index(y), columns.index(x)] = cell["alive"].mean()
    return grid


def _map(axes: Axes, grid: Floats, values: tuple[list[Any], list[Any]]) -> Any:
    image = axes.imshow(grid, origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=1)
    for ticks, given in zip((axes.set_xticks, axes.set_yticks), values, strict=True):
        step = -(-len(given) // 10)
        ticks(
            range(0, len(given), step),
            [f"{value:g}" if isinstance(value, float) else str(value) for value in given[::step]],
        )
    if grid.size <= MOST_NUMBERS:
        for (line, column), share in np.ndenumerate(grid):
            if np.isfinite(share):
                axes.text(
                    column,
                    line,
                    f"{share:.2g}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if share < 0.6 else "black",
                )
    return image


def _mark_branching(axes: Axes, results: Results, keys: tuple[str, str], fixed: dict[str, Any]) -> None:
    """Ring the cells where the published rule cannot multiply owners, and cross those where it only seems to."""
    if results.study.scenario.rules != "published":
        return
    columns, lines = (_values(results, key) for key in keys)
    for line, y in enumerate(lines):
        for column, x in enumerate(columns):
            parameters = results.study.scenario.with_values({keys[0]: x, keys[1]: y, **fixed}).published
            if growth(parameters) <= 1:
                axes.plot(column + OFF, line + OFF, "o", markersize=6, markerfacecolor="none", markeredgecolor=RED)
            elif not can_branch(parameters):
                axes.plot(column + OFF, line + OFF, "x", markersize=6, color=RED)


def _varies(rows: pl.DataFrame, name: str) -> bool:
    values = rows[name].drop_nulls()
    return len(values) > 0 and (name == "alive" or values.min() != values.max())


def _curve(axes: Axes, rows: pl.DataFrame, names: tuple[str, str], place: int) -> None:
    """Draw one outcome over one key, with its interval at every value."""
    key, name = names
    values, found = [], []
    for value, cell in sorted(((group[0], cell) for group, cell in rows.group_by(key)), key=lambda pair: pair[0]):
        outcome = cell[name].cast(pl.Float64).drop_nulls().to_numpy()
        interval = (
            proportion(round(outcome.sum()), len(outcome))
            if name == "alive"
            else mean(outcome)
            if len(outcome)
            else None
        )
        if interval is not None:
            values.append(value)
            found.append(interval)
    _points(axes, values, found, place, name.removeprefix("profit_"))


def _points(axes: Axes, values: list[float], found: list[Interval], place: int, label: str) -> None:
    colour, dashes = OKABE_ITO[place % len(OKABE_ITO)], STYLES[place // len(OKABE_ITO) % len(STYLES)]
    axes.plot(
        values,
        [each.estimate for each in found],
        marker="o",
        markersize=3.5,
        color=colour,
        linestyle=dashes,
        label=label,
    )
    axes.fill_between(
        values, [each.low for each in found], [each.high for each in found], color=colour, alpha=0.2, linewidth=0
    )


def _label(names: list[str]) -> str:
    labels = {
        "alive": "share of seeds alive",
        "relays_alive": "share of relays that still select",
        "supply": "supply, coins",
        "quality": "quality of the best tip",
        "inflation": "inflation in the last round",
        "gini": "Gini coefficient",
        "participants": "people there",
        "selected": "models selected in the last round",
    }
    return labels.get(names[0], names[0]) if len(names) == 1 else "profit, coins a round"
