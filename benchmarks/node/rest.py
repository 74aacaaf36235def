"""Requests a second and processor time a request of the REST API, beside an empty FastAPI route on the same server.

The server is a process of its own with the node's own `serve`, one port for each application; the client is this
process: CONNECTIONS threads that ask again and again over connections that stay open. The applications take turns.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import trio
from fastapi import FastAPI

from benchmarks.rows import Row, row
from derelayl_node.api.answers import KEPT_BYTES
from derelayl_node.api.app import create_app
from derelayl_node.api.server import serve
from derelayl_node.api.status import NodeStatus
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.proof import Chain
from derelayl_node.testing.history import person, sample
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import LedgerId

LEGS = 80
"""Settled rounds of the model that is asked about: a page of ancestors is a full one, 50."""

CONNECTIONS = 8
SECONDS = 1.0
RUNS = 15
RIVAL = "an empty FastAPI route"


def measure_path(case: str, below: str, quick: bool) -> list[Row]:
    """Rows for /v1/checkpoints/ROOT and what is `below` it."""
    root = to_hex(sample(LEGS)[1].root(f"good {LEGS}"))
    path = f"/v1/checkpoints/{root}{below}"
    found: dict[str, list[tuple[float, float]]] = {}
    with _server() as (process, urls):
        asked = {"empty": "/empty", "ours": path, "without its cache": path}
        for name, at in asked.items():
            _ask(urls[name], at, 0.3, process)  # warm
        for _ in range(2 if quick else RUNS):
            for name, at in asked.items():
                found.setdefault(name, []).append(_ask(urls[name], at, 0.5 if quick else SECONDS, process))
    rows = []
    for name in ("ours", "without its cache"):
        suffix = "" if name == "ours" else ", each computed"
        for position, (metric, unit) in enumerate((("requests", "requests/s"), ("processor time a request", "ms"))):
            own, beside = ([run[position] for run in found[one]] for one in (name, "empty"))
            rows.append(row(case, metric + suffix, unit, own, RIVAL, beside))
    return rows


def _ask(port: int, path: str, seconds: float, server: psutil.Process) -> tuple[float, float]:
    """Requests a second, and milliseconds of the server's processor time for each."""
    counts: list[int] = []
    before, begun = _processor_seconds(server), time.perf_counter()
    threads = [
        threading.Thread(target=lambda: counts.append(_repeat(port, path, begun + seconds))) for _ in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, used = time.perf_counter() - begun, _processor_seconds(server) - before
    if len(counts) != CONNECTIONS:
        raise RuntimeError("a connection failed")
    return sum(counts) / took, 1_000 * used / sum(counts)


def _repeat(port: int, path: str, until: float) -> int:
    """Ask over one connection until it is time; gives the number of answers. Raises RuntimeError for a wrong one."""
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
    count = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.perf_counter() < until:
            connection.sendall(request)
            answer = connection.recv(1 << 18)
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(1 << 18)
            head, _, body = answer.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer[:200])
            size, have = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]), len(body)
            while have < size:
                have += len(connection.recv(1 << 18))
            count += 1
    return count


def _processor_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


@contextmanager
def _server() -> Iterator[tuple[psutil.Process, dict[str, int]]]:
    with TemporaryDirectory() as folder:
        process = subprocess.Popen([sys.executable, "-m", __name__, folder], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None  # it was asked for
            yield psutil.Process(process.pid), json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait()


async def _serve(folder: Path) -> None:
    index = LineageIndex(folder / "lineage.db")
    index.apply(sample(LEGS)[0].batch())
    apps = {"empty": _empty(), "ours": _ours(index), "without its cache": _ours(index, kept_bytes=0)}
    async with trio.open_nursery() as nursery:
        urls = {name: await nursery.start(serve, app, "127.0.0.1", 0, trio.Event()) for name, app in apps.items()}
        print(json.dumps({name: int(url.rpartition(":")[2]) for name, url in urls.items()}), flush=True)


def _empty() -> FastAPI:
    app = FastAPI()

    @app.get("/empty")
    async def empty() -> dict[str, str]:
        return {}

    return app


def _ours(index: LineageIndex, kept_bytes: int = KEPT_BYTES) -> FastAPI:
    chain = Chain("benchmark", LedgerId(31_337, person("ledger")))
    status: Callable[[], NodeStatus] = lambda: NodeStatus(True, 0.5)  # noqa: E731
    return create_app(index, chain=chain, manifests=lambda root: None, status=status, kept_bytes=kept_bytes)


if __name__ == "__main__":
    trio.run(_serve, Path(sys.argv[1]))
