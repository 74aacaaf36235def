"""What the commands print: tables for people, documents for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console
from rich.table import Table

from ..columns import WHOLE
from ..published.golden import MINIMUM_SEEDS
from ..study.comparison import Compared
from ..study.outcomes import LISTED, outcomes
from ..study.reproduction import Measured, Reproduction
from ..study.results import Results
from ..study.statistics import Interval
from ..study.verdict import RULES, WORLD, Statement, decided, overall, unsubsidised

if TYPE_CHECKING:
    from ..scenarios.load import Scenario
    from ..search.coalition import Coalition

FEES = ("fees a round and relay, money", "relays alive", "on fees alone")
"""Columns of a sweep in which the subsidy ends."""

NOT_RUN = "NOT WHAT THE CONTRACT RUNS"


def run_document(results: Results) -> dict[str, Any]:
    """Return what `derelayl sim run --json` prints."""
    scenario = results.study.at(0)
    rows = outcomes(results, 0)
    for name in LISTED:
        if name not in rows.columns:
            rows = rows.with_columns(pl.lit(None).alias(name))
    whole = [pl.col(name).cast(pl.Int64) for name in LISTED if name in WHOLE]
    listed = rows.select("seed", "rounds", "extinct_round", *LISTED).with_columns(whole)
    return {
        "scenario": scenario.name,
        "not_run": list(results.study.not_run()),
        "parameters": scenario.parameters(),
        "runs": listed.to_dicts(),
    }


def sweep_document(results: Results) -> dict[str, Any]:
    """Return what `derelayl sim sweep --json` prints: one entry a point, means over its seeds."""
    rows = outcomes(results)
    points = []
    for point, values in enumerate(results.study.points):
        of_point = rows.filter(rows["point"] == point)
        means = {
            name: of_point[name].cast(pl.Float64).mean() for name in ("alive", *LISTED) if name in of_point.columns
        }
        alive, fees = unsubsidised(results, point)
        spent = {} if alive.found is None else {"on_fees_alone": _interval(alive.found), "answer": alive.answer}
        paid = {} if math.isnan(fees) else {"fees": fees}
        points.append({"values": values, "seeds": len(of_point), "means": means, **paid, **spent})
    study = results.study
    return {
        "scenario": study.scenario.name,
        "not_run": list(study.not_run()),
        "method": study.method,
        "seeds": list(study.seeds),
        "points": points,
    }


def compare_document(names: Sequence[str], both: Sequence[Results], compared: Sequence[Compared]) -> dict[str, Any]:
    """Return what `derelayl sim compare --json` prints."""
    rows = [
        {
            "column": row.column,
            "first": _interval(row.first),
            "second": _interval(row.second),
            "difference": _interval(row.difference),
            "paired": row.paired,
            "clear": row.clear,
        }
        for row in compared
    ]
    not_run = {place: list(each.study.not_run()) for place, each in zip(("first", "second"), both, strict=True)}
    return {"first": names[0], "second": names[1], "not_run": not_run, "columns": rows}


def verdict_document(results: Results, statements: Sequence[Statement]) -> dict[str, Any]:
    """Return a verdict in JSON types."""
    claims = [asdict(each) | {"found": each.found and _interval(each.found)} for each in statements]
    answers = {f"by_{who.split()[1]}": answer for who, answer in decided(statements).items()}
    not_run = list(results.study.not_run())
    return {"sustainable": overall(statements), **answers, "not_run": not_run, "claims": claims}


def print_run(results: Results, reproduction: Reproduction, statements: Sequence[Statement]) -> None:
    """Print what was measured, what the published numbers say to it and the verdict."""
    study = results.study
    scenario = study.at(0)
    console = Console()
    table = Table(title=f"{scenario.name}: {len(study.seeds)} seeds, {scenario.rounds} rounds{mark(results)}")
    table.add_column("round", justify="right")
    table.add_column("quantity")
    table.add_column("mean ± standard error", justify="right")
    table.add_column("published", justify="right")
    table.add_column("check")
    last = 0
    for row in reproduction.measured:
        if not math.isnan(row.mean):
            if row.round != last:
                table.add_section()
            table.add_row(str(row.round) if row.round != last else "", row.column, *_cells(row))
            last = row.round
    console.print(table)
    _print_notes(console, results, reproduction)
    print_verdict(results, statements)


def mark(results: Results) -> str:
    """Return the words that go with everything shown of a run by rules that nobody runs; nothing with others."""
    not_run = results.study.not_run()
    return f"\n{NOT_RUN}: {'; '.join(not_run)}" if not_run else ""


def print_verdict(results: Results, statements: Sequence[Statement]) -> None:
    """Print the claims of a verdict."""
    answers = ", ".join(f"what {who} decide{'' if who == RULES else 's'}: {answer.value}"
                        for who, answer in decided(statements).items())  # fmt: skip
    table = Table(title=f"sustainable: {overall(statements).value}\n{answers}{mark(results)}")
    for name in ("claim", "estimate", "interval", "unit", "answer"):
        table.add_column(name, justify="right" if name in ("estimate", "interval") else "left")
    for who in (RULES, WORLD):
        table.add_section()
        table.add_row(f"[bold]{who} decide{'' if who == RULES else 's'}")
        for each in (each for each in statements if each.decided_by == who):
            estimate, interval = ("", "") if each.found is None else (number(each.found.estimate), span(each.found))
            table.add_row(each.claim, estimate, interval, each.unit, each.answer.value)
    Console().print(table)
    for each in statements:
        if each.bound:
            Console().print(f"{each.claim}: {each.bound}", highlight=False)


def print_points(results: Results) -> None:
    """Print one line a point of a sweep."""
    keys, columns = list(results.study.over), ("alive", "owners", "models", "supply", "gini")
    study = results.study
    table = Table(title=f"{study.scenario.name}: {len(study.points)} points by {study.method}{mark(results)}")
    points = sweep_document(results)["points"]
    spent = any("on_fees_alone" in point for point in points)
    for name in (*keys, *columns, *(FEES if spent else ())):
        table.add_column(name, justify="right")
    for point in points:
        given = [str(point["values"].get(key, "")) for key in keys]
        cells = [number(point["means"].get(name)) for name in columns]
        if spent:
            found = point.get("on_fees_alone", {"estimate": None})
            cells += [number(point.get("fees")), number(found["estimate"]), point.get("answer", "")]
        table.add_row(*given, *cells)
    Console().print(table)


def print_comparison(names: Sequence[str], both: Sequence[Results], compared: Sequence[Compared]) -> None:
    """Print two studies side by side."""
    how = "paired by seed" if compared and compared[0].paired else "independent seeds"
    marks = "".join(f"{mark(each)} ({name})" for name, each in zip(names, both, strict=True) if mark(each))
    table = Table(title=f"{names[1]} against {names[0]} ({how}){marks}")
    for name in ("column", names[0], names[1], "difference", "interval", ""):
        table.add_column(name, justify="left" if name in ("column", "") else "right")
    for row in compared:
        cells = (number(row.first.estimate), number(row.second.estimate), number(row.difference.estimate))
        table.add_row(row.column, *cells, span(row.difference), "*" if row.clear else "")
    Console().print(table)
    Console().print("* the interval of the difference leaves zero out", highlight=False)


def coalition_document(
    scenario: Scenario, played: tuple[str, str], found: Sequence[Coalition], least: Coalition | None
) -> dict[str, Any]:
    """Return what `derelayl sim coalition --json` prints."""
    rows = [asdict(each) | {"gain": _interval(each.gain)} for each in found]
    names = {"trainers": played[0], "validators": played[1]}
    smallest = None if least is None else least.share
    heads = {"scenario": scenario.name, "not_run": list(scenario.not_run()), "strategies": names}
    return {**heads, "tolerance": scenario.search.tolerance, "smallest_that_pays": smallest, "coalitions": rows}


def print_coalitions(
    scenario: Scenario, played: tuple[str, str], found: Sequence[Coalition], least: Coalition | None
) -> None:
    """Print what coalitions of each size earn, and the smallest that pays."""
    marked = f"\n{NOT_RUN}: {'; '.join(scenario.not_run())}" if scenario.not_run() else ""
    table = Table(title=f"{scenario.name}: trainers {played[0]}, validators {played[1]}{marked}")
    for name in ("share", "trainers", "validators", "gain, money a round and person", "interval"):
        table.add_column(name, justify="right")
    for each in found:
        people = (str(each.trainers), str(each.validators))
        table.add_row(f"{each.share:g}", *people, number(each.gain.estimate), span(each.gain))
    console = Console()
    console.print(table)
    more = f"more than {scenario.search.tolerance:g}"
    if least is None:
        console.print(f"None of these sizes pays {more} for certain.", highlight=False)
    else:
        console.print(f"The smallest of these that pays {more} for certain: {least.share:.0%}.", highlight=False)


def number(value: float | None) -> str:
    """Write a number to four digits; nothing for what does not exist."""
    if value is None or math.isnan(value):
        return ""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def span(interval: Interval) -> str:
    """Write an interval's ends; nothing where one seed cannot say."""
    if math.isnan(interval.low):
        return ""
    return f"{number(interval.low)} … {number(interval.high)}"


