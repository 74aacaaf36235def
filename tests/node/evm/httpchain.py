"""A chain's node over HTTP that answers as it is told: statuses, headers and bodies as public nodes send them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One HTTP answer; a `body` that is no text is sent as JSON."""

    body: Any = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def result(value: Any) -> Reply:
    return Reply({"jsonrpc": "2.0", "id": 1, "result": value})


def error(code: int, message: str, status: int = 200) -> Reply:
    return Reply({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}, status)


Answer = Callable[[str, list[Any]], Reply]


@dataclass
class HttpChain:
    """`answer` is called with each call's method and parameters."""

    url: str
    answer: Answer
    calls: list[str] = field(default_factory=list)


@contextmanager
def http_chain(answer: Answer) -> Iterator[HttpChain]:
    """Serve `answer` while inside."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet

        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            chain.calls.append(call["method"])
            reply = chain.answer(call["method"], call["params"])
            body = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        chain = HttpChain(f"http://127.0.0.1:{server.server_address[1]}", answer)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield chain
        finally:
            server.shutdown()
            thread.join()


def header(number: int, name: str = "main") -> dict[str, Any]:
    """A block's header; `name` tells chains apart."""
    return {
        "number": hex(number),
        "hash": "0x" + f"{name.encode().hex()}{number:08x}".rjust(64, "0"),
        "parentHash": "0x" + f"{name.encode().hex()}{number - 1:08x}".rjust(64, "0") if number else "0x" + "00" * 32,
        "timestamp": hex(1_000 + number),
        "baseFeePerGas": "0x7",
        "logsBloom": "0x" + "00" * 256,
    }
