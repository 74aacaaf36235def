"""What all tables share: cases that are measured one by one, kept as they finish, and turned into rows at the end."""

from __future__ import annotations

import importlib
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.rows import COMMIT, Row
from derelayl_training.train import configure_torch

TABLES = (
    "fidelity",
    "memory",
    "relay",
    "pseudoinverse",
    "ela",
    "early-exit",
    "adapter",
    "composition",
    "forgetting",
    "duplicates",
    "averaging",
    "judging",
    "starts",
    "precision",
)

Log = Callable[[str], None]
Measured = dict[str, Any]
"""What one case gave with one seed, as JSON."""


class Table(Protocol):
    """One table: cases that do not depend on each other, and the rows that their figures make."""

    @property
    def name(self) -> str:
        """One of TABLES."""

    def cases(self, quick: bool) -> Sequence[str]:
        """The names of the cases, in the order of the rows."""

    def seeds(self, case: str, seeds: int) -> int:
        """With how many seeds a case is measured, when `seeds` are asked for."""

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """Measure one case."""

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """Make the rows from each case's figures, in the order of the seeds; cases may be missing."""


def find_table(name: str) -> Table:
    """Load the module of one of TABLES; only then, for they need torch and much more."""
    table: Table = importlib.import_module(f"benchmarks.learning.{name.replace('-', '_')}").TABLE
    return table


@dataclass(frozen=True, slots=True)
class Job:
    """One case with one seed; `quick` is the small configuration."""

    table: str
    case: str
    seed: int
    quick: bool


class Partial:
    """The finished cases on disk, a JSON line each; a half-written last line is passed over."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, commits: Callable[[str], bool] = COMMIT.__eq__) -> dict[Job, Measured]:
        """The finished cases of acceptable commits; the last one counts where there are several of a job."""
        return {job: measured for job, commit, measured in self._lines() if commits(commit)}

    def add(self, job: Job, measured: Measured) -> None:
        """Write down a finished case."""
        self._append(job, COMMIT, measured)

    def forget(self, tables: Iterable[str]) -> None:
        """Drop the lines of these tables."""
        dropped = set(tables)
        kept = [line for line in self._lines() if line[0].table not in dropped]
        self._path.unlink(missing_ok=True)
        for line in kept:
            self._append(*line)

    def _append(self, job: Job, commit: str, measured: Measured) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = {"job": asdict(job), "commit": commit, "measured": measured}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _lines(self) -> Iterator[tuple[Job, str, Measured]]:
        if not self._path.exists():
            return
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                found = json.loads(line)
            except json.JSONDecodeError:
                continue  # the run was killed while it wrote this line: the case is measured again
            yield Job(**found["job"]), found["commit"], found["measured"]


def jobs_of(table: Table, asked: int, quick: bool) -> list[Job]:
    """All jobs of a table: seed by seed, so that an interrupted run has whole seeds."""
    cases = table.cases(quick)
    most = max(table.seeds(case, asked) for case in cases)
    return [
        Job(table.name, case, seed, quick) for seed in range(most) for case in cases if seed < table.seeds(case, asked)
    ]


def measure_all(
    jobs: Sequence[Job],
    done: dict[Job, Measured],
    log: Log,
    processes: int = 1,
) -> Iterator[tuple[Job, Measured]]:
    """Measure the jobs that are not done, and give each as it finishes."""
    left = [job for job in jobs if job not in done]
    if processes == 1:
        for job in left:
            yield job, find_table(job.table).measure(job.case, job.seed, job.quick, log)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads and their locks
    with ProcessPoolExecutor(processes, mp_context=context, initializer=configure_torch, initargs=(1,)) as pool:
        futures = {pool.submit(_measure_apart, job): job for job in left}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _measure_apart(job: Job) -> Measured:
    return find_table(job.table).measure(job.case, job.seed, job.quick, lambda text: print(text, flush=True))


def rows_of(table: Table, jobs: Sequence[Job], done: Mapping[Job, Measured]) -> list[Row]:
    """The table's rows from the finished jobs."""
    measured: dict[str, list[Measured]] = {}
    for job in sorted(jobs, key=lambda job: job.seed):
        if job in done:
            measured.setdefault(job.case, []).append(done[job])
    order = {case: measured[case] for case in dict.fromkeys(job.case for job in jobs) if case in measured}
    return table.rows(order)
