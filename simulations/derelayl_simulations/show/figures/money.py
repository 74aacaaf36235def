"""Supply, mint, burn and inflation."""

from __future__ import annotations

import numpy as np

from ...study.results import Results
from .sheet import T_BAND, Drawing, amounts, finish, legend, lines, rounds_axis, sheet


def draw_money(results: Results) -> Drawing | None:
    """Draw the money in the relay over the rounds."""
    if not results.has("supply"):
        return None
    figure, (supply, flows, inflation, paid) = sheet(2, 2)
    lines(supply, results, [("supply", "supply")])
    supply.set(ylabel="coins in circulation")
    amounts(supply)
    lines(flows, results, [("minted", "minted"), ("burned", "burned"), ("slashed", "slashed or charged")])
    flows.set(ylabel="coins a round")
    amounts(flows)
    legend(flows)
    lines(inflation, results, [("inflation", "inflation")])
    inflation.set(ylabel="minted / supply before")
    if np.nanmax(results.matrix("inflation"), initial=0.0) > 0:
        inflation.set_yscale("log")
    lines(paid, results, [("coins_mean", "mean"), ("coins_min", "poorest"), ("coins_max", "richest")])
    paid.set(ylabel="coins a person")
    amounts(paid)
    legend(paid)
    for axes in (supply, flows, inflation, paid):
        rounds_axis(axes, results.study.at(0).rounds)
    text = (
        "Where the coins come from and where they go. Inflation is what a round mints, as a share of the supply before."
    )
    return finish(figure, results, "money", "Supply, mint, burn and inflation", text, T_BAND)


def draw_market(results: Results) -> Drawing | None:
    """Draw what consumers buy, what a coin is worth and what they pay; nothing where there are none."""
    if not np.nansum(results.matrix("demand")) > 0:
        return None
    figure, axes = sheet(1, 3, 3.6)
    shown = (("demand", "accesses bought a round"), ("price", "money per coin"), ("revenue", "money paid a round"))
    for each, (name, label) in zip(axes, shown, strict=True):
        lines(each, results, [(name, label)])
        each.set(ylabel=label)
        each.set_ylim(bottom=0)
        amounts(each)
        rounds_axis(each, results.study.at(0).rounds)
    text = "Consumers come by the quality of the best tip and by its price; they pay in coins."
    return finish(figure, results, "market", "Consumers", text, T_BAND)
