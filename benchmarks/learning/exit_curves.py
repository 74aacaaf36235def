"""The picture of early exits: accuracy against mean compute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import matplotlib as mpl

from benchmarks.rows import Row

mpl.use("Agg")
from matplotlib import pyplot as plt

ACCURACY, COST = "test accuracy at budget ", "mean cost at budget "
HALF_A_POINT = 0.005


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """Plot test accuracy against mean cost, one line a kind of heads, and the rival's accuracy."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    value = {(str(one["case"]), str(one["metric"])): float(str(one["value"])) for one in rows}
    for case in dict.fromkeys(case for case, metric in value if metric.startswith(ACCURACY)):
        budgets = [metric.removeprefix(ACCURACY) for named, metric in value if named == case and ACCURACY in metric]
        points = sorted((value[case, COST + each], value[case, ACCURACY + each]) for each in budgets)
        axes.plot(*zip(*points, strict=True), marker="o", label=case)
    name = next(str(one["rival"]) for one in rows if one["rival"])
    rival = mean(number for (_, metric), number in value.items() if metric == "test accuracy")
    axes.axhline(rival, color="black", linestyle="--", label=name)
    axes.axhline(rival - HALF_A_POINT, color="gray", linestyle=":", label="half a point below")
    axes.set(xlabel="mean multiply-adds, share of the whole network's", ylabel="test accuracy", title="Early exits")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)
