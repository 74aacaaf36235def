"""Deviations and equilibria of a scenario, kept beside the runs in search.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from derelayl_protocol.errors import LocalFault

from ..study.results import Results, write_whole
from .equilibrium import best_response, deviations_of, replicators

SEARCH = "search.json"
MOST_SEEDS = 60  # whose deviations are tried; every one plays all of them
STARTS = 3  # more ways of the replicator: from worlds full of the deviations that pay most
FULL = 0.8  # share of a deviation in such a world

Advance = Callable[[str], None]


class Record(BaseModel):
    """A part of search.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Tried(Record):
    """One deviation with one seed, money a round and person; see world.equilibrium.Deviation."""

    strategy: str
    roles: tuple[str, ...]
    people: int
    profit: float
    honest: float
    before: float

    @property
    def gain(self) -> float:
        """What deviating changes for those who deviate."""
        return self.profit - self.before


class Way(Record):
    """How the shares of strategies moved, (steps + 1, strategies)."""

    strategies: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    settled: bool | None = None  # of a best response: nobody found anything better at the end


class Searches(Record):
    """What was looked for and found."""

    seeds: tuple[int, ...]
    deviations: tuple[tuple[Tried, ...], ...]  # by seed
    best_response: Annotated[Way | None, Field()]  # of the first seed
    replicator: tuple[Way, ...]  # of the first seed, from different starts

    def gains(self) -> dict[str, list[float]]:
        """Return what each deviation changes for those who deviate, one value a seed."""
        gains: dict[str, list[float]] = {}
        for of_seed in self.deviations:
            for tried in of_seed:
                gains.setdefault(tried.strategy, []).append(tried.gain)
        return gains

    def against_honest(self) -> dict[str, list[float]]:
        """Return what those who deviate earn less what honest people of their roles do in the same world."""
        gains: dict[str, list[float]] = {}
        for of_seed in self.deviations:
            for tried in of_seed:
                gains.setdefault(tried.strategy, []).append(tried.profit - tried.honest)
        return gains


def look(results: Results, advance: Advance = lambda what: None) -> Searches:
    """Try the deviations and look for equilibria of a study's scenario, or return what is there already.

    `advance` is told what is being done. Raises LocalFault for the published rules, which know no strategies, and
    OSError if the disk refuses.
    """
    scenario, seeds = results.study.scenario, results.study.seeds[:MOST_SEEDS]
    if scenario.rules == "published":
        raise LocalFault(
            "--search tries deviations, but the published rules know no strategies; take a ledger scenario"
        )
    known = read(results.folder)
    if known is not None and known.seeds == seeds:
        return known
    advance("deviations")
    tried = [tuple(_tried(asdict(each)) for each in found.values()) for found in deviations_of(scenario, seeds)]
    advance("best response")
    response = best_response(scenario, seeds[0])
    way = Way(strategies=response.strategies, shares=_rows(response.shares()), settled=response.settled)
    found = Searches(seeds=seeds, deviations=tuple(tried), best_response=way, replicator=())
    advance("replicator")
    starts = _starts(found, scenario.search.control)
    ways = [Way(strategies=way.strategies, shares=_rows(way.shares)) for way in replicators(scenario, seeds[0], starts)]
    found = found.model_copy(update={"replicator": tuple(ways)})
    write_whole(results.folder / SEARCH, (found.model_dump_json(indent=1) + "\n").encode())
    return found


def read(folder: Path) -> Searches | None:
    """Return what search.json of a folder says, None if there is none. Raises LocalFault if it is not readable."""
    try:
        return Searches.model_validate(json.loads((folder / SEARCH).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValidationError, ValueError) as error:
        raise LocalFault(
            f"{folder / SEARCH} is not readable ({type(error).__name__}): delete it and search again"
        ) from None


def _tried(found: dict[str, Any]) -> Tried:
    return Tried(**found)


def _rows(shares: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in shares.tolist())


def _starts(found: Searches, controls: Sequence[str]) -> list[dict[str, float] | None]:
    """Return where the replicator starts: mostly honest, then full of each trainers' deviation that pays most."""
    means = {name: sum(gains) / len(gains) for name, gains in found.gains().items()}
    roles = {tried.strategy: tried.roles for tried in found.deviations[0]}
    trainers = [name for name in means if roles.get(name) == ("trainer",) and name not in controls]
    most = sorted(trainers, key=lambda name: -means[name])[:STARTS]
    return [None, *({name: FULL, "honest": 1 - FULL} for name in most)]
