"""Targets that read files, a chain's answers, requests to the embedded chain, streams, and queries of the REST API."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import numpy as np
import trio
from eth_abi.abi import encode
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from safetensors.numpy import save

from derelayl_node.api.pagination import _decode, _encode
from derelayl_node.api.problems import Problem
from derelayl_node.devchain.embedded import EmbeddedChain
from derelayl_node.devchain.server import answer_body
from derelayl_node.evm.codec import FUNCTIONS, Codec
from derelayl_node.evm.deploy import artifact
from derelayl_node.evm.provider import CallReverted, Rpc, SendRefused
from derelayl_node.network.wire import StreamFailed, read_block
from derelayl_node.ports import LedgerUnavailable
from derelayl_node.store.packing import _read_header
from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import Address
from tests.node.api.conftest import app_of, make_world
from tests.node.evm.fakechain import FakeChain
from tests.node.evm.world import BALANCES, ManualClock

from .targets import Target

WHO = Address("0x" + "bb" * 20)
SCOPE = "0123456789abcdef"


def adapter_targets() -> tuple[Target, ...]:
    """Targets with a little of the node around them."""
    return (
        Target("safetensors", _Safetensors().run, _safetensors_corpus(), (LocalFault,)),
        Target("evm-events", _events, _event_corpus(), (LedgerUnavailable,), share=0.5),
        Target("evm-results", _results, _result_corpus(), (LedgerUnavailable,), share=0.5),
        Target("json-rpc", _json_rpc, _rpc_corpus(), (LedgerUnavailable, CallReverted, SendRefused)),
        Target("cursor", lambda data: _decode(SCOPE, data.decode("latin-1")), _cursors(), (Problem,), max_bytes=512),
        Target("devchain", _devchain, _devchain_corpus(), (), share=0.05, guided=False),
        Target("framing", _framing, _frames(), (StreamFailed, ValueError), share=0.05, guided=False),
        Target("rest", _rest, _paths(), (), max_bytes=512, share=0.01, guided=False),
    )


# --- files ------------------------------------------------------------------------------------------------------------


class _Safetensors:
    """The header reader on an anonymous file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- for the life of the process

    def run(self, data: bytes) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(data)
        self._file.flush()
        self._file.seek(0)
        places, begin = _read_header(cast(Any, self._file), Path("weights"))
        assert begin + max((place.end for place in places.values()), default=0) == len(data)


