"""The commands of `derelayl sim` that choose rules: what they could be, and what people would do under them."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from .console import (
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
    one_sentence,
    print_json,
    scenario_of,
    sweep_of,
)
from .scenarios.load import MAX_SAMPLES

MAX_GENERATIONS = 100  # of refined points; the front hardly moves after a few
MAX_PLAYERS = 12  # parts of a role's people; a relay of the shipped scenarios has twelve validators


def optimise_rules(
    names: Annotated[
        list[str], typer.Argument(metavar="SCENARIO …", help="The worlds: scenarios, or TOML files. The worst counts.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to keep the runs in; the same command goes on where it was.")],
    over: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=LOW:HIGH|A,B,C", help="What to vary, instead of the first scenario's own sweep."),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(metavar="NAME,…", help="What to improve: deviation, median, concentration, quality, owner, "
                     "validator, gini, alive, or a strategy for what it gains."),
    ] = "deviation,median,concentration,quality",
    constraint: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME>=NUMBER", help="A bound to keep, instead of alive>=0.8 and validator>0."),
    ] = None,
    method: Annotated[Method, typer.Option(help="How the first points are chosen.")] = "latin",
    points: Annotated[int, typer.Option(min=1, max=MAX_SAMPLES, help="Points of latin, base points of sobol.")] = 64,
    refine: Annotated[
        int, typer.Option(min=0, max=MAX_GENERATIONS, help="Generations more around the front, each half as large.")
    ] = 1,
    values: Values = None,
    rules: Rules = None,
    seeds: Seeds = None,
    rounds: Rounds = None,
    jobs: Jobs = None,
    ray: Cluster = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Look for rules that do well in the worst of several worlds; the front and the scenarios' own rules beside it."""
    from .search.objectives import CONSTRAINTS, probe
    from .search.objectives import constraint as read
    from .search.objectives import measure as named
    from .search.optimise import Task, optimise
    from .show.figures.front import draw_front
    from .show.optimised import optimised_document, print_optimised, standing
    from .study.results import open_results, write_whole

    worlds, changed = zip(*(scenario_of(name, values, rounds, rules) for name in names), strict=True)
    with one_sentence():
        first = worlds[0]
        task = Task(
            worlds,
            changed,
            sweep_of(first, over, method, points),
            tuple(named(each, first) for each in dict.fromkeys(objective.split(","))),
            tuple(read(each, first) for each in (CONSTRAINTS if constraint is None else constraint)),
            tuple(range(seeds or first.seeds)),
            refine,
        )
        found = optimise(task, out, lambda study, folder: collect_runs(study, folder, jobs, ray, True, probe))
        drawing = draw_front(open_results(out / "0" / first.name), found, standing(found))
        write_whole(out / f"{drawing.name}.png", drawing.png)
    if as_json:
        print_json(optimised_document(found))
    else:
        print_optimised(found)
        typer.echo(f"All points are in {out / 'points.parquet'}, drawn in {out / drawing.name}.png.")


def find_equilibria(
    name: ScenarioName,
    strategies: Annotated[
        str, typer.Option(metavar="NAME,…", help="What people choose among, besides honesty; see `sim strategies`.")
    ],
    players: Annotated[int, typer.Option(min=2, max=MAX_PLAYERS, help="Parts of the people that choose as one.")] = 4,
    apart: Annotated[
        bool, typer.Option("--apart", help="Trainers and validators choose apart, so that no part can be a ring.")
    ] = False,
    values: Values = None,
    rules: Rules = None,
    seeds: Seeds = None,
    as_json: Json = False,
) -> None:
    """Simulate all profiles of a few strategies: which mixtures nobody gains by leaving, and how sure that is."""
    from .search.equilibria import NO_OPEN_SPIEL, analyse, has_open_spiel
    from .search.game import game, simulate
    from .show.equilibria import equilibria_document, print_equilibria

    scenario, _ = scenario_of(name, values, None, rules)
    with one_sentence():
        played = game(strategies.split(","), players, apart)
        if not has_open_spiel():
            typer.echo(f"note: {NO_OPEN_SPIEL}", err=True)
        console = Console(stderr=True)
        with console.status(f"{len(played.profiles)} profiles") if console.is_terminal else nullcontext():
            found = analyse(played, simulate(played, scenario, range(seeds or scenario.seeds)))
    if as_json:
        print_json(equilibria_document(scenario, found))
    else:
        print_equilibria(scenario, found)


COMMANDS: dict[str, Any] = {"optimise": optimise_rules, "equilibria": find_equilibria}
