"""The `derelayl sim` command.

What is slow to import (statistics, Parquet) is imported where it is needed: `derelayl --help` loads this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from .calibration.command import calibrate
from .choosing import COMMANDS
from .console import (
    WRONG_USAGE,
    Cluster,
    Jobs,
    Json,
    Method,
    Rounds,
    Rules,
    ScenarioName,
    Seeds,
    Values,
    collect_runs,
    fail,
    folder_of,
    one_sentence,
    print_json,
    print_rows,
    scenario_of,
    sweep_of,
)
from .scenarios.dotted import parse
from .scenarios.load import MAX_SAMPLES, load, names

if TYPE_CHECKING:
    from .calibration.history import Reader
    from .study.results import Results

app = typer.Typer(name="sim", help="Simulate the incentives of a relay.", no_args_is_help=True)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


@app.command("list")
def list_scenarios(as_json: Json = False) -> None:
    """List the scenarios and the question that each answers."""
    with one_sentence():
        scenarios = [load(name) for name in names()]
    if as_json:
        rows = [
            each.model_dump(mode="json", include={"name", "question", "rules", "rounds", "seeds"}) for each in scenarios
        ]
        print_json(rows)
        return
    width = max((len(each.name) for each in scenarios), default=0) + 2
    for each in scenarios:
        typer.echo(f"{each.name:<{width}}{' '.join(each.question.split())}")


@app.command("strategies")
def list_strategies(as_json: Json = False) -> None:
    """List what people can do: the strategies of a scenario's groups, those of installed plug-ins last."""
    from .world.strategies import listed

    print_rows(("role", "name", "summary"), listed(), as_json)


@app.command("rules")
def list_rules(as_json: Json = False) -> None:
    """List the rules of a scenario's [mechanism]; what the contract runs comes first of its kind, plug-ins last."""
    from .ledger.mechanism import listed

    print_rows(("kind", "name", "summary"), listed(), as_json)


@app.command("figures")
def list_figures(as_json: Json = False) -> None:
    """List the figures of a report; those of installed plug-ins come last and are drawn with `report --figure NAME`."""
    from derelayl_plugins import FIGURES as GROUP
    from derelayl_plugins import plugins

    from .show.figures import FIGURES, PEOPLE, SEARCHED

    own = {**FIGURES, PEOPLE: {**FIGURES[PEOPLE], **SEARCHED}}
    rows = [(chapter, name, "") for chapter, names in own.items() for name in names]
    rows += [("plug-in", each.name, f"of {each.distribution}") for some in plugins(GROUP).values() for each in some]
    print_rows(("chapter", "name", "summary"), rows, as_json)


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

    scenario, changed = scenario_of(name, values, rounds, rules)
    with one_sentence(), folder_of(out) as folder:
        study = plan(scenario, range(seeds or scenario.seeds), changed)
        results = collect_runs(study, folder, jobs, ray, out is not None)
        if as_json:
            print_json(run_document(results))
            return
        deviations = _search(results) if search else None
        reproduction = reproduce(results, comparable(results))
        print_run(results, reproduction, judge(results, deviations))
        complaint = reproduction.complaint()
    if out is not None:
        typer.echo(f"The runs are in {out}; `derelayl sim report {out}` draws them.")
    if complaint:
        fail(complaint)


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

    scenario, changed = scenario_of(name, values, rounds, rules)
    with one_sentence():
        settings = sweep_of(scenario, over, method, samples)
        study = plan(scenario, range(seeds or scenario.seeds), changed, settings)
        results = collect_runs(study, out, jobs, ray, True)
    if as_json:
        print_json(sweep_document(results))
    else:
        print_points(results)
        typer.echo(f"The runs are in {out}; `derelayl sim report {out}` draws them.")


@app.command("coalition")
def try_coalitions(
    name: ScenarioName,
    strategy: Annotated[str, typer.Option(help="What the trainers of the coalition play; honest leaves them out.")],
    judges: Annotated[
        str | None, typer.Option(help="What its validators play; by default the ring's own judges, or nobody deviates.")
    ] = None,
    shares: Annotated[
        str, typer.Option(metavar="A,B,C", help="Of the trainers and of the validators that deviate.")
    ] = "0.05,0.1,0.2,0.3,0.4,0.5,0.6",
    values: Values = None,
    rules: Rules = None,
    seeds: Seeds = None,
    as_json: Json = False,
) -> None:
    """Find the smallest coalition of trainers and validators whose strategy pays."""
    from .search.coalition import coalitions, partner_of, smallest
    from .show.presentation import coalition_document, print_coalitions

    scenario, _ = scenario_of(name, values, None, rules)
    tried = [parse(share) for share in shares.split(",")]
    if not all(isinstance(share, int | float) and not isinstance(share, bool) for share in tried):
        fail(f"--shares {shares} are not numbers; write A,B,C", WRONG_USAGE)
    with one_sentence():
        partner = partner_of(strategy) if judges is None else judges
        found = coalitions(scenario, range(seeds or scenario.seeds), strategy, partner, tried)
    least = smallest(found, scenario.search.tolerance)
    if as_json:
        print_json(coalition_document(scenario, (strategy, partner), found, least))
    else:
        print_coalitions(scenario, (strategy, partner), found, least)


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

    with one_sentence(), folder_of(None) as folder:
        # Both are checked before either is played.
        asked = [
            None if (Path(name) / META).exists() else scenario_of(name, values, rounds, rules)
            for name in (first, second)
        ]
        both = []
        for name, given in zip((first, second), asked, strict=True):
            if given is None:
                both.append(open_results(Path(name)))
                continue
            study = plan(given[0], range(seeds or given[0].seeds), given[1])
            both.append(collect_runs(study, folder / str(len(both)), jobs, None, False))
        compared = compare(both[0], both[1])
        if as_json:
            print_json(compare_document((first, second), both, compared))
        else:
            print_comparison((first, second), both, compared)


app.command("calibrate")(calibrate)


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

    with one_sentence():
        results = open_results(folder)
        page, figures = build(results, figure or ())
        verdict = verdict_document(results, verdict_of(results))
    if as_json:
        print_json({"report": str(page), "figures": [str(path) for path in figures], "verdict": verdict})
    else:
        typer.echo(f"{page} and {len(figures)} figures beside it")


def mounted(read: Reader) -> typer.Typer:
    """Return the command with a way to read the ledger of a network, which the simulator knows nothing of."""

    def hand_over(context: typer.Context) -> None:
        context.obj = read

    app.callback()(hand_over)
    return app


def _search(results: Results) -> dict[str, list[float]]:
    """Try deviations and look for equilibria, and say on a terminal what is being done."""
    from .search.searches import look

    console = Console(stderr=True)
    if not console.is_terminal:
        return look(results).gains()
    with console.status("deviations") as status:
        return look(results, status.update).gains()


if __name__ == "__main__":
    app()
