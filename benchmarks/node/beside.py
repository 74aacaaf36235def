"""A case measured on this tree and on today's build's, in turns, each with a devnet and a counted chain of its own."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.rows import RESULTS, Row, row

sys.path.insert(0, str(RESULTS.parent))  # benchmarks/start.py is a script beside `rows`

import start

from .counting import CountingChain, counting

Measure = Callable[[start.Tree, Path, CountingChain], Mapping[str, float]]
UNITS = {"calls": "calls", "share": "cores", "wall": "s"}


def rows_beside(case: str, measure: Measure, turns: int, spread: int = 1) -> list[Row]:
    """Rows of `measure(tree, network folder, counter)`, with those of the earlier commit as rival."""
    ours, theirs = [], []
    here, there = start.Tree(start.ROOT), start.baseline()
    for turn in range(turns):
        for tree in (here, there) if turn % 2 == 0 else (there, here):
            with counted_devnet(tree, spread) as (net, chain):
                found = measure(tree, net, chain)
            (ours if tree is here else theirs).append(found)
            print(f"{case}, turn {turn + 1}, {tree.folder.name}: {json.dumps(found)}", file=sys.stderr, flush=True)
    rows = []
    for metric in ours[0]:
        unit = next(unit for begin, unit in UNITS.items() if metric.startswith(begin))
        values, beside = ([one[metric] for one in runs] for runs in (ours, theirs))
        rows.append(row(case, metric, unit, values, start.RIVAL, beside))
    return rows


@contextmanager
def counted_devnet(tree: start.Tree, spread: int) -> Iterator[tuple[Path, CountingChain]]:
    """A devnet whose network file names a counting chain before the real one."""
    start.CHAIN_PORT = free_port()
    upstream = f"http://127.0.0.1:{start.CHAIN_PORT}"
    with (
        tempfile.TemporaryDirectory() as folder,
        start.devnet(tree, Path(folder)) as net,
        counting(upstream, spread) as (chain, url),
    ):
        file = net / "network.toml"
        lines = file.read_text().replace(upstream, url).splitlines()
        stretched = [
            f"start_block = {int(line.split('=')[1]) * spread}" if line.startswith("start_block") else line
            for line in lines
        ]
        file.write_text("\n".join(stretched) + "\n")
        yield net, chain


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
