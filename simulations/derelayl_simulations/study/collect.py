"""Playing what of a study is not finished yet, and keeping every run as soon as it is done."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from .cluster import by_ray
from .execute import Play, by_processes
from .plan import Job, Study
from .results import Results, create
from .run import Run, run


def collect(
    study: Study,
    folder: Path,
    processes: int = 1,
    ray: str | None = None,
    advance: Callable[[int], None] = lambda done: None,
    how: Play = run,
) -> Results:
    """Play every run of a study that the folder does not hold yet, and return the results.

    `advance` is told how many runs are there, first and after each one. An interruption or a full disk leaves every
    finished run in the folder, whole; the same call goes on from there.
    Raises LocalFault if the folder holds anything else or a run fails, and OSError if the disk refuses.
    """
    results = create(folder, study)
    finished = results.finished()
    advance(len(finished))
    missing = (job for job in study.jobs() if job.run not in finished)
    played: Generator[tuple[Job, Run]]
    if len(finished) == study.runs:
        return results
    if ray is not None:
        played = by_ray(missing, ray, processes, how)
    else:
        played = by_processes(missing, min(processes, study.runs - len(finished)), how)
    with closing(played):  # ends the processes also where the disk refuses
        for done, (job, result) in enumerate(played, len(finished) + 1):
            results.write(job, result)
            advance(done)
    return results
