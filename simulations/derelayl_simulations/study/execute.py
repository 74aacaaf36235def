"""Playing the jobs of a study on the processors of this machine."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from derelayl_protocol.errors import LocalFault

from ..scenarios.load import Scenario
from .plan import Job
from .run import Run, run

AHEAD = 2  # jobs handed out per process: one in work, one waiting

Play = Callable[[Scenario, int, bool], Run]
T = TypeVar("T")


def play(job: Job, how: Play = run) -> Run:
    """Play one job."""
    return how(job.scenario, job.seed, job.keep_history)


def by_processes(jobs: Iterable[Job], processes: int, how: Play = run) -> Generator[tuple[Job, Run]]:
    """Yield every job with its run as it is done, in no particular order; at most `processes` at once.

    With one process everything stays in this one. More processes than cores are not started. When the caller stops, or
    is interrupted, the processes are ended at once.
    Raises LocalFault if a process is killed, and whatever a run raises.
    """
    if processes < 1:
        raise LocalFault(f"jobs is {processes}, at least 1 is needed")
    processes = min(processes, os.cpu_count() or 1)
    if processes == 1:
        for job in jobs:
            yield job, play(job, how)
        return
    before = set(multiprocessing.active_children())
    # Fresh interpreters: a forked copy of a process with threads may hang.
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _leave_interrupts_to_the_parent)
    finished = False
    try:
        yield from _windowed(jobs, processes * AHEAD, lambda job: pool.submit(play, job, how))
        finished = True
    except BrokenProcessPool:
        raise LocalFault(
            "a process of the sweep was killed, perhaps for want of memory; use fewer with --jobs and run it again"
        ) from None
    finally:
        if not finished:
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _windowed(jobs: Iterable[Job], most: int, submit: Callable[[Job], Future[Run]]) -> Generator[tuple[Job, Run]]:
    """Keep at most `most` jobs handed out: a sweep has more of them than should be in memory."""
    waiting = iter(jobs)
    handed: dict[Future[Run], Job] = {submit(job): job for job in itertools.islice(waiting, most)}
    while handed:
        done, _ = wait(handed, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=lambda each: handed[each].run):
            job = handed.pop(future)
            yield job, future.result()
            handed.update({submit(following): following for following in itertools.islice(waiting, 1)})


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one run a process: more threads only get in each other's way
