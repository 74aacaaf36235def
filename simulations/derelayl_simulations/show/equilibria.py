"""What `derelayl sim equilibria` prints: who would leave honesty, where nobody leaves, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ..scenarios.load import Scenario
from ..search.equilibria import RESAMPLES, Found, support_of
from ..search.game import BOTH
from ..study.statistics import Floats, mean
from .presentation import number, span


def equilibria_document(scenario: Scenario, found: Found) -> dict[str, Any]:
    """Return what `derelayl sim equilibria --json` prints."""
    names = _names(found)
    ranked = found.ranked
    return {
        "scenario": scenario.name,
        "not_run": list(scenario.not_run()),
        "seeds": len(found.payoffs),
        "roles": [asdict(role) for role in found.game.roles],
        "leaving_honesty": {
            name: _plain(asdict(each)) for name, each in zip(_left(found), found.leaving.values(), strict=True)
        },
        "honest_is_an_equilibrium": found.honest,
        "equilibria": [
            {
                "mixture": dict(zip(names, each.mixture.tolist(), strict=True)),
                "low": _plain(dict(zip(names, each.low.tolist(), strict=True))),
                "high": _plain(dict(zip(names, each.high.tolist(), strict=True))),
                "regret": each.regret,
                "found_again": each.found_again,
            }
            for each in found.equilibria
        ],
        "others": [
            {"strategies": [names[place] for place in support], "found": share}
            for support, share in found.others.items()
        ],
        "alpha_rank": ranked
        and {
            "shares": dict(zip(names, ranked.shares.tolist(), strict=True)),
            "low": dict(zip(names, ranked.low.tolist(), strict=True)),
            "high": dict(zip(names, ranked.high.tolist(), strict=True)),
            "honest": {"estimate": ranked.honest, "low": ranked.honest_low, "high": ranked.honest_high},
        },
        "table": list(_table(found)),
    }


def print_equilibria(scenario: Scenario, found: Found) -> None:
    """Print what leaving honesty brings, the equilibria, and where people end up who move to what pays more."""
    console = Console()
    roles = ", ".join(f"{role.players} of {_who(role.name)}" for role in found.game.roles)
    mark = f"\nNOT WHAT THE CONTRACT RUNS: {'; '.join(scenario.not_run())}" if scenario.not_run() else ""
    table = Table(title=f"{scenario.name}: {len(found.game.profiles)} profiles, {len(found.payoffs)} seeds{mark}")
    for name in ("the first to leave honesty for", "gains", "interval"):
        table.add_column(name, justify="left" if name.startswith("the") else "right")
    for name, gain in zip(_left(found), found.leaving.values(), strict=True):
        table.add_row(name, number(gain.estimate), span(gain))
    console.print(table)
    console.print(
        f"Players: {roles}; money a round and person. In {found.honest:.0%} of {RESAMPLES} games with resampled seeds "
        "nobody gains by leaving honesty.",
        highlight=False,
    )
    table = Table(title="symmetric equilibria")
    for name in ("mixture", "found again"):
        table.add_column(name, justify="left" if name == "mixture" else "right")
    names = _names(found)
    for each in found.equilibria:
        played = support_of(each.mixture)
        parts = [f"{names[place]} {_share(each.mixture, each.low, each.high, place)}" for place in played]
        table.add_row(", ".join(parts), f"{each.found_again:.0%}")
    for support, share in found.others.items():
        table.add_row(f"(only resampled) {', '.join(names[place] for place in support)}", f"{share:.0%}")
    console.print(table)
    if found.ranked is None:
        return
    ranked = found.ranked
    table = Table(title="α-rank: where people are who move to what pays more")
    for name in ("strategy", "share of the time"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for place, name in enumerate(names):
        table.add_row(name, _share(ranked.shares, ranked.low, ranked.high, place))
    console.print(table)
    console.print(
        f"Everybody is honest {ranked.honest:.0%} [{ranked.honest_low:.0%}, {ranked.honest_high:.0%}] of the time.",
        highlight=False,
    )


def _table(found: Found) -> Iterable[dict[str, Any]]:
    """Yield every profile with what each strategy in it earns, mean and interval over the seeds."""
    names = _names(found)
    for place, counts in enumerate(found.game.profiles.tolist()):
        played = [column for column, count in enumerate(counts) if count]
        yield {
            "players": {names[column]: counts[column] for column in played},
            "earn": {names[column]: _plain(asdict(mean(found.payoffs[:, place, column]))) for column in played},
        }


def _names(found: Found) -> list[str]:
    several = len(found.game.roles) > 1
    return [f"{role}/{name}" if several else name for role, name in found.game.strategies]


def _left(found: Found) -> list[str]:
    """Name the strategies that one can leave honesty for, in the order of `leaving`."""
    names = dict(zip(found.game.strategies, _names(found), strict=True))
    return [names[each] for each in found.leaving]


def _who(role: str) -> str:
    return "the trainers with their part of the validators" if role == BOTH else f"the {role}s"


def _share(centre: Floats, low: Floats, high: Floats, place: int) -> str:
    if np.isnan(low[place]):
        return f"{centre[place]:.2f}"
    return f"{centre[place]:.2f} [{low[place]:.2f}, {high[place]:.2f}]"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return JSON's null for what is no number."""
    return {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in values.items()}
