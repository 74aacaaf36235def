"""What `derelayl sim optimise` prints: the front, and in words where the scenarios' own rules stand."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ..search.objectives import Score
from ..search.optimise import Optimised
from ..study.statistics import Interval, difference, mean
from .presentation import number, span

DEFAULT = 0  # the point of the scenarios as they are


def optimised_document(found: Optimised) -> dict[str, Any]:
    """Return what `derelayl sim optimise --json` prints."""
    task = found.task
    return {
        "worlds": [world.name for world in task.worlds],
        "not_run": list(found.not_run),
        "seeds": list(task.seeds),
        "objectives": [each.name for each in task.objectives],
        "constraints": [str(each) for each in task.constraints],
        "points": len(found.points),
        "allowed": int(found.allowed.sum()),
        "standing": standing(found),
        "default": _row(found, DEFAULT),
        "front": [_row(found, point) for point in np.flatnonzero(found.front).tolist()],
    }


def print_optimised(found: Optimised) -> None:
    """Print the default and the points of the front, and in words how far the one is from the others."""
    task = found.task
    worlds = ", ".join(world.name for world in task.worlds)
    mark = f"\nNOT WHAT THE CONTRACT RUNS: {'; '.join(found.not_run)}" if found.not_run else ""
    title = f"front of {len(found.points)} points, the worst of {worlds}; {len(task.seeds)} seeds"
    table = Table(title=f"{title}; ↓ less is better, ↑ more{mark}")
    for name in ("point", *(key.rpartition(".")[2] for key in task.sweep.over)):
        table.add_column(name, justify="right")
    for each in task.objectives:
        table.add_column(f"{each.name} {'↓' if each.lower else '↑'}", justify="right")
    for point in dict.fromkeys([DEFAULT, *np.flatnonzero(found.front).tolist()]):
        label = "default" if point == DEFAULT else str(point)
        values = [number(each) if isinstance(each, float) else str(each) for each in found.values(point).values()]
        scores = [number(found.scores[point][each.name].estimate) for each in task.objectives]
        table.add_row(label, *values, *scores)
    console = Console()
    console.print(table)
    console.print(standing(found), highlight=False)


def standing(found: Optimised) -> str:
    """Say where the scenarios' own rules stand to the front."""
    where, size = found.distance(DEFAULT), int(found.front.sum())
    sentences = []
    if found.broken[DEFAULT]:
        said = "; ".join(
            f"{each} ({_measured(found.scores[DEFAULT][each.measure.name])})" for each in found.broken[DEFAULT]
        )
        sentences.append(f"The default breaks a constraint: {said}.")
    elif found.front[DEFAULT]:
        sentences.append(f"The default is on the front, one of {size} of {len(found.points)} points.")
    if size == 0:
        return " ".join([*sentences, "No point that was tried keeps every constraint, so there is no front."])
    if where.nearest is None:
        return " ".join([*sentences, "There is no other point on the front to compare it with."])
    if where.dominators:
        sentences.append(
            f"The default is not on the front: {where.dominators} of its {size} points are at least as good in "
            f"everything. Furthest ahead is point {where.nearest}, by {where.lead:.1%} of the range or more in each "
            "objective."
        )
    elif where.lead >= 0:
        sentences.append(f"Point {where.nearest} of the front is as good in everything.")
    else:
        sentences.append(
            f"No point of the front is as good in everything; point {where.nearest} gives up least, "
            f"{-where.lead:.1%} of the range of an objective at most."
        )
    rules = ", ".join(f"{key} = {value}" for key, value in found.values(where.nearest).items())
    changes = "; ".join(_change(found, where.nearest, each.name) for each in found.task.objectives)
    return " ".join([*sentences, f"Its rules: {rules}. Against the default: {changes}."])


def _change(found: Optimised, point: int, name: str) -> str:
    here, there = found.scores[DEFAULT][name], found.scores[point][name]
    apart = difference(here.values, there.values, paired=True)
    return f"{name} {number(there.estimate)} instead of {number(here.estimate)}{_between(apart)}"


def _between(apart: Interval) -> str:
    return f" (difference {span(apart)})" if span(apart) else ""


def _measured(found: Score) -> str:
    return f"{number(found.estimate) or 'nothing to measure'} in {found.world}"


def _row(found: Optimised, point: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "point": point,
        "generation": found.generations[point],
        "values": found.values(point),
        "broken": [str(each) for each in found.broken[point]],
    }
    for name, each in found.scores[point].items():
        ends = mean(each.values)
        numbers = {"estimate": each.estimate, "low": ends.low, "high": ends.high}
        told: dict[str, Any] = {key: None if np.isnan(value) else value for key, value in numbers.items()}
        row[name] = told | {"world": each.world, "column": each.column}
    return row
