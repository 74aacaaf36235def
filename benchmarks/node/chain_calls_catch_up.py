"""What reading a chain from its start costs in calls, beside an earlier commit in turns.

The chain is a new devnet's, pulled apart: between any two of its blocks, which hold the events of its founding, lie
empty ones. It is read by `derelayl api` until that says that it is healthy.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from benchmarks.rows import Row

from .beside import free_port, rows_beside, start
from .counting import CountingChain

CASE = "chain_calls_catch_up"
TURNS = 2
SPREAD, QUICK_SPREAD = 100, 20


def measure(quick: bool) -> list[Row]:
    """Rows of the case."""

    def catch_up(tree: start.Tree, net: Path, chain: CountingChain) -> Mapping[str, float]:
        port, log = free_port(), net / "api.log"
        words = [
            "api",
            "--network",
            str(net / "network.toml"),
            "--port",
            str(port),
            "--index",
            str(net / "index.sqlite"),
        ]
        began = time.monotonic()
        with start.running(tree.start(log, *words)) as process:
            deadline = began + start.READY_SECONDS
            while not _is_healthy(f"http://127.0.0.1:{port}/healthz"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"did not start: {log.read_text(errors='replace')[-500:]}")
                time.sleep(start.POLL_SECONDS)
            return {
                "calls until the log is read": chain.calls.total(),
                "wall time until then": time.monotonic() - began,
            }

    return rows_beside(CASE, catch_up, 1 if quick else TURNS, QUICK_SPREAD if quick else SPREAD)


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False
