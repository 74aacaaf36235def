"""Serve the embedded chain to the other processes of this machine: JSON-RPC over HTTP on the loopback interface."""

from __future__ import annotations

import json
import logging
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Self

from ..failures import Failure
from .embedded import EmbeddedChain
from .kv import ChainFileError
from .methods import INTERNAL, INVALID_REQUEST, RpcError, dispatch

LOG = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"

MAX_BODY_BYTES = 1024 * 1024
"""One request: eight times the largest transaction."""

MAX_BATCH = 512
"""Calls in one request: a follower's batch of headers and logs fits."""

MAX_NESTING = 16
"""Levels of a request's JSON: a batch of calls with lists of topics has seven."""

_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
"""A whole string, in which brackets mean nothing, or one bracket."""

MAX_CONNECTIONS = 128
"""Connections at once, a thread each: some tens of clients with a pool of eight."""

IDLE_SECONDS = 60.0
"""A connection without a request is closed after this long, so that vanished clients free their threads."""

MINER_POLL_SECONDS = 0.05
"""How often the clock is looked at while transactions wait: at most this much after the second has begun."""


MINER_PAUSE_SECONDS = 1.0
"""Pause after a block could not be made: long enough to keep the log readable."""


SIGNAL_POLL_SECONDS = 0.5
"""Between two looks of the main thread for signals."""


class ServerError(Failure):
    """The server cannot start; the message is one sentence with the remedy."""


class ChainServer:
    """The chain, its HTTP server and the thread that mines what waits. Use it as a context manager."""

    def __init__(self, chain: EmbeddedChain, port: int = 0, host: str = LOOPBACK) -> None:
        """Bind to `port` (0 picks a free one). Raises ServerError if that is taken."""
        self._chain = chain
        try:
            self._http = _HttpServer((host, port), chain)
        except OSError as error:
            raise ServerError(f"Cannot listen on {host}:{port} ({error.strerror}): choose another port.") from error
        bound_host, bound_port = self._http.server_address[:2]
        self.url = f"http://{bound_host!s}:{bound_port}"
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name="chain-http"),
            threading.Thread(target=self._mine, name="chain-miner"),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._http.work.set()
        self._http.shutdown()
        self._http.server_close()
        for thread in self._threads:
            thread.join()
        self._chain.close()

    def _mine(self) -> None:
        """Mine waiting transactions as soon as the next second begins; sleep while none wait."""
        self._http.work.set()  # transactions of the last run may wait
        while not self._stop.is_set():
            self._http.work.wait()
            self._http.work.clear()
            while not self._stop.is_set() and self._mine_once():
                self._stop.wait(MINER_POLL_SECONDS)

    def _mine_once(self) -> bool:
        try:
            with self._chain.lock:
                return self._chain.mine_due()
        except Exception:
            # A full disk may have room again: the transactions are in the file, so this thread must go on.
            LOG.exception("cannot make a block, trying again in %s s", MINER_PAUSE_SECONDS)
            self._stop.wait(MINER_PAUSE_SECONDS)
            return True


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # Without it a restart on the same port fails for a minute.
    allow_reuse_address = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], chain: EmbeddedChain) -> None:
        self.chain = chain
        self.work = threading.Event()
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._open_lock:
                self._open.discard(request)
            self._slots.release()

    def server_close(self) -> None:
        super().server_close()
        with self._open_lock:
            for connection in self._open:
                # Wakes the thread that waits for the next request on it.
                _hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        LOG.info("connection from %s ended: %s", client_address, sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    server: _HttpServer

    def do_POST(self) -> None:
        """Answer one JSON-RPC request or batch."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._answer(413, {"jsonrpc": "2.0", "id": None, "error": _error(INVALID_REQUEST, "request too large")})
            return
        body = self.rfile.read(int(length))
        # A web page cannot send this type without asking first, and nobody answers that question.
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            self._answer(415, {"jsonrpc": "2.0", "id": None, "error": _error(INVALID_REQUEST, "send application/json")})
            return
        self._answer(200, answer_body(self.server.chain, body))
        self.server.work.set()

    def _answer(self, status: int, payload: object) -> None:
        body = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep requests out of stderr; the debug log has them."""
        LOG.debug(format, *args)


def answer_body(chain: EmbeddedChain, body: bytes) -> object:
    """The JSON-RPC answer to a request's bytes: an object, or a list for a batch."""
    try:
        query = json.loads(_shallow(body))
    except ValueError:
        return {"jsonrpc": "2.0", "id": None, "error": _error(-32700, "parse error")}
    if not isinstance(query, list):
        return _answer_one(chain, query)
    if not 0 < len(query) <= MAX_BATCH:
        return {"jsonrpc": "2.0", "id": None, "error": _error(INVALID_REQUEST, f"a batch has 1 … {MAX_BATCH} calls")}
    return [_answer_one(chain, item) for item in query]


def _shallow(body: bytes) -> bytes:
    """The body, if it nests no deeper than a request does: deep nesting could overflow the stack of the JSON parser."""
    depth = 0
    for token in _BRACKETS.finditer(body):
        depth += (token[0] in b"[{") - (token[0] in b"]}")
        if depth > MAX_NESTING:
            raise ValueError("nested too deeply")
    return body


def _answer_one(chain: EmbeddedChain, query: object) -> dict[str, object]:
    if not isinstance(query, dict):
        return {"jsonrpc": "2.0", "id": None, "error": _error(INVALID_REQUEST, "a request is an object")}
    head: dict[str, object] = {"jsonrpc": "2.0", "id": query.get("id")}
    try:
        return {**head, "result": dispatch(chain, query.get("method"), query.get("params", []))}
    except RpcError as error:
        return {**head, "error": error.as_json()}
    except Exception:  # a defect of ours must neither hang the client nor be hidden
        LOG.exception("internal error in %s", query.get("method"))
        return {**head, "error": _error(INTERNAL, "internal error, see the chain's log")}


def _error(code: int, message: str) -> dict[str, object]:
    return RpcError(code, message).as_json()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        LOG.debug("connection was closed already: %s", error)


def run_chain(
    path: Path,
    port: int,
    chain_id: int,
    genesis_balances: Mapping[str, int],
    *,
    host: str = LOOPBACK,
    clock: Callable[[], float] = time.time,
    ready: Callable[[str], None] | None = None,
) -> int:
    """Serve the chain in `path` until SIGTERM or SIGINT; return the exit status.

    `ready` is called with the URL once requests are answered; by default the URL is written to stdout. Balances are wei
    by address and count only when the file is new. Must run in the main thread, because of the signals.
    """
    # Unlike an event, whose lock the interrupted thread may hold, this queue may be used in a signal handler.
    signals: SimpleQueue[int] = SimpleQueue()

    def on_signal(number: int, frame: FrameType | None) -> None:
        signals.put(number)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        chain = EmbeddedChain(path, chain_id=chain_id, genesis_balances=genesis_balances, clock=clock)
        try:
            server = ChainServer(chain, port, host)
        except ServerError:
            chain.close()
            raise
        with server:
            (ready or _write_line)(server.url)
            _wait_for_one(signals)
    except (ChainFileError, ServerError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def _wait_for_one(signals: SimpleQueue[int]) -> None:
    """Wait for a signal; wake now and then, as Python runs a handler only when this thread does something.

    A signal that arrives just before the thread goes to sleep in the operating system would else be noticed with the
    next one only.
    """
    while True:
        try:
            signals.get(timeout=SIGNAL_POLL_SECONDS)
        except Empty:
            continue
        return


def _write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
