"""A JSON-RPC proxy between the peers and their chain, which each peer reaches by a path of its own: /NAME.

It refuses, forgets and lies as the faults in force say; without a fault it hands bytes on. It shares the loop of
whoever plays.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import trio
from tests.chaos.faults import ChainDown, Fault, Lie, OutOfGas, Refusal, RpcLies, RpcLimits
from web3 import Web3

MAX_HEAD_BYTES = 64 * 1024
RANGE = 5
"""Blocks that an endpoint with a limit on log ranges answers for."""

LATEST = "latest"

Json = dict[str, Any]


@dataclass
class ChainProxy:
    """The faults in force; `port` is where it listens once it is open."""

    port: int = 0
    upstream: str = ""
    faults: list[Fault] = field(default_factory=list)
    asked: int = 0
    refused: int = 0
    _frozen: dict[str, str] = field(default_factory=dict)  # the head that a lagging endpoint shows, by peer

    def url(self, name: str, upstream: str) -> str:
        """The chain's URL for a peer."""
        self.upstream = upstream
        return f"http://127.0.0.1:{self.port}/{name}"

    def begin(self, fault: Fault) -> None:
        """Let a fault be in force."""
        self.faults.append(fault)

    def end(self, fault: Fault) -> None:
        """Be as before it."""
        self.faults.remove(fault)
        for name in fault.whom:
            self._frozen.pop(name, None)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, until either side closes it."""
        place = urlsplit(self.upstream)
        try:
            async with stream, await trio.open_tcp_stream(place.hostname or "", place.port or 0) as chain:
                near, far = _Reader(stream), _Reader(chain)
                while (request := await near.message()) is not None:
                    head, body = request
                    await stream.send_all(await self._answer(head.split(b" ")[1][1:].decode(), body, chain, far))
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, ConnectionError):
            return  # whoever hung up knows why

    async def _answer(self, name: str, body: bytes, chain: trio.SocketStream, far: _Reader) -> bytes:
        self.asked += 1
        call = json.loads(body)
        calls = call if isinstance(call, list) else [call]
        for fault in [each for each in self.faults if name in each.whom or not each.whom]:
            answer = await self._refusal(fault, name, calls, chain, far)
            if answer is not None:
                self.refused += 1
                return answer if not isinstance(call, list) else _http(200, json.dumps([_parsed(answer)] * len(call)))
        return await _forward(body, chain, far)

    async def _refusal(
        self, fault: Fault, name: str, calls: list[Json], chain: trio.SocketStream, far: _Reader
    ) -> bytes | None:
        """What is answered instead of the truth; None where the fault does not touch the calls."""
        methods = {call["method"] for call in calls}
        first = calls[0]
        match fault:
            case ChainDown():
                raise ConnectionError("the chain is down")
            case RpcLimits(refusal=Refusal.TOO_MANY) if self.asked % 10 < 10 * fault.share:
                return _http(429, json.dumps(_error(first, 429, "too many requests")), "Retry-After: 1\r\n")
            case RpcLimits(refusal=Refusal.RANGE) if any(_range(call) > RANGE for call in calls):
                return _http(200, json.dumps(_error(first, -32005, f"block range too large, limit is {RANGE}")))
            case RpcLimits(refusal=Refusal.SENDS) if "eth_sendRawTransaction" in methods:
                return _http(429, json.dumps(_error(first, 429, "too many requests")), "Retry-After: 1\r\n")
            case OutOfGas() if "eth_sendRawTransaction" in methods:
                return _http(200, json.dumps(_error(first, -32000, "insufficient funds for gas * price + value")))
            case RpcLies(lie=Lie.GARBAGE):
                return _http(502, "<html><body>502 Bad Gateway</body></html>", kind="text/html")
            case RpcLies(lie=Lie.FORGETS) if "eth_sendRawTransaction" in methods:
                return _http(200, json.dumps({"jsonrpc": "2.0", "id": first["id"], "result": _hash_of(first)}))
            case RpcLies(lie=Lie.LATE_RECEIPTS) if "eth_getTransactionReceipt" in methods:
                return _http(200, json.dumps({"jsonrpc": "2.0", "id": first["id"], "result": None}))
            case RpcLies(lie=Lie.LAGS):
                return await self._old(name, calls, chain, far)
        return None

    async def _old(self, name: str, calls: list[Json], chain: trio.SocketStream, far: _Reader) -> bytes | None:
        """Answer as of the head that was seen first; a replica that lags does so for all that asks for the newest."""
        if name not in self._frozen:
            head = {"jsonrpc": "2.0", "id": 0, "method": "eth_blockNumber", "params": []}
            self._frozen[name] = _parsed(await _forward(json.dumps(head).encode(), chain, far))["result"]
        frozen = self._frozen[name]
        if len(calls) > 1:
            return None
        call = calls[0]
        if call["method"] == "eth_blockNumber":
            return _http(200, json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": frozen}))
        params = [frozen if each == LATEST else each for each in call.get("params", [])]
        return await _forward(json.dumps({**call, "params": params}).encode(), chain, far)


class _Reader:
    """Whole HTTP messages off a stream."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream, self._unread = stream, bytearray()

    async def message(self) -> tuple[bytes, bytes] | None:
        """Head and body; None at the end."""
        while (end := self._unread.find(b"\r\n\r\n")) < 0:
            if len(self._unread) > MAX_HEAD_BYTES or not await self._more():
                return None
        head = bytes(self._unread[: end + 4])
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        whole = end + 4 + int(lengths[0].split(b":")[1])
        while len(self._unread) < whole:
            if not await self._more():
                return None
        body = bytes(self._unread[end + 4 : whole])
        del self._unread[:whole]
        return head, body

    async def _more(self) -> bool:
        data = await self._stream.receive_some(65536)
        self._unread += data
        return bool(data)


async def _forward(body: bytes, chain: trio.SocketStream, far: _Reader) -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: chain\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    await chain.send_all(head.encode() + body)
    answer = await far.message()
    if answer is None:
        raise ConnectionError("the chain hung up")
    return b"".join(answer)


def _http(status: int, body: str, more: str = "", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body.encode())}\r\n\r\n"
    return head.encode() + body.encode()


def _error(call: Json, code: int, message: str) -> Json:
    return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}


def _parsed(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def _range(call: Json) -> int:
    if call["method"] != "eth_getLogs" or "fromBlock" not in call["params"][0]:
        return 0
    first, last = (call["params"][0].get(each, "0x0") for each in ("fromBlock", "toBlock"))
    return int(last, 16) - int(first, 16) + 1 if last.startswith("0x") and first.startswith("0x") else 0


def _hash_of(call: Json) -> str:
    return "0x" + bytes(Web3.keccak(hexstr=call["params"][0])).hex()


@asynccontextmanager
async def open_proxy() -> AsyncIterator[ChainProxy]:
    """Listen on a free port."""
    proxy = ChainProxy()
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        proxy.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, proxy.serve, listeners)
        yield proxy
        nursery.cancel_scope.cancel()
