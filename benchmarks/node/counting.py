"""Stands before a chain, counts what it is asked, and can pull its blocks apart with empty ones between them."""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TIMEOUT_S = 30.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Json = Any


class CountingChain:
    """Block k of the chain behind is block k times `spread` here; the others are empty."""

    def __init__(self, upstream: str, spread: int = 1) -> None:
        self.calls: Counter[str] = Counter()
        self._upstream, self._spread = upstream, spread
        self._lock = threading.Lock()
        self._behind: dict[int, Json] = {}
        self._head = 0  # of a chain that is pulled apart, which must stand still

    def answer(self, request: Mapping[str, Json]) -> Mapping[str, Json]:
        method, params = request["method"], list(request.get("params", []))
        with self._lock:
            self.calls[method] += 1
        if self._spread == 1:
            return self._ask(method, params)
        if method == "eth_getBlockByNumber" and params[0].startswith("0x") and int(params[0], 16) % self._spread:
            return {"result": self._empty(int(params[0], 16))}
        if method in ("eth_getBlockByNumber", "eth_call") and str(params[-1 if method == "eth_call" else 0]).startswith(
            "0x"
        ):
            place = -1 if method == "eth_call" else 0
            params[place] = hex(int(params[place], 16) // self._spread)
        if method == "eth_getLogs" and "fromBlock" in params[0]:
            query = params[0]
            first, last = -(-int(query["fromBlock"], 16) // self._spread), int(query["toBlock"], 16) // self._spread
            if first > last:
                return {"result": []}
            params = [{**query, "fromBlock": hex(first), "toBlock": hex(last)}]
        return self._ask(method, params, stretch=True)

    def _ask(self, method: str, params: list[Json], stretch: bool = False) -> dict[str, Json]:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._upstream, body, {"Content-Type": "application/json"})  # noqa: S310
        with _DIRECT.open(request, timeout=TIMEOUT_S) as answer:
            found: dict[str, Json] = json.load(answer)
        if stretch and "result" in found:
            self._stretch(method, found)
        return found

    def _stretch(self, method: str, answer: dict[str, Json]) -> None:
        result = answer["result"]
        if method == "eth_blockNumber":
            answer["result"] = self._far(result)
        for each in result if isinstance(result, list) else [result]:
            if isinstance(each, dict):
                for log in (each, *each.get("logs", ())):
                    if log.get("blockNumber"):
                        log["blockNumber"] = self._far(log["blockNumber"])
        if method == "eth_getBlockByNumber" and result:
            number = int(result["number"], 16) * self._spread
            result["number"] = hex(number)
            if number:
                result["parentHash"] = _name(number - 1)

    def _far(self, number: str) -> str:
        return hex(int(number, 16) * self._spread)

    def _empty(self, number: int) -> Json:
        """A block without transactions; None beyond the head."""
        with self._lock:
            if number // self._spread not in self._behind:
                answer = self._ask("eth_getBlockByNumber", [hex(number // self._spread), False])
                self._behind[number // self._spread] = answer["result"]
            before = self._behind[number // self._spread]
            self._head = self._head or int(self._ask("eth_blockNumber", [])["result"], 16) * self._spread
        head = self._head
        if before is None or number > head:
            return None
        parent = before["hash"] if number % self._spread == 1 else _name(number - 1)
        return {
            **before,
            "number": hex(number),
            "hash": _name(number),
            "parentHash": parent,
            "logsBloom": "0x" + "00" * 256,
        }


def _name(number: int) -> str:
    return "0x" + hashlib.sha256(b"empty %d" % number).hexdigest()


@contextmanager
def counting(upstream: str, spread: int = 1) -> Iterator[tuple[CountingChain, str]]:
    """Serve the chain behind `upstream`; gives the counter and its URL."""
    chain = CountingChain(upstream, spread)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answers = [{"jsonrpc": "2.0", **chain.answer(one), "id": one["id"]} for one in _listed(request)]
            body = json.dumps(answers if isinstance(request, list) else answers[0]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield chain, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _listed(request: Json) -> list[Json]:
    return request if isinstance(request, list) else [request]
