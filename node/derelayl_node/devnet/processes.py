"""The demo's child processes: each is the ordinary command with its own home, and none outlives the demo.

A child stops by SIGTERM, by SIGKILL if that does not help, and by its lifeline: the pipe on its standard input closes
when the demo dies, however it dies.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from ..failures import Failure

READY_SECONDS = 90.0
"""A node imports torch's neighbours, opens its store and its sockets: seconds when idle, far more on a busy machine."""

STOP_SECONDS = 8.0
"""How long a child may take to stop by itself."""

POLL_SECONDS = 0.1
LOG_TAIL_LINES = 5


class ChildFailed(Failure):
    """A child process ended or did not get ready; the message holds the last lines of its log."""


@dataclass
class Child:
    """One running command of this demo."""

    name: str
    command: Sequence[str]
    home: Path
    process: subprocess.Popen[bytes] | None = None

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
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "derelayl_node.cli.main", *self.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops its children in order
            )

    async def ready(self) -> dict[str, Any]:
        """Wait for what the command has to say of itself. Raises ChildFailed."""
        assert self.process is not None, "start() comes first"
        with trio.move_on_after(READY_SECONDS):
            while self.process.poll() is None:
                if self.ready_file.exists():
                    return dict(json.loads(self.ready_file.read_text()))
                await trio.sleep(POLL_SECONDS)
        raise ChildFailed(f"{self.name} did not start: {self._last_words()}")

    def check(self) -> None:
        """Raise ChildFailed if the process has ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            raise ChildFailed(f"{self.name} ended with status {self.process.returncode}: {self._last_words()}")

    def kill(self) -> None:
        """SIGKILL, as a power cut would have it."""
        assert self.process is not None, "only a started process can be killed"
        self.process.kill()
        self.process.wait()
        self._close_lifeline()
        self.process = None

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stopped(self, seconds: float) -> None:
        """Wait for the end, then insist."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._close_lifeline()
        self.process = None

    def _close_lifeline(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

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
