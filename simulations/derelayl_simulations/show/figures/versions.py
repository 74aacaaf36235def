"""Who holds which version: the first published figure, and its main shares with bands."""

from __future__ import annotations

import matplotlib
import numpy as np

from ...columns import LAGS, SHARES
from ...study.results import Results
from ...study.statistics import mean_band
from .sheet import GREY, PALE, T_BAND, Drawing, finish, legend, line, rounds_axis, sheet

VERSION_ROUNDS = 100  # the published figure shows as many; more bars than this cannot be told apart


def draw_versions(results: Results) -> Drawing | None:
    """Draw the best version held by each participant, round by round."""
    tables = results.matrices(SHARES)
    if all(np.isnan(table).all() for table in tables.values()):
        return None
    rounds = min(results.study.at(0).rounds, VERSION_ROUNDS)
    figure, (bars, shares) = sheet(2, 1)
    # Viridis keeps its order for every kind of colour vision and in print.
    shades = [*matplotlib.colormaps["viridis"](np.linspace(1.0, 0.0, LAGS)), GREY, PALE]
    behind = [f"latest − {lag}" for lag in range(1, LAGS)]
    labels = ["latest", *behind, f"older than {behind[-1]}", "no model yet"]
    numbers, floor = np.arange(1, rounds + 1), np.zeros(rounds)
    for name, shade, label in zip(SHARES, shades, labels, strict=True):
        share = np.nan_to_num(mean_band(tables[name][:, :rounds]).centre)
        bars.bar(numbers, share, bottom=floor, width=1.0, color=shade, edgecolor="white", linewidth=0.15, label=label)
        floor += share
    bars.set(xlim=(0.5, rounds + 0.5), ylim=(0, 100), xlabel="round", ylabel="% of participants")
    bars.set_title("best version held, mean over seeds", loc="left", fontsize=10)
    handles, names = bars.get_legend_handles_labels()
    # Read from top to bottom in the order in which the bars are stacked.
    bars.legend(handles[::-1], names[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    cumulated = np.cumsum([tables[name] for name in list(SHARES)[:3]], axis=0)
    x = np.arange(1, cumulated.shape[2] + 1, dtype=np.float64)
    for place, label in enumerate(("the latest", "at most one behind", "at most two behind")):
        line(shares, x, mean_band(cumulated[place]), place, label)
    shares.set(ylim=(0, 100), ylabel="% of participants")
    rounds_axis(shares, len(x))
    legend(shares, loc="center left", bbox_to_anchor=(1.01, 0.5))
    text = "How fresh the models are that people hold. The newest version is the newest that anybody holds."
    return finish(figure, results, "versions", "Version freshness", text, T_BAND)
