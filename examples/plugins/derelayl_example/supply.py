"""A figure: `derelayl sim report DIR --figure supply`."""

from __future__ import annotations

from derelayl_simulations.show.figures.sheet import T_BAND, Drawing, amounts, finish, lines, rounds_axis, sheet
from derelayl_simulations.study.results import Results


def draw_supply(results: Results) -> Drawing | None:
    """Draw all coins there are over the rounds; None where the runs do not tell."""
    if not results.has("supply"):
        return None
    figure, (axes,) = sheet(1, 1)
    lines(axes, results, [("supply", "all coins")])
    axes.set(ylabel="coins")
    amounts(axes)
    rounds_axis(axes, results.study.at(0).rounds)
    return finish(figure, results, "supply", "Supply", "How many coins there are.", T_BAND)
