"""Playing the jobs of a study on a Ray cluster. Ray is the optional extra `cluster`."""

from __future__ import annotations

import importlib
import itertools
import socket
from collections.abc import Generator, Iterable
from typing import Any

from derelayl_protocol.errors import LocalFault

from .execute import Play, play
from .plan import Job
from .run import Run, run

AHEAD = 2  # jobs handed out per processor of the cluster
NAMED = ("auto", "local")  # addresses that Ray finds by itself
ANSWER_SECONDS = 10


def by_ray(
    jobs: Iterable[Job], address: str, processes: int | None = None, how: Play = run
) -> Generator[tuple[Job, Run]]:
    """Yield every job with its run as it is done, in no particular order, one processor each.

    `address` is what ray.init takes: `host:port`, `ray://host:port`, `auto`, or `local` for a cluster of `processes` on
    this machine that ends with the sweep. Every machine of the cluster needs this package installed.
    Raises LocalFault if Ray is not installed, the cluster cannot be reached, or a machine is lost.
    """
    ray = _ray()
    exceptions = importlib.import_module("ray.exceptions")
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address, processes)
    try:
        remote = ray.remote(num_cpus=1, max_retries=3)(play)
        most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        yield from _windowed(ray, remote, jobs, most, how)
    except exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else LocalFault(str(error)) from None
    except exceptions.RayError as error:
        raise LocalFault(f"the Ray cluster at {address} lost a run: {_first_line(error)}; run it again") from None
    finally:
        if ours:
            ray.shutdown()


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError:
        raise LocalFault("--ray needs Ray, which is not installed: pip install 'derelayl[cluster]'") from None


def _connect(ray: Any, address: str, processes: int | None) -> None:
    if address not in NAMED:
        _knock(address)  # Ray itself would go on trying for many minutes
    own = {"num_cpus": processes or 1, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise LocalFault(f"no Ray cluster answers at {address}: {_first_line(error)}") from None


def _knock(address: str) -> None:
    """Raise LocalFault unless something listens at host:port or ray://host:port."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise LocalFault(f"--ray {address} is no address; write HOST:PORT, ray://HOST:PORT, auto or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise LocalFault(f"no Ray cluster answers at {address}: {error}") from None


def _windowed(ray: Any, remote: Any, jobs: Iterable[Job], most: int, how: Play) -> Generator[tuple[Job, Run]]:
    waiting = iter(jobs)
    handed = {remote.remote(job, how): job for job in itertools.islice(waiting, most)}
    while handed:
        (done, *_), _ = ray.wait(list(handed), num_returns=1)
        job = handed.pop(done)
        yield job, ray.get(done)
        handed.update({remote.remote(following, how): following for following in itertools.islice(waiting, 1)})


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
