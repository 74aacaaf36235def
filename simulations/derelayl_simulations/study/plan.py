"""A study: one scenario, the points of its parameters that are tried, and the seeds that each point is played with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from derelayl_protocol.errors import LocalFault

from ..scenarios.load import MAX_SEEDS, Scenario, Span, SweepSettings
from .sampling import Point, sample

MAX_RUNS = 1_000_000  # a file each; more would be a slip of the pen


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a study."""

    scenario: Scenario  # with the values of its point
    run: int  # from 0, unique in the study
    point: int  # from 0
    seed: int
    keep_history: bool  # of everybody's coins


@dataclass(frozen=True, slots=True)
class Study:
    """Everything that decides what is played; two equal studies have the same results."""

    scenario: Scenario
    changed: Mapping[str, Any]  # dotted key → value, where it is not what the scenario's file says
    method: str  # "run" for a single point, else how the points were chosen
    over: Mapping[str, Any]  # dotted key → its range or values
    points: tuple[Point, ...]
    seeds: tuple[int, ...]

    @property
    def runs(self) -> int:
        return len(self.points) * len(self.seeds)

    def jobs(self) -> Iterator[Job]:
        """Yield every run: point after point, seed after seed. Every point is played with the same seeds."""
        for point in range(len(self.points)):
            scenario = self.at(point)
            for place, seed in enumerate(self.seeds):
                yield Job(scenario, point * len(self.seeds) + place, point, seed, point == place == 0)

    def at(self, point: int) -> Scenario:
        """Return the scenario with the values of one point."""
        return self.scenario.with_values(self.points[point]) if self.points[point] else self.scenario

    def not_run(self) -> tuple[str, ...]:
        """Say what the rules of any point are that the contract and the network's validators do not run."""
        swept = {key for key in self.over if key.startswith(("rules", "mechanism"))}
        played = [self.scenario, *(self.at(point) for point in range(len(self.points)) if swept)]
        return tuple(dict.fromkeys(each for scenario in played for each in scenario.not_run()))

    def document(self) -> dict[str, Any]:
        """Return it in JSON types."""
        return {
            "scenario": self.scenario.model_dump(mode="json"),
            "changed": dict(self.changed),
            "method": self.method,
            "over": dict(self.over),
            "points": [dict(point) for point in self.points],
            "seeds": list(self.seeds),
        }


def plan(
    scenario: Scenario,
    seeds: Sequence[int],
    changed: Mapping[str, Any] | None = None,
    sweep: SweepSettings | None = None,
) -> Study:
    """Choose the points of a study and check every one of them; without a sweep there is one, the scenario itself.

    Raises LocalFault if a point is not allowed, a key is unknown or there are too many runs.
    """
    method: str = "run"
    over: dict[str, Any] = {}
    points: tuple[Point, ...] = ({},)
    if sweep is not None:
        method, points = sweep.method, tuple(sample(scenario, sweep))
        over = {key: plain(values) for key, values in sweep.over.items()}
    return checked(Study(scenario, dict(changed or {}), method, over, points, tuple(seeds)))


def checked(study: Study) -> Study:
    """Return a study all of whose points and seeds are allowed, and which has not too many runs; else LocalFault."""
    seeds = study.seeds
    if not seeds or len(set(seeds)) != len(seeds) or len(seeds) > MAX_SEEDS or min(seeds) < 0:
        raise LocalFault(f"{len(seeds)} seeds were given, allowed are 1 … {MAX_SEEDS} different ones from 0 on")
    if study.runs > MAX_RUNS:
        raise LocalFault(
            f"{len(study.points)} points with {len(seeds)} seeds are {study.runs} runs, allowed is {MAX_RUNS}"
        )
    for point in range(len(study.points)):
        study.at(point)
    return study


def plain(values: Span | tuple[Any, ...]) -> Any:
    """Return the range or values of a swept key in JSON types."""
    return values.model_dump() if isinstance(values, Span) else list(values)
