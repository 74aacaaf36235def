"""The figures of a report. Each module draws one kind from a folder of results, or nothing for want of data.

To add one: its function in a module, and a line here. One of somebody's own is an entry point in the group
`derelayl.figures`: a function from `Results` to a `sheet.Drawing`, or to None where there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Mapping

PARAMETERS, RELAY, COINS, PEOPLE, THEORY = (
    "Over the parameters",
    "The relay",
    "Coins",
    "People and strategies",
    "Theory",
)

FIGURES: Mapping[str, Mapping[str, str]] = {
    PARAMETERS: {
        "extinction": "landscape:draw_extinction",
        "response": "landscape:draw_response",
        "sobol": "sensitivity:draw_sobol",
        "tornado": "sensitivity:draw_tornado",
    },
    RELAY: {
        "versions": "versions:draw_versions",
        "survival": "roles:draw_survival",
        "quality": "quality:draw_quality",
    },
    COINS: {
        "coins": "wealth:draw_coins",
        "inequality": "wealth:draw_inequality",
        "money": "money:draw_money",
        "market": "money:draw_market",
    },
    PEOPLE: {"roles": "roles:draw_roles", "strategies": "strategies:draw_strategies"},
    THEORY: {
        "branching": "theory:draw_branching",
        "issuance": "theory:draw_issuance",
        "cheating": "theory:draw_cheating",
    },
}
"""Chapters, and in each the names of its figures and what draws them, by module of this package."""

SEARCHED: Mapping[str, str] = {
    "deviations": "strategies:draw_deviations",
    "phases": "phase:draw_phases",
    "best-response": "phase:draw_best_response",
}
"""Of the chapter PEOPLE too, from what a search has found."""