def _safetensors_corpus() -> tuple[bytes, ...]:
    two: dict[str, Any] = {"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float16)}
    return save(two), save({"a": np.zeros(0, np.float32)}), save({}, metadata={"format": "pt"})


# --- a chain's answers ------------------------------------------------------------------------------------------------


@cache
def _codec() -> Codec:
    return Codec(artifact("RelayLedger")["abi"])


@cache
def _topics() -> tuple[bytes, ...]:
    return tuple(_codec()._events)


def _events(data: bytes) -> None:
    """The first byte chooses the event, the second how many topics there are; then topics, then data."""
    if len(data) < 2:
        return
    name, count = _topics()[data[0] % len(_topics())], data[1] % 5
    topics = [data[2 + 32 * at : 34 + 32 * at].ljust(32, b"\0") for at in range(count)]
    _codec().event([name, *topics], data[2 + 32 * count :])


def _event_corpus() -> tuple[bytes, ...]:
    words = encode(["uint256"] * 12, [32 * number for number in range(12)])
    return tuple(bytes([number, count]) + words for number in range(len(_topics())) for count in (1, 2))


VIEWS = ("roundOf", "modelOf", "checkpointOf", "stakeOf", "freeOf", "accessOf")


def _results(data: bytes) -> None:
    """The first byte chooses the view."""
    if not data:
        return
    name = VIEWS[data[0] % len(VIEWS)]
    found = _codec().result(name, data[1:])
    if name == "roundOf":
        _codec().round_view(found)
    elif name == "checkpointOf":
        _codec().checkpoint(found)
    elif name == "modelOf":
        _codec().rules(found[0])
    _codec().violation(data)


def _result_corpus() -> tuple[bytes, ...]:
    assert FUNCTIONS
    words = encode(["uint256"] * 64, [32 * (number % 5) for number in range(64)])
    small = encode(["uint256"] * 64, [number % 3 for number in range(64)])
    return tuple(bytes([number]) + body for number in range(len(VIEWS)) for body in (words, small))


class _Web3:
    """A provider that answers everything with one document."""

    def __init__(self, answer: Any) -> None:
        self.provider = self
        self._answer = answer

    def make_request(self, method: str, params: Any) -> Any:
        return self._answer


def _json_rpc(data: bytes) -> None:
    """The first byte chooses the call; the rest is the node's answer."""
    if not data:
        return
    try:
        answer = json.loads(data[1:])
    except (ValueError, RecursionError):  # the provider's own, which has its tests
        return
    rpc = Rpc(cast(Any, _Web3(answer)), "http://fake")
    calls: tuple[Callable[[], object], ...] = (
        rpc.chain_id,
        rpc.head,
        lambda: rpc.block(5),
        lambda: rpc.logs({"fromBlock": "0x0", "toBlock": "0x5"}),
        lambda: rpc.receipt(b"\x01" * 32),
        lambda: rpc.nonce(WHO),
        lambda: rpc.balance(WHO),
        lambda: rpc.code(WHO),
        lambda: rpc.call(WHO, b"\x01"),
        lambda: rpc.estimate(WHO, b"\x01", sender=WHO),
        lambda: rpc.send_raw(b"\x01"),
    )
    calls[data[0] % len(calls)]()


def _rpc_corpus() -> tuple[bytes, ...]:
    chain = FakeChain()
    chain.extend("a", (1, 2))
    header, logs = chain.blocks[0].header(), chain.blocks[0].logs()
    receipt = {
        "status": "0x1",
        "blockNumber": "0x1",
        "blockHash": "0x" + "01" * 32,
        "contractAddress": None,
        "gasUsed": "0x5208",
        "logs": logs,
    }
    answers: tuple[Any, ...] = (
        *("0x7a69", header, header, logs, receipt, "0x5", "0x5", "0x6001", "0x6001", "0x5208", "0x" + "01" * 32),
    )
    refusal = {"error": {"code": 3, "message": "execution reverted", "data": "0x08c379a0"}}
    good = tuple(bytes([at]) + json.dumps({"result": answer}).encode() for at, answer in enumerate(answers))
    return (*good, *(bytes([at]) + json.dumps(refusal).encode() for at in (8, 9, 10)))


# --- the embedded chain -----------------------------------------------------------------------------------------------


@cache
def _embedded() -> EmbeddedChain:
    folder = Path(tempfile.mkdtemp(prefix="derelayl-fuzz-"))
    return EmbeddedChain(folder / "chain.sqlite", chain_id=1, genesis_balances=BALANCES, clock=ManualClock())


def _devchain(data: bytes) -> None:
    answer = answer_body(_embedded(), data)
    assert b"internal error" not in json.dumps(answer).encode(), "a request must not find a defect"


def _devchain_corpus() -> tuple[bytes, ...]:
    account = "0x" + "bb" * 20
    calls: tuple[tuple[str, list[Any]], ...] = (
        ("eth_chainId", []),
        ("eth_blockNumber", []),
        ("eth_getBlockByNumber", ["latest", False]),
        ("eth_getBlockByHash", ["0x" + "01" * 32, True]),
        ("eth_getBalance", [account, "latest"]),
        ("eth_getTransactionCount", [account, "pending"]),
        ("eth_getCode", [account, "0x0"]),
        ("eth_call", [{"to": account, "data": "0x01", "from": account, "value": "0x1"}, "latest"]),
        ("eth_estimateGas", [{"to": account, "data": "0x01", "gas": "0x5208"}]),
        (
            "eth_getLogs",
            [{"fromBlock": "0x0", "toBlock": "latest", "address": account, "topics": [None, ["0x" + "01" * 32]]}],
        ),
        ("eth_getTransactionReceipt", ["0x" + "01" * 32]),
        ("eth_sendRawTransaction", ["0x02f86b01"]),
        ("eth_feeHistory", ["0x1", "latest", [50]]),
        ("net_version", []),
    )
    one = [{"jsonrpc": "2.0", "id": 1, "method": method, "params": params} for method, params in calls]
    return (*(json.dumps(call).encode() for call in one), json.dumps(one[:3]).encode())


# --- streams ----------------------------------------------------------------------------------------------------------


class _Stream:
    """Gives its bytes in pieces as small as the first byte says."""

    def __init__(self, data: bytes) -> None:
        self._piece = 1 + (data[0] if data else 0)
        self._data = data[1:]

    async def read(self, count: int | None = None) -> bytes:
        part = self._data[: min(count or self._piece, self._piece)]
        self._data = self._data[len(part) :]
        return part


def _framing(data: bytes) -> None:
    limit = 1_024

    async def read() -> bytes:
        return await read_block(cast(Any, _Stream(data)), limit)

    assert len(trio.run(read)) <= limit


def _frames() -> tuple[bytes, ...]:
    return (b"\x05" + (12).to_bytes(4, "big") + b"twelve bytes", b"\xff" + (1_024).to_bytes(4, "big") + bytes(1_024))


# --- REST -------------------------------------------------------------------------------------------------------------


def _cursors() -> tuple[bytes, ...]:
    return tuple(_encode(SCOPE, place).encode() for place in ((1,), (5, 7), (2**62,)))


@cache
def _app() -> tuple[FastAPI, tuple[str, ...]]:
    world = make_world(Path(tempfile.mkdtemp(prefix="derelayl-fuzz-")) / "lineage.db")
    model, tip = f"0x{world.proven.model.hex()}", f"0x{world.tip.hex()}"
    person = "0x" + "aa" * 20
    paths = (
        "/v1/models?limit=2",
        f"/v1/models/{model}",
        f"/v1/models/{model}/checkpoints?status=selected&order=newest&limit=1",
        f"/v1/models/{model}/rounds?limit=1&cursor=abc",
        f"/v1/checkpoints/{tip}/ancestors?model={model}&limit=3",
        f"/v1/checkpoints/{tip}/proof",
        f"/v1/accounts/{person}/statement?limit=5",
        "/v1/node",
        "/healthz",
        "/metrics",
    )
    return app_of(world), paths


def _paths() -> tuple[bytes, ...]:
    return tuple(path.encode() for path in _app()[1])


def _rest(data: bytes) -> None:
    path = "/" + quote(data.decode("latin-1").lstrip("/"), safe="/?&=%+.-_~:")

    async def ask() -> int:
        transport = ASGITransport(app=_app()[0], raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://node") as client:
            return (await client.get(path)).status_code

    status = trio.run(ask)
    assert status < 500, f"{path} is answered with {status}"
