"""What each strategy earns against honesty in the same world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ...columns import SHARES, profit_column, share_column
from ...search.searches import Searches
from ...study.results import Floats, Results
from ...study.statistics import Interval, mean
from ...study.verdict import last_quarter
from .sheet import (
    BLACK,
    BLUE,
    GREY,
    PALE,
    RED,
    Drawing,
    finish,
    leave_out_the_start,
    lines,
    rounds_axis,
    sheet,
)

MOST_BANDS = 6  # lines with bands that can still be told apart; the intervals stand beside them


def strategies(results: Results, point: int = 0) -> list[str]:
    """Return the strategies that are in the world from the start, honest first."""
    there = results.columns(point)
    names = [name.removeprefix("share_") for name in there if name.startswith("share_") and name not in SHARES]
    found = [name for name in names if profit_column(name) in there]
    return sorted(found, key=lambda name: name != "honest")


def draw_strategies(results: Results) -> Drawing | None:
    """Draw what each strategy in the world earns, and how many follow it; nothing where there is only one."""
    names = strategies(results)
    if len(names) < 2:
        return None
    rounds = results.study.at(0).rounds
    profits = results.matrices([profit_column(name) for name in names])
    moving = any(np.nanmax(np.ptp(share, axis=1), initial=0.0) > 0 for share in _shares(results, names))
    figure, axes = sheet(2 if moving else 1, 2, 4.4)
    lines(axes[0], results, [(profit_column(name), name) for name in names], bands=len(names) <= MOST_BANDS)
    axes[0].axhline(0, color=BLACK, linewidth=0.8)
    axes[0].set(ylabel="mean profit, coins a round and person")
    leave_out_the_start(axes[0], rounds)
    rounds_axis(axes[0], rounds)
    found = {name: mean(last_quarter(profits[profit_column(name)])) for name in names}
    order = sorted((name for name in names if found[name].count), key=lambda name: found[name].estimate)
    _dots(axes[1], [found[name] for name in order], found["honest"].estimate if "honest" in found else 0.0)
    axes[1].set_yticks(range(len(order)), order)
    axes[1].set(xlabel="the same over the last quarter of the rounds")
    if moving:
        lines(axes[2], results, [(share_column(name), name) for name in names], bands=len(names) <= MOST_BANDS)
        axes[2].set(ylabel="% of who is there")
        axes[2].set_ylim(bottom=0)
        rounds_axis(axes[2], rounds)
        axes[3].axis("off")
    handles, labels = axes[0].get_legend_handles_labels()
    (axes[3] if moving else figure).legend(
        handles, labels, loc="center left" if moving else "outside right center", ncols=2 if moving else 1,
        frameon=False, fontsize=8,
    )  # fmt: skip
    text = (
        "Dishonest people beside honest ones in the same world, after costs. The line on the right is what honest "
        "people earn: orange is above it, blue below, grey undecided."
    )
    note = "bands and bars: 95 % confidence of the mean over seeds (Student's t)"
    return finish(figure, results, "strategies", "Profit of each strategy", text, note)


def _shares(results: Results, names: Sequence[str]) -> list[Floats]:
    tables = results.matrices([share_column(name) for name in names])
    return [np.nan_to_num(table) for table in tables.values()]


def draw_deviations(results: Results, searches: Searches) -> Drawing | None:
    """Draw what a small group gains by each tried deviation, and what it earns against honest people beside it."""
    found = {name: mean(np.asarray(gains)) for name, gains in searches.gains().items()}
    found = {name: each for name, each in found.items() if each.count}
    if not found:
        return None
    beside = {name: mean(np.asarray(gains)) for name, gains in searches.against_honest().items()}
    order = sorted(found, key=lambda name: found[name].estimate)
    tolerance = results.study.scenario.verdict.deviation_tolerance
    figure, (gained, against) = sheet(1, 2, 0.3 * len(order) + 1.2)
    _dots(gained, [found[name] for name in order], tolerance)
    _dots(against, [beside[name] for name in order], 0.0)
    control = results.study.scenario.search.control
    gained.set_yticks(range(len(order)), [f"{name} (control)" if name in control else name for name in order])
    against.set_yticks(range(len(order)), [])
    gained.set(xlabel="gain over being honest (money a round, person)")
    against.set(xlabel="more than honest people beside them")
    share = results.study.scenario.search.share
    text = (
        f"A group of {100 * share:g} % of a role turns to one strategy, everybody else stays as the scenario has it. "
        "Left: what that changes for the group, on the same luck. Right: what it earns beyond honest people of the "
        "same roles in the same world. Orange pays, blue does not, grey is undecided. A control works honestly, but "
        "with bolder bids, more accounts or a better start."
    )
    note = f"{len(searches.seeds)} seeds tried; bars: 95 % confidence of the mean over seeds (Student's t)"
    return finish(figure, results, "deviations", "Does cheating pay?", text, note)


def _dots(axes: Axes, found: Sequence[Interval], threshold: float) -> None:
    for place, each in enumerate(found):
        colour = RED if each.low > threshold else BLUE if each.high < threshold else GREY
        low, high = (each.estimate if np.isnan(end) else end for end in (each.low, each.high))
        bar = [[each.estimate - low], [high - each.estimate]]
        axes.errorbar(each.estimate, place, xerr=bar, fmt="o", color=colour, capsize=3)
    axes.axvline(threshold, color=BLACK, linewidth=0.8)
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
