"""One life of a worker process, and the lines that go to and fro."""

from __future__ import annotations

import logging
import math
import subprocess
from collections.abc import Callable, Mapping, Sequence

import trio
import trio.abc
from pydantic import ValidationError

from derelayl_training.job_lines import MAX_LINE_BYTES, PING, WITHDRAWAL, Done, Reply

from ..ports import TrainingFailed

KILL_SECONDS = 5.0
"""How long a worker may take to let go of a withdrawn job before it is killed; a killed one to disappear, and its last
words to arrive."""

PING_SECONDS = 2.5
"""Silence before a loaded worker that has a job is asked whether it is alive, and how long it has to answer."""

UNANSWERED_PINGS = 4
"""After so many it is taken for hung. All a worker needs for an answer is a moment of a thread, but a library may keep
the interpreter to itself for seconds. Several waits instead of a long one: where parent and worker were stopped
together, one of them is over at once when they go on."""

STDERR_TAIL_BYTES = 2000
"""How much of a dead worker's stderr an error shows."""

READ_BYTES = 64 * 1024
"""One read from the worker; the size of a Linux pipe."""

OnProgress = Callable[[float], None]

log = logging.getLogger(__name__)


def ignore(_fraction: float) -> None:
    """Hear nothing."""


class WorkerProcess:
    """One life of a worker: started once, asked one job at a time, watched until it has ended."""

    def __init__(
        self,
        process: trio.Process,
        stdin: trio.abc.SendStream,
        stdout: trio.abc.ReceiveStream,
        stderr: trio.abc.ReceiveStream,
    ) -> None:
        self._process = process
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._unread = bytearray()
        self._tail = bytearray()
        self._line_sent = True
        self._ended = trio.Event()
        self._killed = False
        self.loaded = False

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str]) -> WorkerProcess:
        """Start the process. Raises TrainingFailed."""
        pipe = subprocess.PIPE
        try:
            process = await trio.lowlevel.open_process(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
        except OSError as error:
            raise TrainingFailed(f"the training worker cannot be started: {error}") from error
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("trio gave a process without the pipes that were asked for")
        return cls(process, process.stdin, process.stdout, process.stderr)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self._killed and self._process.poll() is None

    async def watch(self) -> None:
        """Collect what the process writes to stderr until it has ended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._collect_stderr)
            await self._process.wait()
            # its last words may still be in the pipe, and a process that it started may keep the pipe open
            nursery.cancel_scope.deadline = trio.current_time() + KILL_SECONDS
        self._ended.set()

    async def ask(self, line: bytes, on_progress: OnProgress) -> Done | str:
        """Send one job and wait for its end: the result, or the reason why there is none (then look at `alive`)."""
        answer = await self._exchange(line, on_progress)
        if answer is not None:
            return answer
        with trio.move_on_after(KILL_SECONDS):  # it is dying, or has closed its stdout and does not
            await self._process.wait()
        self.kill()
        await self._ended.wait()
        tail = self._tail.decode(errors="replace").strip()
        return f"the training worker ended with status {self._process.returncode}" + (f": {tail}" if tail else "")

    async def withdraw(self) -> None:
        """Have the worker let go of the job whose asking was cancelled; one that cannot within KILL_SECONDS dies."""
        with trio.move_on_after(KILL_SECONDS):
            # half a line is no job, and a worker is killed that would wait for its other half
            if self._line_sent and await self._exchange(WITHDRAWAL, ignore) is not None:
                return
        log.warning("the training worker holds on to a job that was withdrawn, and is killed")
        self.kill()

    def kill(self) -> None:
        """End the process; `watch` notices."""
        self._killed = True
        self._process.kill()

    async def close(self) -> None:
        """End the process and free its pipes, also when cancelled."""
        with trio.CancelScope(shield=True):
            self.kill()
            with trio.move_on_after(KILL_SECONDS):
                await self._process.wait()
            for stream in (self._stdin, self._stdout, self._stderr):
                await stream.aclose()

    async def _exchange(self, line: bytes, on_progress: OnProgress) -> Done | str | None:
        """Return the result, the worker's reason for refusing, or None when it died or talked nonsense."""
        try:
            self._line_sent = False
            await self._stdin.send_all(line)
            self._line_sent = True
            while (reply_line := await self._next_line()) is not None:
                reply = Reply.model_validate_json(reply_line)
                if reply.progress is not None:
                    on_progress(reply.progress)
                elif not reply.alive:  # which may also be a late answer, to a ping of the last job
                    return reply.done or reply.failed
        except TimeoutError as silence:
            log.warning("%s", silence)
            self.kill()
            return str(silence)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return None  # the obituary says more than the broken pipe
        except ValidationError as error:
            self._tail += f"\nits answer has {error.error_count()} invalid fields".encode()
            self.kill()
        return None

    async def _next_line(self) -> bytes | None:
        """As `_read_line`, but ask a silent worker for a sign of life; one that loads is given its time instead.

        Raises TimeoutError when no sign comes.
        """
        pings = 0
        while True:
            with trio.move_on_after(PING_SECONDS if self.loaded else math.inf):
                return await self._read_line()
            if pings == UNANSWERED_PINGS:
                raise TimeoutError(f"the training worker does not answer for {PING_SECONDS * (pings + 1):g} s")
            with trio.move_on_after(PING_SECONDS):  # too short a line to be torn; a full pipe is no answer either
                await self._stdin.send_all(PING)
            pings += 1

    async def _read_line(self) -> bytes | None:
        """Return the next line; None at the end of the stream. A line above MAX_LINE_BYTES kills the worker."""
        searched = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            if searched > MAX_LINE_BYTES:
                self.kill()
                return None
            data = await self._stdout.receive_some(READ_BYTES)
            if not data:
                return None
            self._unread += data
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line

    async def _collect_stderr(self) -> None:
        while data := await self._stderr.receive_some(READ_BYTES):
            self._tail += data
            del self._tail[:-STDERR_TAIL_BYTES]
