"""A relay of the tiny network that has played, and a node that serves its lineage, for tests of the façade."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

import derelayl
from derelayl_node.api.app import create_app
from derelayl_node.api.server import serve
from derelayl_node.api.status import NodeStatus
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.proof import Chain
from derelayl_training.split import Split

from ..training.tiny import ARCHITECTURE, tiny_images

START_SECONDS = 30.0
"""For a server to listen on a busy machine."""


def tiny_split(seed: int) -> Split:
    """64 samples to train on and 32 held out, of two easy classes."""
    images, labels = tiny_images(96, seed)
    return Split(images[:64], labels[:64], images[64:], labels[64:])


def tiny_relay(rules: derelayl.Rules = derelayl.MINIMAL) -> derelayl.Relay:
    """Three trainers and three validators."""
    splits = [tiny_split(seed) for seed in range(6)]
    return derelayl.Relay(ARCHITECTURE, splits[:3], splits[3:], rules=rules, seed=4)


def play(relay: derelayl.Relay, rounds: int) -> None:
    """Honest rounds of short legs."""
    for _ in range(rounds):
        for lease in relay.lease():
            lease.train(steps=4, batch=16, learning_rate=0.05)
        relay.settle()


@contextmanager
def index_of(relay: derelayl.Relay, folder: Path) -> Iterator[LineageIndex]:
    """The index of everything on the relay's ledger."""
    index = LineageIndex(folder / "lineage.sqlite")
    index.apply(relay.chain.logs(()))
    yield index
    index.close()


@contextmanager
def served(relay: derelayl.Relay, index: LineageIndex) -> Iterator[str]:
    """A node's API over the relay, in a thread of its own; gives its URL."""
    url: list[str] = []
    ready = threading.Event()
    stop = trio.Event()
    tokens: list[trio.lowlevel.TrioToken] = []
    app = create_app(
        index,
        chain=Chain("in memory", relay.ledger),
        manifests=relay.store.manifest,
        status=lambda: NodeStatus(True, 0.5),
    )

    async def run() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        async with trio.open_nursery() as nursery:
            url.append(await nursery.start(serve, app, "127.0.0.1", 0, stop))
            ready.set()

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    try:
        assert ready.wait(START_SECONDS)
        yield url[0]
    finally:
        tokens[0].run_sync_soon(stop.set)
        thread.join()