def _interval(interval: Interval) -> dict[str, float | int | None]:
    return {name: None if math.isnan(value) else value for name, value in asdict(interval).items()}


def _cells(row: Measured) -> tuple[str, str, str]:
    error = "" if row.standard_error is None else f" ± {number(row.standard_error)}"
    golden = "" if row.golden is None else f"{row.golden.value:,.10g}"
    return f"{number(row.mean)}{error}", golden, "" if row.verdict is None else row.verdict.value


def _print_notes(console: Console, results: Results, reproduction: Reproduction) -> None:
    dead = {seed: n for seed, n in zip(results.study.seeds, results.extinct_rounds(), strict=False) if n is not None}
    if dead:
        when = ", ".join(f"seed {seed} in round {died}" for seed, died in list(dead.items())[:5])
        more = "" if len(dead) <= 5 else ", …"
        console.print(
            f"{len(dead)} of {reproduction.seeds} seeds died out ({when}{more}); means are over those alive.",
            highlight=False,
        )
    if reproduction.due and reproduction.seeds < MINIMUM_SEEDS:
        console.print(f"Too few seeds to judge the published numbers: use --seeds {MINIMUM_SEEDS} or more.")
    elif reproduction.due:
        agree = reproduction.checked - len(reproduction.off)
        console.print(f"{agree} of {reproduction.checked} published numbers agree.", highlight=False)
