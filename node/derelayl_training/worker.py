"""The training process: `python -m derelayl_training.worker --data SPEC`, a JSON job a line in, JSON lines out.

It serves one parent and must never outlive it: a thread watches stdin from the first moment on and ends the process
when the parent closes it, by intent or by dying, even in the middle of a training step.
"""

from __future__ import annotations

import argparse
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError

from derelayl_protocol.errors import ProtocolError

from .compute import Compute
from .job_lines import JOB, MAX_LINE_BYTES, MAX_REASON, Reply, SamplesJob, encode
from .loading import loading
from .own_data import OwnData

if TYPE_CHECKING:
    from .engine import Engine

NICENESS = 5
"""Added to the process's niceness, so that a training step does not delay the network."""

ALWAYS_THERE = ("auto", "cpu")
"""Devices that need not be looked for before the first job."""

PARENT_GONE = 0
PARENT_CONFUSED = 2
"""Exit statuses of the watching thread: stdin ended; a line was too long or came while another job was waiting."""

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve jobs until stdin closes; never returns otherwise."""
    parser = argparse.ArgumentParser(prog="derelayl_training.worker", description="Train and judge for one node.")
    parser.add_argument(
        "--data", required=True, help="the peer's own data: shard:PATH, images:FOLDER or another spec of data.SPECS"
    )
    parser.add_argument("--compute", default="{}", help="what training may use, as JSON: see compute.Compute")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    answers = _claim_stdout()
    lines: queue.Queue[bytes] = queue.Queue(maxsize=1)
    threading.Thread(target=_watch_parent, args=(sys.stdin.buffer, lines), daemon=True).start()
    _serve(options.data, Compute.model_validate_json(options.compute), lines, answers)


def _serve(data_spec: str, compute: Compute, lines: queue.Queue[bytes], answers: BinaryIO) -> None:
    own = OwnData(data_spec)

    def send(reply: Reply) -> None:
        answers.write(encode(reply))
        answers.flush()

    @cache
    def engine() -> Engine:
        with loading():
            from .engine import Engine  # torch takes seconds to load, and the parent is watched meanwhile

        return Engine(own, compute)

    def load_torch() -> None:
        try:
            engine()
        except Exception:
            log.exception("the next job will fail likewise")

    while True:
        line = lines.get()  # no deadline: the watching thread ends the process
        try:
            job = JOB.validate_json(line)
            if isinstance(job, SamplesJob):
                if compute.device not in ALWAYS_THERE:
                    engine()  # the peer does not start without the device that it was promised
                send(Reply(done=own.samples()))  # a peer counts them when it starts: it need not wait for torch
                load_torch()  # a leg will need it soon
            else:
                send(Reply(done=engine().run(job, lambda fraction: send(Reply(progress=fraction)))))
        except ValidationError as error:
            send(_failed(f"the job is not valid: {error.error_count()} errors, the first {error.errors()[0]['msg']!r}"))
        except ProtocolError as error:
            send(_failed(str(error)))
        except BrokenPipeError:
            os._exit(PARENT_GONE)
        except Exception as error:
            log.exception("a job failed unexpectedly")
            send(_failed(f"{type(error).__name__}: {error}"))


def _failed(reason: str) -> Reply:
    return Reply(failed=reason[:MAX_REASON])


def _claim_stdout() -> BinaryIO:
    """Keep stdout for answers alone: what a library prints goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _watch_parent(stdin: BinaryIO, lines: queue.Queue[bytes]) -> None:
    while line := stdin.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            log.error("a job line exceeds %d bytes", MAX_LINE_BYTES)
            os._exit(PARENT_CONFUSED)
        try:
            lines.put_nowait(line)
        except queue.Full:
            log.error("a job came while another was waiting; a worker takes one at a time")
            os._exit(PARENT_CONFUSED)
    os._exit(PARENT_GONE)  # not sys.exit: the main thread may be deep in a training step


if __name__ == "__main__":
    main()
