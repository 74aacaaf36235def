"""Rules that do well in several worlds at once: points of the rules, what each comes to, and the Pareto front of them.

The folder has one folder of results a generation and world, DIR/0/crowded and so on, which `sim report` draws, too:
generation 0 is the scenarios as they are and a design over the range, each later one is drawn around the front that was
found so far. Everything is drawn with fixed seeds, so the same call finds what is there and goes on.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from derelayl_protocol.errors import LocalFault

from ..scenarios.load import Scenario, Span, SweepSettings
from ..study.outcomes import column
from ..study.plan import Study, checked, plain
from ..study.results import Floats, Results, write_whole
from ..study.sampling import DESIGN_SEED, Point, sample
from ..study.statistics import mean
from .objectives import Constraint, Measure, Score, costs, score
from .pareto import Bools, Distance, distance, front

POINTS = "points.parquet"
STEP = 0.1  # of a key's range: standard deviation by which a refined point leaves its parent
CHANGE = 0.25  # chance that a refined point has another of a list of values than its parent
DIGITS = 4  # of a swept number
POT = ("ledger.trainer_share", "ledger.royalty_share", "ledger.validator_share")
SEATS, QUORUM = "ledger.committee_size", "ledger.quorum"

Collect = Callable[[Study, Path], Results]


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for."""

    worlds: tuple[Scenario, ...]
    changed: tuple[Mapping[str, Any], ...]  # of each world, by dotted key, where it is not what its file says
    sweep: SweepSettings
    objectives: tuple[Measure, ...]
    constraints: tuple[Constraint, ...]
    seeds: tuple[int, ...]
    refine: int = 0  # generations after the first

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Return what has to be measured, every measure once."""
        named = {each.name: each for each in (*self.objectives, *(each.measure for each in self.constraints))}
        return tuple(named.values())


@dataclass(frozen=True)
class Optimised:
    """What was found; point 0 is the scenarios as they are."""

    task: Task
    points: tuple[Point, ...]  # what is swept, with what has to fit it
    generations: tuple[int, ...]  # of each point
    scores: tuple[Mapping[str, Score], ...]  # of each point, by the name of the measure

    @cached_property
    def costs(self) -> Floats:
        """Return the objectives as something of which less is better, (points, objectives)."""
        return costs(self.task.objectives, self.scores)

    @cached_property
    def broken(self) -> tuple[tuple[Constraint, ...], ...]:
        """Return the constraints that each point does not keep."""
        return tuple(
            tuple(each for each in self.task.constraints if not each.holds(row[each.measure.name].estimate))
            for row in self.scores
        )

    @cached_property
    def allowed(self) -> Bools:
        """Return which points keep every constraint, (points,)."""
        return np.array([not broken for broken in self.broken])

    @cached_property
    def front(self) -> Bools:
        """Return which points are on the Pareto front of the allowed ones, (points,)."""
        return front(self.costs, self.allowed)

    @property
    def not_run(self) -> tuple[str, ...]:
        """Say what the rules of any point in any world are that nobody runs."""
        pairs = zip(self.task.worlds, self.task.changed, strict=True)
        studies = [_study(self.task, world, changed, self.points) for world, changed in pairs]
        return tuple(dict.fromkeys(each for study in studies for each in study.not_run()))

    def distance(self, point: int = 0) -> Distance:
        """Return how far a point is from the front."""
        return distance(self.costs, self.allowed, point)

    def values(self, point: int) -> Point:
        """Return the swept values of a point."""
        known = self.task.worlds[0].values()
        return {key: self.points[point].get(key, known[key]) for key in self.task.sweep.over}


def optimise(task: Task, folder: Path, collect: Collect) -> Optimised:
    """Play the generations of a task that the folder does not hold yet, and write points.parquet.

    `collect` plays a study into a folder, each run by `objectives.probe`. Raises LocalFault if a key is unknown in one
    of the worlds or a point is not allowed, and OSError if the disk refuses.
    """
    _check(task)
    found: Optimised | None = None
    points: list[Point] = []
    generations: list[int] = []
    scores: list[Mapping[str, Score]] = []
    for generation in range(task.refine + 1):
        drawn = design(task) if found is None else around(found, generation)
        batch = _new(drawn, points)
        if not batch:
            break
        studies = [
            _study(task, world, changed, batch) for world, changed in zip(task.worlds, task.changed, strict=True)
        ]
        tables = {}
        for study in studies:
            name = study.scenario.name
            tables[name] = measured(collect(study, folder / str(generation) / name), task.measures)
        for place in range(len(batch)):
            here = {world: {name: rows[place] for name, rows in table.items()} for world, table in tables.items()}
            scores.append({each.name: score(each, here) for each in task.measures})
        points += batch
        generations += [generation] * len(batch)
        found = Optimised(task, tuple(points), tuple(generations), tuple(scores))
    assert found is not None
    _keep(found, folder)
    return found


def design(task: Task) -> list[Point]:
    """Return the scenarios as they are, and the first points over the range."""
    return [{}, *(settle(task, point) for point in sample(task.worlds[0], task.sweep))]


def around(found: Optimised, generation: int) -> list[Point]:
    """Draw points around those of the front in turn, half as many as the first generation had."""
    rng = np.random.default_rng([DESIGN_SEED, generation])
    parents = np.flatnonzero(found.front).tolist()
    if not parents:
        return []
    drawn = []
    for place in range(max(1, found.generations.count(0) // 2)):
        parent = found.values(parents[place % len(parents)])
        drawn.append(settle(found.task, {key: _near(value, key, found.task, rng) for key, value in parent.items()}))
    return drawn


def settle(task: Task, point: Point) -> Point:
    """Return a drawn point with numbers of a few digits, and with what has to fit it.

    The shares of the pot add up to 1: those that are not swept divide what the others leave as they do in the first
    scenario; if all are, they are scaled. A quorum that is not swept is the majority of a swept committee.
    """
    known = task.worlds[0].values()
    settled = {key: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value for key, value in point.items()}
    swept = [key for key in POT if key in point]
    if swept:
        rest = [key for key in POT if key not in point]
        weights = {key: known[key] for key in rest} if any(known[key] for key in rest) else dict.fromkeys(rest, 1.0)
        left, total = 1.0 - sum(settled[key] for key in swept), sum(weights.values())
        if rest:
            settled |= {key: left * weight / total for key, weight in weights.items()}
        else:
            settled |= {key: settled[key] / (1.0 - left) for key in swept}
    if SEATS in point and QUORUM not in point:
        settled[QUORUM] = int(point[SEATS]) // 2 + 1
    return settled


def measured(results: Results, measures: Sequence[Measure]) -> dict[str, Floats]:
    """Return the columns of the measures over points and seeds, (points, seeds), NaN where there is nothing."""
    lasting = {name: each.lasting for each in measures for name in each.columns}
    study = results.study
    rows = results.rounds(["run", "round", *lasting])
    late = pl.col("round") > study.scenario.rounds - max(1, study.scenario.rounds // 4)
    there = [name for name in lasting if name in rows.columns]
    taken = [
        pl.col(name).filter(late).mean() if lasting[name] else pl.col(name).sort_by("round").last() for name in there
    ]
    table = rows.group_by("run").agg(taken).sort("run")
    shape = (len(study.points), len(study.seeds))
    return {name: column(table, name).reshape(shape) for name in lasting}


# --- Inside -----------------------------------------------------------------------------------------------------------


def _check(task: Task) -> None:
    names = [world.name for world in task.worlds]
    if len(set(names)) < len(names):
        raise LocalFault(f"two worlds have one name in {', '.join(names)}")
    for world in task.worlds:
        if world.rules == "published":
            raise LocalFault(f"{world.name} has the published rules, which know no strategies; take a ledger scenario")
        for key in task.sweep.over:
            if key not in world.values():
                raise LocalFault(f"{key} is no key of the scenario {world.name}, so it cannot be swept over")


def _study(task: Task, world: Scenario, changed: Mapping[str, Any], batch: Sequence[Point]) -> Study:
    over = {key: plain(values) for key, values in task.sweep.over.items()}
    return checked(Study(world, dict(changed), task.sweep.method, over, tuple(batch), task.seeds))


def _new(drawn: Sequence[Point], known: Sequence[Point]) -> list[Point]:
    """Leave out points that there are already."""
    told = {json.dumps(point, sort_keys=True) for point in known}
    fresh = {text: point for point in drawn if (text := json.dumps(point, sort_keys=True)) not in told}
    return list(fresh.values())


def _near(value: Any, key: str, task: Task, rng: np.random.Generator) -> Any:
    """Return a value beside one of a key's range, or another one of a list."""
    values = task.sweep.over[key]
    moved, changed, other = rng.normal(), rng.random(), rng.random()
    if not isinstance(values, Span):
        return values[int(other * len(values))] if changed < CHANGE or value not in values else value
    near = min(max(value + moved * STEP * (values.high - values.low), values.low), values.high)
    return round(near) if isinstance(task.worlds[0].values()[key], int) else near


def _keep(found: Optimised, folder: Path) -> None:
    rows = [
        {"point": point, "generation": generation, "allowed": bool(found.allowed[point])}
        | {"front": bool(found.front[point]), **found.values(point), **_estimates(found.scores[point])}
        for point, generation in enumerate(found.generations)
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None, strict=False)
    buffer = io.BytesIO()
    frame.fill_nan(None).write_parquet(buffer, compression="zstd")
    write_whole(folder / POINTS, buffer.getvalue())


def _estimates(scores: Mapping[str, Score]) -> dict[str, Any]:
    """Return each measure's estimate, interval over seeds, and the world and column where it is worst."""
    row: dict[str, Any] = {}
    for name, each in scores.items():
        found = mean(each.values)
        row |= {name: each.estimate, f"{name}_low": found.low, f"{name}_high": found.high}
        row |= {f"{name}_world": each.world, f"{name}_column": each.column}
    return row
