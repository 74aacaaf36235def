"""A peer process of the stage: the node's own code with a worker of ours, forked from the devnet's fork server."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from derelayl_node.cli.console import log_to_stderr, run, show
from derelayl_node.devnet.processes import settle_in
from derelayl_node.keys import load_key_file
from derelayl_node.peer import run_peer
from derelayl_node.settings import Network, keystore_password, node_settings

WORKER = (sys.executable, "-P", str(Path(__file__).with_name("worker.py")))


def run_node(arguments: Sequence[str], log: str) -> None:
    """Be `derelayl node run` with settings given as one JSON object, and in an adversary's hands if it is named."""
    settle_in(log)
    log_to_stderr()
    settings, villain = arguments
    if villain:
        from .villains import turn

        turn(villain)

    def command() -> None:
        own = node_settings(json.loads(settings))
        key = load_key_file(own.home / "key.json", keystore_password(own.password_file))
        peer = partial(run_peer, own, Network.read(own.network), key, say=show, worker=WORKER)
        trio.run(peer, strict_exception_groups=True)

    sys.exit(run(command, debug=False))
