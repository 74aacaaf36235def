"""The `derelayl sim` command.

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
from .scenarios.load import MAX_ROUNDS, MAX_SAMPLES, MAX_SEEDS, Scenario, SweepSettings, load, names

if TYPE_CHECKING:
    from .study.plan import Study
    from .study.results import Results

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
"""Exit statuses, the last as shells have it after Ctrl-C."""

app = typer.Typer(name="sim", help="Simulate the incentives of a relay.", no_args_is_help=True)

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


@app.command("list")
def list_scenarios(as_json: Json = False) -> None:
    """List the scenarios and the question that each answers."""
    with _one_sentence():
        scenarios = [load(name) for name in names()]
    if as_json:
        rows = [
            each.model_dump(mode="json", include={"name", "question", "rules", "rounds", "seeds"}) for each in scenarios
        ]
        _print_json(rows)
        return
    width = max((len(each.name) for each in scenarios), default=0) + 2
    for each in scenarios:
        typer.echo(f"{each.name:<{width}}{' '.join(each.question.split())}")


@app.command("strategies")
def list_strategies(as_json: Json = False) -> None:
    """List what people can do: the strategies of a scenario's groups, those of installed plug-ins last."""
    from .world.strategies import listed

    _print_rows(("role", "name", "summary"), listed(), as_json)


@app.command("figures")
def list_figures(as_json: Json = False) -> None:
    """List the figures of a report; those of installed plug-ins come last and are drawn with `report --figure NAME`."""
    from derelayl_plugins import FIGURES as GROUP
    from derelayl_plugins import plugins

    from .show.figures import FIGURES, PEOPLE, SEARCHED

    own = {**FIGURES, PEOPLE: {**FIGURES[PEOPLE], **SEARCHED}}
    rows = [(chapter, name, "") for chapter, names in own.items() for name in names]
    rows += [("plug-in", each.name, f"of {each.distribution}") for some in plugins(GROUP).values() for each in some]
    _print_rows(("chapter", "name", "summary"), rows, as_json)


@app.command("run")
def run_scenario(
    name: ScenarioName,
    values: Values = None,
    rules: Rules = None,
    seeds: Seeds = None,
    rounds: Rounds = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to keep the runs in; finished ones are not played again.")
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Also try deviations and look for equilibria (slower).")
    ] = False,
    jobs: Jobs = None,
    ray: Cluster = None,
    as_json: Json = False,
) -> None:
    """Play a scenario over many seeds, judge it, and compare it with what was published, if anything was."""
    from .show.presentation import print_run, run_document
    from .study.plan import plan
    from .study.reproduction import comparable, reproduce
    from .study.verdict import judge

    scenario, changed = _scenario(name, values, rounds, rules)
    with _one_sentence(), _folder(out) as folder:
        results = _collect(plan(scenario, range(seeds or scenario.seeds), changed), folder, jobs, ray, out is not None)
        if as_json:
            _print_json(run_document(results))
            return
        deviations = _search(results) if search else None
        reproduction = reproduce(results, comparable(results))
        print_run(results, reproduction, judge(results, deviations))
        complaint = reproduction.complaint()
    if out is not None:
        typer.echo(f"The runs are in {out}; `derelayl sim report {out}` draws them.")
    if complaint:
        _fail(complaint)


@app.command("sweep")
def sweep_scenario(
    name: ScenarioName,
    out: Annotated[Path, typer.Option(help="Folder to keep the runs in; the same sweep goes on where it was.")],
    over: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=LOW:HIGH[:N]|A,B,C", help="What to vary, instead of the scenario's own; repeatable."),
    ] = None,
    method: Annotated[Method | None, typer.Option(help="How the points are chosen.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, max=MAX_SAMPLES, help="Points of latin, base points of sobol.")
    ] = None,
    values: Values = None,
    rules: Rules = None,
    seeds: Seeds = None,
    rounds: Rounds = None,
    jobs: Jobs = None,
    ray: Cluster = None,
    as_json: Json = False,
) -> None:
    """Play a scenario at many points of its parameters."""
    from .show.presentation import print_points, sweep_document
    from .study.plan import plan

    scenario, changed = _scenario(name, values, rounds, rules)
    with _one_sentence():
        settings = _sweep(scenario, over, method, samples)
        study = plan(scenario, range(seeds or scenario.seeds), changed, settings)
        results = _collect(study, out, jobs, ray, True)
    if as_json:
        _print_json(sweep_document(results))
    else:
        print_points(results)
        typer.echo(f"The runs are in {out}; `derelayl sim report {out}` draws them.")


