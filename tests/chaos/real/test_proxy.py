"""The proxy between peers and chain refuses and lies as the faults in force say, and else hands on what it gets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
from tests.chaos.faults import ChainDown, Fault, Lie, OutOfGas, Refusal, RpcLies, RpcLimits
from web3 import Web3
from web3.providers import BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from derelayl_node.evm.endpoint import Endpoint
from derelayl_node.evm.provider import Rpc, SendRefused
from derelayl_node.ports import LedgerUnavailable

from .proxy import ChainProxy, _http, _Reader, open_proxy

RAW = b"\x02raw"


class Upstream:
    """A chain of which only the head's number can be asked, and which takes every transaction."""

    def __init__(self) -> None:
        self.height = 7
        self.taken: list[str] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        reader = _Reader(stream)
        while (message := await reader.message()) is not None:
            call = json.loads(message[1])
            await stream.send_all(
                _http(200, json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": self._do(call)}))
            )

    def _do(self, call: dict[str, Any]) -> str:
        if call["method"] == "eth_sendRawTransaction":
            self.taken.append(call["params"][0])
            return "0x" + "11" * 32
        return hex(self.height if call["params"][1:] in ([], ["latest"]) else int(call["params"][1], 16))


class Direct(BaseProvider):
    """Asks one address each time anew, where a node would let it rest after a failure."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._endpoint = Endpoint(url, timeout=5.0)

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return cast(RPCResponse, self._endpoint.ask(method, params))


@asynccontextmanager
async def playing() -> AsyncIterator[tuple[ChainProxy, Upstream, Rpc]]:
    upstream = Upstream()
    async with open_proxy() as proxy, trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, upstream.serve, listeners)
        url = proxy.url("p1", f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}")
        yield proxy, upstream, Rpc(Web3(Direct(url)), url)
        nursery.cancel_scope.cancel()


async def _nonce(rpc: Rpc) -> int:
    return await trio.to_thread.run_sync(rpc.nonce, "0x" + "00" * 20)


@pytest.mark.parametrize(
    "fault",
    [
        ChainDown(start=0, length=1),
        RpcLimits(start=0, length=1, share=1.0),
        RpcLies(start=0, length=1, lie=Lie.GARBAGE),
    ],
)
async def test_a_peer_gets_no_answer_while_its_chain_is_out_of_reach(fault: Fault) -> None:
    async with playing() as (proxy, _, rpc):
        proxy.begin(fault)
        with pytest.raises(LedgerUnavailable):
            await _nonce(rpc)
        proxy.end(fault)
        assert await _nonce(rpc) == 7


@pytest.mark.parametrize(
    "fault", [RpcLimits(start=0, length=1, refusal=Refusal.SENDS), OutOfGas(start=0, length=1)], ids=["limit", "gas"]
)
async def test_only_transactions_are_refused_where_the_fault_says_so(fault: Fault) -> None:
    async with playing() as (proxy, upstream, rpc):
        proxy.begin(fault)
        assert await _nonce(rpc) == 7
        with pytest.raises((LedgerUnavailable, SendRefused)):
            await trio.to_thread.run_sync(rpc.send_raw, RAW)
        assert upstream.taken == []


async def test_a_forgetful_endpoint_takes_a_transaction_and_drops_it() -> None:
    async with playing() as (proxy, upstream, rpc):
        proxy.begin(RpcLies(start=0, length=1, lie=Lie.FORGETS))
        await trio.to_thread.run_sync(rpc.send_raw, RAW)
        assert upstream.taken == []


async def test_a_lagging_replica_answers_as_of_the_head_that_it_has_seen() -> None:
    async with playing() as (proxy, upstream, rpc):
        fault = RpcLies(start=0, length=1, whom=("p1",), lie=Lie.LAGS)
        proxy.begin(fault)
        assert await _nonce(rpc) == 7
        upstream.height = 9
        assert await _nonce(rpc) == 7
        proxy.end(fault)
        assert await _nonce(rpc) == 9


async def test_a_fault_of_another_peer_is_none_of_this_one() -> None:
    async with playing() as (proxy, _, rpc):
        proxy.begin(ChainDown(start=0, length=1, whom=("p2",)))
        assert await _nonce(rpc) == 7
