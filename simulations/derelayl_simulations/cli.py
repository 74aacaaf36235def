"""The `derelayl sim` command."""

from __future__ import annotations

import json
import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from derelayl_protocol.errors import ProtocolError

from .golden import MINIMUM_SEEDS
from .output import check_folder, write_run
from .report import Measured, Summary, summarise
from .runner import MAX_ROUNDS, run_many
from .scenarios import SCENARIOS, Scenario

app = typer.Typer(name="sim", help="Simulate the incentives of a relay.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command("list")
def list_scenarios(as_json: Json = False) -> None:
    """List the scenarios."""
    scenarios = [make() for make in SCENARIOS.values()]
    if as_json:
        rows = [{"name": each.name, "rounds": each.rounds, "summary": each.summary} for each in scenarios]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for each in scenarios:
        typer.echo(f"{each.name:<18} {each.summary}")


@app.command("run")
def run_scenario(
    name: Annotated[str, typer.Argument(metavar="SCENARIO", help="One of `derelayl sim list`.")],
    seeds: Annotated[int, typer.Option(min=1, help="Independent runs, with the seeds 0, 1, 2, …")] = 20,
    rounds: Annotated[int | None, typer.Option(min=1, max=MAX_ROUNDS, help="Instead of the scenario's own.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for rounds.csv, summary.json and the two figures.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; at most, and by default, one per core.")] = None,
    as_json: Json = False,
) -> None:
    """Run a scenario over many seeds and compare it with what was published, if anything was."""
    scenario = _scenario(name)
    try:
        if out is not None:
            check_folder(out)
        summary = _run(scenario, rounds or scenario.rounds, seeds, jobs or os.cpu_count() or 1, out)
    except (ProtocolError, OSError, BrokenProcessPool) as error:
        _fail(str(error), error)
    if as_json:
        typer.echo(json.dumps(summary.document(), indent=2, ensure_ascii=False))
    else:
        _print_summary(summary)
    if summary.off:
        which = ", ".join(f"{row.column} at round {row.round}" for row in summary.off)
        _fail(f"{len(summary.off)} of {summary.checked} published numbers are off: {which}", None)
    # Dying out is a disagreement too: else a mechanism that never survives would have nothing to be wrong about.
    if summary.unjudged and seeds >= MINIMUM_SEEDS:
        why = f"fewer than {MINIMUM_SEEDS} of {seeds} seeds survive that long"
        _fail(f"{summary.unjudged} published numbers cannot be compared: {why}", None)


def _scenario(name: str) -> Scenario:
    if name not in SCENARIOS:
        raise typer.BadParameter(f"no scenario is called {name!r}; there are {', '.join(SCENARIOS)}")
    return SCENARIOS[name]()


def _run(scenario: Scenario, rounds: int, seeds: int, jobs: int, out: Path | None) -> Summary:
    progress = Console(stderr=True)
    results = list(
        track(
            run_many(scenario.parameters, rounds, range(seeds), jobs),
            description=f"{scenario.name}, {rounds} rounds",
            total=seeds,
            console=progress,
            transient=True,
            disable=not progress.is_terminal,
        )
    )
    results.sort(key=lambda result: result.seed)
    summary = summarise(scenario, results)
    if out is not None:
        write_run(out, results, summary)
    return summary


def _print_summary(summary: Summary) -> None:
    table = Table(title=f"{summary.scenario.name}: {len(summary.seeds)} seeds, {summary.rounds} rounds")
    table.add_column("round", justify="right")
    table.add_column("quantity")
    table.add_column("mean ± standard error", justify="right")
    table.add_column("published", justify="right")
    table.add_column("check")
    last = 0
    for row in summary.measured:
        if row.round != last:
            table.add_section()
        table.add_row(str(row.round) if row.round != last else "", row.column, *_cells(row))
        last = row.round
    Console().print(table)
    _print_notes(summary)


def _cells(row: Measured) -> tuple[str, str, str]:
    error = "" if row.standard_error is None else f" ± {_number(row.standard_error)}"
    verdict = "" if row.verdict is None else row.verdict.value
    return f"{_number(row.mean)}{error}", "" if row.golden is None else f"{row.golden:,.10g}", verdict


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _print_notes(summary: Summary) -> None:
    if summary.died_out:
        when = ", ".join(f"seed {seed} in round {dead}" for seed, dead in list(summary.died_out.items())[:5])
        more = "" if len(summary.died_out) <= 5 else ", …"
        typer.echo(f"{len(summary.died_out)} of {len(summary.seeds)} seeds died out ({when}{more}); "
                   "means are over those alive.")  # fmt: skip
    if summary.unjudged and len(summary.seeds) < MINIMUM_SEEDS:
        typer.echo(f"Too few seeds to judge the published numbers: use --seeds {MINIMUM_SEEDS} or more.")
    elif summary.checked:
        typer.echo(f"{summary.checked - len(summary.off)} of {summary.checked} published numbers agree.")


def _fail(sentence: str, cause: Exception | None) -> NoReturn:
    typer.echo(f"error: {sentence}", err=True)
    raise typer.Exit(1) from cause


if __name__ == "__main__":
    app()