@app.command("compare")
def compare_scenarios(
    first: Annotated[str, typer.Argument(metavar="A", help="A scenario, or a folder of results.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    values: Values = None,
    rules: Rules = None,
    seeds: Seeds = None,
    rounds: Rounds = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Set two scenarios, or two folders of results, side by side, with intervals of the differences."""
    from .show.presentation import compare_document, print_comparison
    from .study.comparison import compare
    from .study.plan import plan
    from .study.results import META, open_results

    with _one_sentence(), _folder(None) as folder:
        # Both are checked before either is played.
        asked = [
            None if (Path(name) / META).exists() else _scenario(name, values, rounds, rules) for name in (first, second)
        ]
        both = []
        for name, given in zip((first, second), asked, strict=True):
            if given is None:
                both.append(open_results(Path(name)))
                continue
            study = plan(given[0], range(seeds or given[0].seeds), given[1])
            both.append(_collect(study, folder / str(len(both)), jobs, None, False))
        compared = compare(both[0], both[1])
        if as_json:
            _print_json(compare_document((first, second), both, compared))
        else:
            print_comparison((first, second), both, compared)


@app.command("calibrate")
def calibrate(
    reports: Annotated[
        list[Path], typer.Argument(metavar="REPORT …", help="report.json of `derelayl demo`, one or several.")
    ],
    as_json: Json = False,
) -> None:
    """Fit how much legs gain to reports of real relays; prints the [world.learning] of a scenario."""
    from .world.calibration import FITTED, read_reports
    from .world.calibration import calibrate as fit

    with _one_sentence():
        found = fit(read_reports(reports))
    values = found.learning.model_dump(mode="json", include=set(FITTED))
    if as_json:
        _print_json({"legs": found.legs, "delivered": found.delivered, "learning": values})
        return
    typer.echo(f"# fitted to {found.legs} judged legs; {found.delivered:.0%} of the leases were delivered")
    typer.echo("[world.learning]\n" + "\n".join(f"{name} = {value}" for name, value in values.items()))


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of results.")],
    figure: Annotated[
        list[str] | None, typer.Option("--figure", metavar="NAME", help="Also a plug-in's figure; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw every figure that a folder of results has the data for, and write one page with all of them."""
    from .show.presentation import verdict_document
    from .show.report.build import build, verdict_of
    from .study.results import open_results

    with _one_sentence():
        results = open_results(folder)
        page, figures = build(results, figure or ())
        verdict = verdict_document(results, verdict_of(results))
    if as_json:
        _print_json({"report": str(page), "figures": [str(path) for path in figures], "verdict": verdict})
    else:
        typer.echo(f"{page} and {len(figures)} figures beside it")


def _scenario(
    name: str, values: list[str] | None, rounds: int | None, rules: str | None
) -> tuple[Scenario, dict[str, Any]]:
    """Return the scenario with the rules and values given, and what is changed thereby by its full key."""
    if Path(name).suffix != ".toml" and name not in names():
        _fail(f"no scenario is called {name!r}; there are {', '.join(names())}, or name a .toml file", WRONG_USAGE)
    with _one_sentence():
        scenario = load(name)
    changed: dict[str, Any] = {}
    for text in values or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            _fail(f"--set {text} has no value; write KEY=VALUE", WRONG_USAGE)
        changed[expand(key, scenario.rules)] = parse(value)
    if rounds is not None:
        changed["rounds"] = rounds
    with _one_sentence():
        other = (scenario if rules is None else _under(scenario, rules, changed)).with_values(changed)
        return other, other.differences(scenario)


def _under(scenario: Scenario, given: str, changed: dict[str, Any]) -> Scenario:
    """Return the scenario with a model's rules; say on standard error which of them have no effect."""
    rules = find_rules(given, lambda name: Path(name).read_text(encoding="utf-8-sig"))
    finer = {key: value for key, value in changed.items() if key == "ledger.wei_per_coin"}
    other = scenario.with_values(finer).under(rules)
    typer.echo(f"note: {not_played(rules)}", err=True)
    return other


def _sweep(scenario: Scenario, over: list[str] | None, method: Method | None, samples: int | None) -> SweepSettings:
    """Return the scenario's sweep with what the options say instead."""
    document: dict[str, Any] = scenario.sweep.model_dump(mode="json") if scenario.sweep else {}
    if over:
        document["over"] = dict(_values(text) for text in over)
    if not document.get("over"):
        raise LocalFault(f"the scenario {scenario.name} has no [sweep]: say what to vary with --over KEY=LOW:HIGH")
    document |= {key: value for key, value in (("method", method), ("samples", samples)) if value is not None}
    checked = scenario.with_values({"sweep": document}).sweep
    assert checked is not None
    return checked


def _values(text: str) -> tuple[str, dict[str, Any] | list[Any]]:
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


def _collect(study: Study, folder: Path, jobs: int | None, ray: str | None, kept: bool) -> Results:
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
            return collect(study, folder, jobs or os.cpu_count() or 1, ray, advance)
    except KeyboardInterrupt:
        where = f"; they are kept in {folder}, the same command goes on from there" if kept else ""
        _fail(f"interrupted after {finished} of {study.runs} runs{where}", INTERRUPTED)
    except OSError as error:
        where = f"; {finished} of {study.runs} runs are kept in {folder}" if kept else ""
        _fail(f"{error.strerror or error}{where}")


def _search(results: Results) -> dict[str, list[float]]:
    """Try deviations and look for equilibria, and say on a terminal what is being done."""
    from .search.searches import look

    console = Console(stderr=True)
    if not console.is_terminal:
        return look(results).gains()
    with console.status("deviations") as status:
        return look(results, status.update).gains()


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Yield the folder asked for, or one that is gone afterwards."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="derelayl-sim-") as temporary:
        yield Path(temporary) / "runs"


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn what a user can do something about into one sentence and exit status 1."""
    try:
        yield
    except (ProtocolError, OSError) as error:
        _fail(error.strerror or str(error) if isinstance(error, OSError) else str(error), cause=error)


def _print_rows(heads: Sequence[str], rows: Sequence[tuple[str, ...]], as_json: bool) -> None:
    if as_json:
        _print_json([dict(zip(heads, row, strict=True)) for row in rows])
        return
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def _fail(sentence: str, status: int = FAILED, cause: Exception | None = None) -> NoReturn:
    typer.echo(f"error: {' '.join(sentence.split())}", err=True)
    raise typer.Exit(status) from cause


if __name__ == "__main__":
    app()
