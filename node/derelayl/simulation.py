"""Playing a scenario of the simulator from Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from polars import DataFrame

from derelayl_protocol.ledger.rules import Rules
from derelayl_simulations.scenarios.load import load
from derelayl_simulations.study.collect import collect
from derelayl_simulations.study.plan import plan
from derelayl_simulations.study.verdict import Answer, Statement, judge, overall


@dataclass(frozen=True, slots=True)
class Simulation:
    """What came of a scenario: the claims with their answers, and the tables they were drawn from.

    `rounds` has a row for each run and round, `people` one for each run and participant at the end. Claims that need
    more seeds are UNDECIDED; whether deviating pays is not measured here (`derelayl sim run --search` does).
    """

    claims: list[Statement]
    rounds: DataFrame
    people: DataFrame

    @property
    def answer(self) -> Answer:
        """YES if every measured claim holds, NO if one does not, else UNDECIDED."""
        return overall(self.claims)


def simulate(
    scenario: str | Path,
    *,
    rules: Rules | None = None,
    seeds: int | None = None,
    values: Mapping[str, Any] | None = None,
    processes: int = 1,
    keep: Path | None = None,
) -> Simulation:
    """Play a scenario, by name (`derelayl sim list`) or TOML file, with the seeds 0, 1, …; the same call, same result.

    `rules` are a model's, instead of the scenario's own; the simulator has neither segments nor a clock. `values`
    changes dotted keys, e.g. `{"rounds": 50, "world.participants": 60}`. With `keep`, the runs stay in that folder for
    `derelayl sim report`, and finished ones are not played again. Raises LocalFault, OSError (disk).
    """
    own = load(scenario)
    played = (own if rules is None else own.under(rules)).with_values(values or {})
    study = plan(played, range(played.seeds if seeds is None else seeds), played.differences(own))
    with TemporaryDirectory(prefix="derelayl-") as scratch:
        results = collect(study, keep or Path(scratch) / "runs", processes)
        return Simulation(judge(results), results.rounds(), results.people())
