"""make bench-learning: all tables of the learning side, or those named, with a progress bar and a resume.

    python -m benchmarks.learning [TABLE …] [--quick] [--seeds 3] [--resume] [--jobs 1] [--docs]

A quick run measures the smallest configuration of each table and writes nothing. A full run appends every finished case
to results/learning.partial.jsonl; `--resume` goes on from there, with cases of the same commit only unless
`--any-commit` is given. At the end of each table come results/learning-TABLE.json, docs/images/learning-TABLE.png and
the table in docs/LEARNING-TABLES.md. `--docs` only draws these from the JSON again.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.learning import report
from benchmarks.learning.flower import FlowerFailed
from benchmarks.learning.harness import TABLES, Partial, Table, find_table, jobs_of, measure_all, rows_of
from benchmarks.rows import COMMIT, RESULTS, write
from derelayl_protocol.errors import LocalFault
from derelayl_training.train import configure_torch

PARTIAL = RESULTS / "learning.partial.jsonl"


def main() -> int:
    asked = parse(sys.argv[1:])
    console = Console(stderr=True)
    if asked.docs:
        report.redraw(asked.tables)
        return 0
    configure_torch(threads=1)
    partial = Partial(PARTIAL)
    if not asked.quick and not asked.resume:
        partial.forget(asked.tables)
    failed = []
    for name in asked.tables:
        try:
            measure_table(find_table(name), asked, partial, console)
        except (FlowerFailed, LocalFault) as error:  # the other tables are still worth their time
            console.print(f"{name}: {error}", markup=False)
            failed.append(name)
    if failed:
        console.print(f"not measured to the end: {', '.join(failed)}")
    return 1 if failed else 0


def measure_table(table: Table, asked: argparse.Namespace, partial: Partial, console: Console) -> None:
    """Measure one table, from what is done already if asked to, and write its rows."""
    jobs = jobs_of(table, asked.seeds, asked.quick)
    accepted = (lambda _commit: True) if asked.any_commit else COMMIT.__eq__
    done = partial.read(accepted) if asked.resume and not asked.quick else {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(table.name, total=len(jobs), completed=sum(job in done for job in jobs))
        log = lambda text: bar.console.print(f"{table.name}: {text}", markup=False, highlight=False)  # noqa: E731
        for job, measured in measure_all(jobs, done, log, asked.jobs):
            done[job] = measured
            if not asked.quick:
                partial.add(job, measured)
            bar.advance(task)
            log(f"{job.case}, seed {job.seed}: done")
    rows = rows_of(table, jobs, done)
    if asked.quick:
        report.show(rows)
        return
    write(f"learning-{table.name}", rows)
    report.redraw([table.name])


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-learning", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="the smallest configuration; writes nothing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="processes that measure at the same time, a thread each")
    parser.add_argument("--resume", action="store_true", help="go on with what an interrupted run has finished")
    parser.add_argument("--any-commit", action="store_true", help="resume with cases of other commits too")
    parser.add_argument("--docs", action="store_true", help="measure nothing: draw pictures and tables from the JSON")
    asked = parser.parse_args(words)
    asked.tables = asked.tables or list(TABLES)
    if unknown := [name for name in asked.tables if name not in TABLES]:
        parser.error(f"{', '.join(unknown)}: unknown; allowed are {', '.join(TABLES)}")
    if asked.seeds < 1 or asked.jobs < 1:
        parser.error("--seeds and --jobs are at least 1")
    return asked


if __name__ == "__main__":
    sys.exit(main())
