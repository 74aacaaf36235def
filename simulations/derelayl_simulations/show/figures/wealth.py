"""Who has the coins: each participant's over the rounds, the Lorenz curve at the end, the Gini coefficient."""

from __future__ import annotations

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ...published import GENESIS_OWNER
from ...study.results import Floats, Results
from ...study.statistics import lorenz, mean_band
from .sheet import BLACK, RED, T_BAND, Drawing, amounts, finish, legend, line, lines, rounds_axis, sheet

MOST_LINES = 300  # participants drawn, evenly by wealth; more lines than this are a blur
GRID = np.linspace(0.0, 1.0, 101)


def draw_coins(results: Results) -> Drawing | None:
    """Draw each participant's coins over the rounds of the first run: the second published figure."""
    table = results.coins()
    if table.is_empty():
        return None
    wide = table.pivot(on="participant", index="round", values="coins", maintain_order=True).sort("round")
    numbers = wide["round"].to_numpy()
    coins = wide.drop("round").cast(pl.Float64).to_numpy()
    figure, (axes,) = sheet(1, 1, 5.2)
    order = np.argsort(coins[-1], kind="stable")
    drawn = order[np.unique(np.linspace(0, len(order) - 1, min(MOST_LINES, len(order))).round().astype(int))]
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.92, len(drawn)))
    for participant, shade in zip(drawn, shades, strict=True):
        axes.plot(numbers, coins[:, participant], color=shade, linewidth=0.5, alpha=0.7)
    handles = [
        Line2D([], [], color=BLACK, linewidth=1.8, linestyle="--", label="mean"),
        Line2D([], [], color=shades[-1], label="richest at the end"),
        Line2D([], [], color=shades[0], label="poorest at the end"),
    ]
    if results.study.scenario.rules == "published":
        axes.plot(numbers, coins[:, GENESIS_OWNER], color=RED, linewidth=1.8)
        handles.insert(0, Line2D([], [], color=RED, linewidth=1.8, label="genesis owner"))
    axes.plot(numbers, coins.mean(axis=1), color=BLACK, linewidth=1.8, linestyle="--")
    axes.set(ylabel="coins")
    axes.set_ylim(bottom=0)
    amounts(axes)
    rounds_axis(axes, int(numbers[-1]))
    legend(axes, handles=handles, loc="upper left")
    seed = results.study.seeds[0]
    text = f"One line a participant ({len(drawn)} of {len(order)}), in the run of seed {seed}."
    return finish(figure, results, "coins", "Coins per participant", text, f"one run, seed {seed}")


def draw_inequality(results: Results) -> Drawing | None:
    """Draw the Lorenz curve at the end and the Gini coefficient over the rounds."""
    people = results.people(0)
    if "coins" not in people.columns or not results.has("gini"):
        return None
    figure, (curve, gini) = sheet(1, 2, 4.2)
    _lorenz(curve, people)
    lines(gini, results, [("gini", "Gini coefficient")])
    gini.set(ylim=(0, 1), ylabel="Gini coefficient")
    rounds_axis(gini, results.study.at(0).rounds)
    text = (
        "Left: what share of all coins the poorest hold at the end. Right: 0 is equality, 1 is one owner of everything."
    )
    return finish(figure, results, "inequality", "Lorenz curve and Gini coefficient", text, T_BAND)


def _lorenz(axes: Axes, people: pl.DataFrame) -> None:
    curves: list[Floats] = []
    for of_run in people.partition_by("run", maintain_order=True):
        coins = of_run["coins"].cast(pl.Float64).drop_nulls().drop_nans().to_numpy()
        curves.append(np.interp(GRID, *lorenz(coins)))
    axes.plot(GRID, GRID, color=BLACK, linewidth=0.8, linestyle=":", label="equality")
    line(axes, GRID, mean_band(np.array(curves)), 0, "at the end")
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="share of people, poorest first", ylabel="share of all coins", aspect="equal"
    )
    legend(axes, loc="upper left")
