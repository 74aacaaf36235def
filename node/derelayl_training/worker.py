"""The training process: `python -m derelayl_training.worker --data SPEC`, a JSON job a line in, JSON lines out.

It serves one parent and must never outlive it: a thread watches stdin from the first moment on and ends the process
when the parent closes it, by intent or by dying, even in the middle of a training step. The same thread answers pings,
and hears that a job was withdrawn, which training notices after each step and judging after each batch.
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
from .job_lines import JOB, MAX_LINE_BYTES, MAX_REASON, PING, PONG, WITHDRAWAL, LoadJob, Reply, SamplesJob, encode
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


class Withdrawn(Exception):
    """Nobody waits for this job any more."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve jobs until stdin closes; never returns otherwise."""
    parser = argparse.ArgumentParser(prog="derelayl_training.worker", description="Train and judge for one node.")
    parser.add_argument(
        "--data", required=True, help="the peer's own data: shard:PATH, images:FOLDER or another spec of data.SPECS"
    )
    parser.add_argument("--judge-only", action="store_true", help="hold all samples out: this peer never trains")
    parser.add_argument("--compute", default="{}", help="what training may use, as JSON: see compute.Compute")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    answers = _claim_stdout()
    lines: queue.Queue[bytes] = queue.Queue(maxsize=1)
    withdrawn = threading.Event()
    threading.Thread(target=_watch_parent, args=(sys.stdin.buffer, lines, withdrawn, answers), daemon=True).start()
    own = OwnData(options.data, options.judge_only)
    _serve(own, Compute.model_validate_json(options.compute), lines, withdrawn, answers)


def _serve(
    own: OwnData, compute: Compute, lines: queue.Queue[bytes], withdrawn: threading.Event, answers: BinaryIO
) -> None:

    def send(reply: Reply) -> None:
        _write(answers, encode(reply))

    @cache
    def engine() -> Engine:
        with loading():
            from .engine import Engine  # torch takes seconds to load, and the parent is watched meanwhile

        return Engine(own, compute)

    def load_data() -> None:
        try:
            own.load()
        except ProtocolError as error:
            log.warning("jobs that need the data will fail: %s", error)

    def notice() -> None:
        if withdrawn.is_set():
            raise Withdrawn

    def progress(fraction: float) -> None:
        notice()
        send(Reply(progress=fraction))

    while True:
        line = lines.get()  # no deadline: the watching thread ends the process
        try:
            job = JOB.validate_json(line)
            if isinstance(job, SamplesJob):
                if compute.device not in ALWAYS_THERE:
                    engine()  # the peer does not start without the device that it was promised
                send(Reply(done=own.samples()))  # a peer counts them when it starts: it need not wait for torch
                continue
            if isinstance(job, LoadJob) and own.spec:
                load_data()
            send(Reply(done=engine().run(job, progress, notice)))
        except Withdrawn:
            send(_failed("the job was withdrawn"))
        except ValidationError as error:
            send(_failed(f"the job is not valid: {error.error_count()} errors, the first {error.errors()[0]['msg']!r}"))
        except ProtocolError as error:
            send(_failed(str(error)))
        except Exception as error:
            log.exception("a job failed unexpectedly")
            send(_failed(f"{type(error).__name__}: {error}"))


def _failed(reason: str) -> Reply:
    return Reply(failed=reason[:MAX_REASON])


def _write(answers: BinaryIO, line: bytes) -> None:
    """Write a line whole, whichever thread writes: a buffered writer locks itself."""
    try:
        answers.write(line)
        answers.flush()
    except BrokenPipeError:
        os._exit(PARENT_GONE)


def _claim_stdout() -> BinaryIO:
    """Keep stdout for answers alone: what a library prints goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _watch_parent(stdin: BinaryIO, lines: queue.Queue[bytes], withdrawn: threading.Event, answers: BinaryIO) -> None:
    while line := stdin.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            log.error("a job line exceeds %d bytes", MAX_LINE_BYTES)
            os._exit(PARENT_CONFUSED)
        if line == PING:
            _write(answers, PONG)
            continue
        if line == WITHDRAWAL:
            withdrawn.set()
            continue
        withdrawn.clear()  # what was withdrawn before has been answered, or the parent would not ask again
        try:
            lines.put_nowait(line)
        except queue.Full:
            log.error("a job came while another was waiting; a worker takes one at a time")
            os._exit(PARENT_CONFUSED)
    os._exit(PARENT_GONE)  # not sys.exit: the main thread may be deep in a training step


if __name__ == "__main__":
    main()
