"""What the commands of `derelayl sim` share: their options, what they read, how runs are played and faults are told.

What is slow to import (statistics, Parquet) is imported where it is needed: `derelayl --help` loads this file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from derelayl_protocol.errors import LocalFault, ProtocolError
from derelayl_protocol.ledger.rules_file import find_rules

from .ledger.settings import not_played
from .scenarios.dotted import expand, parse
from .scenarios.load import MAX_ROUNDS, MAX_SEEDS, Scenario, SweepSettings, load, names

if TYPE_CHECKING:
    from .study.execute import Play
    from .study.plan import Study
    from .study.results import Results

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
"""Exit statuses, the last as shells have it after Ctrl-C."""

ScenarioName = Annotated[str, typer.Argument(metavar="SCENARIO", help="One of `derelayl sim list`, or a TOML file.")]
Values = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another value, e.g. k=3 or world.demand.consumers=5; repeatable."),
]
Rules = Annotated[
    str | None,
    typer.Option(
        "--rules",
        metavar="PRESET|FILE",
        help="A model's rules, as `model create --rules` takes them; --set goes on top.",
    ),
]
Seeds = Annotated[int | None, typer.Option(min=1, max=MAX_SEEDS, help="Runs, with the seeds 0, 1, 2, …")]
Rounds = Annotated[int | None, typer.Option(min=1, max=MAX_ROUNDS, help="Instead of the scenario's own.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes; at most, and by default, one per core.")]
Cluster = Annotated[
    str | None, typer.Option("--ray", metavar="ADDRESS", help="Run on a Ray cluster; `local` makes one.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Method = Literal["grid", "latin", "sobol", "one-at-a-time"]


def scenario_of(
    name: str, values: list[str] | None, rounds: int | None, rules: str | None
) -> tuple[Scenario, dict[str, Any]]:
    """Return the scenario with the rules and values given, and what is changed thereby by its full key."""
    if Path(name).suffix != ".toml" and name not in names():
        fail(f"no scenario is called {name!r}; there are {', '.join(names())}, or name a .toml file", WRONG_USAGE)
    with one_sentence():
        scenario = load(name)
    changed: dict[str, Any] = {}
    for text in values or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            fail(f"--set {text} has no value; write KEY=VALUE", WRONG_USAGE)
        changed[expand(key, scenario.rules)] = parse(value)
    if rounds is not None:
        changed["rounds"] = rounds
    with one_sentence():
        other = (scenario if rules is None else _under(scenario, rules, changed)).with_values(changed)
        return other, other.differences(scenario)


def _under(scenario: Scenario, given: str, changed: dict[str, Any]) -> Scenario:
    """Return the scenario with a model's rules; say on standard error which of them have no effect."""
    rules = find_rules(given, lambda name: Path(name).read_text(encoding="utf-8-sig"))
    finer = {key: value for key, value in changed.items() if key == "ledger.wei_per_coin"}
    other = scenario.with_values(finer).under(rules)
    typer.echo(f"note: {not_played(rules)}", err=True)
    return other


def sweep_of(scenario: Scenario, over: list[str] | None, method: Method | None, samples: int | None) -> SweepSettings:
    """Return the scenario's sweep with what the options say instead."""
    document: dict[str, Any] = scenario.sweep.model_dump(mode="json") if scenario.sweep else {}
    if over:
        document["over"] = dict(values_of(text) for text in over)
    if not document.get("over"):
        raise LocalFault(f"the scenario {scenario.name} has no [sweep]: say what to vary with --over KEY=LOW:HIGH")
    document |= {key: value for key, value in (("method", method), ("samples", samples)) if value is not None}
    checked = scenario.with_values({"sweep": document}).sweep
    assert checked is not None
    return checked


def values_of(text: str) -> tuple[str, dict[str, Any] | list[Any]]:
    """Read KEY=LOW:HIGH, KEY=LOW:HIGH:STEPS or KEY=A,B,C."""
    key, equals, given = text.partition("=")
    if not equals or not key or not given:
        raise LocalFault(f"--over {text} has no values; write KEY=LOW:HIGH, KEY=LOW:HIGH:STEPS or KEY=A,B,C")
    if ":" not in given:
        return key, [parse(value) for value in given.split(",")]
    low, high, *steps = (parse(part) for part in given.split(":"))
    if len(steps) > 1:
        raise LocalFault(f"--over {text} has more than LOW:HIGH:STEPS")
    span = {"low": low, "high": high}
    return key, {**span, "steps": steps[0]} if steps else span


def collect_runs(
    study: Study, folder: Path, jobs: int | None, ray: str | None, kept: bool, how: Play | None = None
) -> Results:
    """Play a study with a progress bar on a terminal; an interruption says what is kept and exits with 130."""
    from .study.collect import collect

    finished = 0
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True, disable=not Console(stderr=True).is_terminal,
    )  # fmt: skip
    task = progress.add_task(study.scenario.name, total=study.runs)

    def advance(done: int) -> None:
        nonlocal finished
        finished = done
        progress.update(task, completed=done)

    try:
        with progress:
            options = {} if how is None else {"how": how}
            return collect(study, folder, jobs or os.cpu_count() or 1, ray, advance, **options)
    except KeyboardInterrupt:
        where = f"; they are kept in {folder}, the same command goes on from there" if kept else ""
        fail(f"interrupted after {finished} of {study.runs} runs{where}", INTERRUPTED)
    except OSError as error:
        where = f"; {finished} of {study.runs} runs are kept in {folder}" if kept else ""
        fail(f"{error.strerror or error}{where}")


@contextmanager
def folder_of(out: Path | None) -> Iterator[Path]:
    """Yield the folder asked for, or one that is gone afterwards."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="derelayl-sim-") as temporary:
        yield Path(temporary) / "runs"


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what a user can do something about into one sentence and exit status 1."""
    try:
        yield
    except (ProtocolError, OSError) as error:
        fail(error.strerror or str(error) if isinstance(error, OSError) else str(error), cause=error)


def print_rows(heads: Sequence[str], rows: Sequence[tuple[str, ...]], as_json: bool) -> None:
    if as_json:
        print_json([dict(zip(heads, row, strict=True)) for row in rows])
        return
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def fail(sentence: str, status: int = FAILED, cause: Exception | None = None) -> NoReturn:
    typer.echo(f"error: {' '.join(sentence.split())}", err=True)
    raise typer.Exit(status) from cause
