"""The two published figures, drawn from our runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from .columns import LAGS, SHARES
from .published import GENESIS_OWNER
from .runner import CoinHistory, Result

VERSION_ROUNDS = 100  # the published version figure shows as many; more bars than this cannot be told apart
DOTS_PER_INCH = 150
SIZE_INCHES = (10.0, 5.6)
GREY, PALE, ORANGE = "#8c8c8c", "#e6e6e6", "#d55e00"


def draw_versions(results: Sequence[Result], path: Path) -> None:
    """Draw who holds which version, round by round, as the mean over the results; write a PNG to `path`."""
    rounds = min(results[0].rounds, VERSION_ROUNDS)
    figure, axes = _sheet()
    # Viridis keeps its order for every kind of colour vision and in print.
    shades = [*matplotlib.colormaps["viridis"](np.linspace(1.0, 0.0, LAGS)), GREY, PALE]
    behind = [f"latest − {lag}" for lag in range(1, LAGS)]
    labels = ["latest", *behind, f"older than {behind[-1]}", "no model yet"]
    numbers, floor = np.arange(1, rounds + 1), np.zeros(rounds)
    for name, shade, label in zip(SHARES, shades, labels, strict=True):
        share = np.mean([result.column(name)[:rounds] for result in results], axis=0)
        axes.bar(numbers, share, bottom=floor, width=1.0, color=shade, edgecolor="white", linewidth=0.15, label=label)
        floor += share
    axes.set(xlim=(0.5, rounds + 0.5), ylim=(0, 100), xlabel="round", ylabel="% of participants")
    axes.set_title(f"Best version held by each participant ({_runs(results)})", loc="left")
    handles, names = axes.get_legend_handles_labels()
    # Read from top to bottom in the order in which the bars are stacked.
    axes.legend(handles[::-1], names[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    _save(figure, path)


def draw_coins(result: Result, history: CoinHistory, path: Path) -> None:
    """Draw each participant's coins over the rounds of one run; write a PNG to `path`."""
    figure, axes = _sheet()
    numbers = np.concatenate([[0], history.rounds])
    coins = np.vstack([np.zeros(history.coins.shape[1]), history.coins])
    order = np.argsort(coins[-1], kind="stable")
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.92, len(order)))
    for participant, shade in zip(order, shades, strict=True):
        axes.plot(numbers, coins[:, participant], color=shade, linewidth=0.5, alpha=0.7)
    axes.plot(numbers, coins[:, GENESIS_OWNER], color=ORANGE, linewidth=1.8)
    axes.plot(numbers, coins.mean(axis=1), color="black", linewidth=1.8, linestyle="--")
    axes.set(xlim=(0, result.rounds), xlabel="round", ylabel="coins")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(EngFormatter())
    axes.set_title(f"Coins per participant ({coins.shape[1]} participants, seed {result.seed})", loc="left")
    axes.legend(
        [Line2D([], [], color=ORANGE, linewidth=1.8), Line2D([], [], color="black", linewidth=1.8, linestyle="--"),
         Line2D([], [], color=shades[-1]), Line2D([], [], color=shades[0])],
        ["genesis owner", "mean", "richest at the end", "poorest at the end"],
        loc="upper left", frameon=False,
    )  # fmt: skip
    _save(figure, path)


def _runs(results: Sequence[Result]) -> str:
    return f"seed {results[0].seed}" if len(results) == 1 else f"mean of {len(results)} seeds"


def _sheet() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    # Without the software's name the same table gives the same bytes.
    figure.savefig(path, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})
