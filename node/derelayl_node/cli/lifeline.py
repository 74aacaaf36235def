"""A pipe on standard input that ties a process to the one that started it: when the pipe closes, the process stops."""

from __future__ import annotations

import os
import signal
import sys
import threading


def hold() -> None:
    """Send this process SIGTERM once standard input ends, which it does however the parent ends."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
