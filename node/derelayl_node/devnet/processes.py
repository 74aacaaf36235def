"""A devnet's processes: each runs the ordinary command with its own home, and none outlives the one who started it.

They are forked from one process that has loaded the modules which all of them need: loading them takes seconds of
processor time, and seven peers would each do it again. Where forking is not safe, each starts from nothing.

A child stops by SIGTERM, by SIGKILL if that does not help, and by itself when its parent has died, however that was.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import trio

from ..failures import Failure

READY_SECONDS = 90.0
"""A node opens its store, its sockets and its index: seconds when idle, far more on a busy machine."""

STOP_SECONDS = 8.0
"""How long a child may take to stop by itself."""

POLL_SECONDS = 0.1
LOG_TAIL_LINES = 5

PROGRAM = "derelayl"
PRELOADED = ["derelayl_node.devnet.preloaded"]
"""What the process that is forked loads."""

PROCESSES = (
    multiprocessing.get_context("forkserver") if sys.platform == "linux" else multiprocessing.get_context("spawn")
)


class ChildFailed(Failure):
    """A child process ended or did not get ready; the message holds the last lines of its log."""


def preload() -> None:
    """Start loading the modules of the children, in a process of its own. May be called before anything else."""
    if PROCESSES.get_start_method() == "forkserver":
        from multiprocessing import forkserver

        PROCESSES.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()


def run_command(arguments: Sequence[str], log: str) -> None:
    """Be the command `derelayl ARGUMENTS` in a child process, its output at the end of the file `log`."""
    settle_in(log)
    sys.argv = [PROGRAM, *arguments]
    from ..cli.main import main

    main()


def settle_in(log: str) -> None:
    """What a child process does first: send its output to the end of the file `log`, and see to its own end."""
    os.setsid()  # Ctrl-C is for the parent, which then stops its children in order
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    threading.Thread(target=_stop_with_parent, name="lifeline", daemon=True).start()


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a child runs a command"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)  # nobody is left who would insist


@dataclass
class Child:
    """One running command of a devnet."""

    name: str
    command: Sequence[str]
    home: Path
    process: BaseProcess | None = None
    run: Callable[[Sequence[str], str], None] = run_command  # is given the command and the log

    @property
    def log(self) -> Path:
        return self.home / "log.txt"

    @property
    def ready_file(self) -> Path:
        """What the command writes when it can be used: its addresses."""
        return self.home / "ready.json"

    def start(self) -> None:
        """Start the command; its output goes to the end of its log."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.ready_file.unlink(missing_ok=True)
        self.process = PROCESSES.Process(
            target=self.run, args=(list(self.command), str(self.log)), name=self.name, daemon=True
        )
        self.process.start()

    async def ready(self) -> dict[str, Any]:
        """Wait for what the command has to say of itself. Raises ChildFailed."""
        assert self.process is not None, "start() comes first"
        with trio.move_on_after(READY_SECONDS):
            while self.process.exitcode is None:
                if self.ready_file.exists():
                    return dict(json.loads(self.ready_file.read_text()))
                await trio.sleep(POLL_SECONDS)
        raise ChildFailed(f"{self.name} did not start: {self._last_words()}")

    def check(self) -> None:
        """Raise ChildFailed if the process has ended by itself."""
        if self.process is not None and self.process.exitcode is not None:
            raise ChildFailed(f"{self.name} ended with status {self.process.exitcode}: {self._last_words()}")

    def kill(self) -> None:
        """SIGKILL, as a power cut would have it."""
        assert self.process is not None, "only a started process can be killed"
        self.process.kill()
        self.process.join()
        self.process = None

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self.process is not None and self.process.exitcode is None:
            self.process.terminate()

    def stopped(self, seconds: float) -> None:
        """Wait for the end, then insist."""
        if self.process is None:
            return
        self.process.join(timeout=seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.process = None

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return " | ".join(lines) + f" (whole log: {self.log})"


def stop_all(children: Sequence[Child]) -> None:
    """Stop every child; together they get STOP_SECONDS."""
    for child in children:
        child.ask_to_stop()
    deadline = STOP_SECONDS
    for child in children:
        started = time.monotonic()
        child.stopped(max(deadline, 0.1))
        deadline -= time.monotonic() - started
