"""Who takes part, what it pays, who is still there."""

from __future__ import annotations

import numpy as np

from ...columns import ROLES
from ...study.results import Results
from ...study.statistics import alive_band
from .sheet import (
    BLACK,
    T_BAND,
    WILSON_BAND,
    Drawing,
    finish,
    leave_out_the_start,
    legend,
    line,
    lines,
    rounds_axis,
    sheet,
)


def draw_roles(results: Results) -> Drawing | None:
    """Draw participation and profit of each role."""
    participation = [(f"participation_{role}", role) for role in ROLES]
    profit = [(f"profit_{role}", role) for role in ROLES]
    if not any(results.has(name) for name, _ in profit):
        return None
    figure, (taking_part, earning) = sheet(1, 2, 4.0)
    lines(taking_part, results, participation)
    taking_part.set(ylabel="% taking part")
    taking_part.set_ylim(bottom=0)
    lines(earning, results, profit)
    earning.axhline(0, color=BLACK, linewidth=0.8)
    earning.set(ylabel="median profit, coins a round")
    leave_out_the_start(earning, results.study.at(0).rounds)
    for axes in (taking_part, earning):
        rounds_axis(axes, results.study.at(0).rounds)
        legend(axes)
    text = (
        "Left: who is there. Right: what the median person of each role earns after costs, over a sliding "
        "window; the scale is that of the rounds after the first tenth."
    )
    return finish(figure, results, "roles", "Participation and profit by role", text, T_BAND)


def draw_survival(results: Results) -> Drawing | None:
    """Draw the share of seeds alive, and how many people of each role are there and own something to continue."""
    rounds = results.study.at(0).rounds
    figure, (alive, roles) = sheet(1, 2, 4.0)
    x = np.arange(1, rounds + 1, dtype=np.float64)
    line(alive, x, alive_band(results.extinct_rounds(), rounds), 0, "seeds")
    lines(alive, results, [("relays_alive", "relays within a seed (mean)")] if _many_relays(results) else [])
    alive.set(ylim=(0, 1.02), ylabel="share alive")
    counted = lines(roles, results, [("participants", "there"), ("trainers", "trainers"), ("owners", "owners")])
    roles.set(ylabel="people")
    roles.set_ylim(bottom=0)
    for axes in (alive, roles):
        rounds_axis(axes, rounds)
        legend(axes)
    if not counted:
        return None
    text = "A seed is dead once nothing can be continued any more. Every run is watched to its end: no censoring."
    note = f"{WILSON_BAND}; people: 95 % confidence of the mean (Student's t)"
    return finish(figure, results, "survival", "Survival of the relay and of the roles", text, note)


def _many_relays(results: Results) -> bool:
    scenario = results.study.scenario
    return scenario.rules == "ledger" and scenario.world.relays > 1
