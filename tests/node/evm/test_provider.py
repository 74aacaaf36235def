"""What a node answers is read strictly, and every failure is one sentence with a remedy."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from eth_utils.crypto import keccak
from web3.types import RPCEndpoint

from derelayl_node.evm.displacement import Use, find_use
from derelayl_node.evm.endpoint import MAX_REASON_CHARS
from derelayl_node.evm.provider import CallReverted, Rpc, SendRefused, TooMuchAsked, open_chain
from derelayl_node.ports import LedgerUnavailable

from .world import ALICE, World, transfer


class Scripted:
    """A provider that gives one answer."""

    def __init__(self, answer: Any) -> None:
        self.provider, self.answer = self, answer

    def make_request(self, method: str, params: Any) -> Any:
        return self.answer


def scripted(answer: Any) -> Rpc:
    return Rpc(Scripted(answer), "http://user:hunter2@node.example:8545/key?token=x")  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "localhost:8545", "embedded:/x"])
def test_another_kind_of_address_is_refused(url: str) -> None:
    with pytest.raises(LedgerUnavailable, match="not the address of a chain"):
        open_chain(url, 1)


def test_a_silent_port_is_named_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(LedgerUnavailable, match=f"127.0.0.1:{port} does not answer: check that it runs"):
        open_chain(f"http://127.0.0.1:{port}", 1)


def test_a_web_server_is_no_chain() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(LedgerUnavailable, match="not a chain's JSON-RPC"):
            open_chain(f"http://127.0.0.1:{server.server_address[1]}", 1)
        thread.join()


def test_the_chain_of_another_network_is_refused(world: World) -> None:
    with pytest.raises(LedgerUnavailable, match="has id 31337, but this network's file says 5"):
        open_chain(world.url, 5)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        None,
        {"result": None},
        {"result": 7},
        {"result": "7"},
        {"result": "0xzz"},
        {"error": {"code": -1, "message": "no"}},
        {"error": "no"},
        {"result": "0x"},
    ],
)
def test_nonsense_for_a_number_is_an_error(answer: Any) -> None:
    with pytest.raises(LedgerUnavailable):
        scripted(answer).chain_id()


@pytest.mark.parametrize("missing", ["number", "hash", "parentHash", "timestamp", "logsBloom"])
def test_a_block_with_a_missing_or_broken_field_is_an_error(world: World, missing: str) -> None:
    block = world.rpc._w3.provider.make_request(RPCEndpoint("eth_getBlockByNumber"), ["latest", False])["result"]
    with pytest.raises(LedgerUnavailable, match=missing):
        scripted({"result": {name: value for name, value in block.items() if name != missing}}).block()
    with pytest.raises(LedgerUnavailable):
        scripted({"result": {**block, missing: "0xg"}}).block()


def test_a_refusal_names_a_remedy() -> None:
    with pytest.raises(
        LedgerUnavailable, match=r"refused eth_chainId: Internal error: upstream timeout\. Try again, or"
    ):
        scripted({"error": {"code": -32603, "message": "Internal error: upstream timeout."}}).chain_id()


def test_errors_do_not_show_what_the_url_keeps_secret() -> None:
    with pytest.raises(LedgerUnavailable) as failure:
        scripted({"error": {"message": "no"}}).chain_id()
    assert "http://node.example:8545" in str(failure.value)
    assert not any(secret in str(failure.value) for secret in ("hunter2", "user", "key", "token"))


@pytest.mark.parametrize(
    ("error", "data"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0xdeadbeef"}, b"\xde\xad\xbe\xef"),
        ({"code": -32000, "message": "execution reverted", "data": {"data": "0xdeadbeef"}}, b"\xde\xad\xbe\xef"),
        ({"code": -32000, "message": "execution reverted"}, b""),
        ({"code": 3, "message": "x"}, b""),
    ],
)
def test_the_ways_in_which_nodes_report_a_revert(error: Any, data: bytes) -> None:
    with pytest.raises(CallReverted) as refusal:
        scripted({"error": error}).call(ALICE.address, b"")
    assert refusal.value.data == data


def test_sending_twice_is_no_failure_but_a_refusal_is(world: World) -> None:
    raw = transfer(ALICE, world.rpc.nonce(ALICE.address))
    world.rpc.send_raw(raw)
    world.rpc.send_raw(raw)
    with pytest.raises(SendRefused, match="nonce too low"):
        world.rpc.send_raw(transfer(ALICE, 0))


RANGE = {"address": ALICE.address, "fromBlock": "0x0", "toBlock": "0x3e8"}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32600, "this plan answers for at most 10 blocks at once"),
        (-32005, "query returned more than 10000 results"),
        (-32602, "block range too large"),
        (-32000, "query timeout exceeded"),
    ],
)
def test_a_refused_range_of_logs_may_be_halved_until_it_is_one_block(code: int, words: str) -> None:
    rpc = scripted({"error": {"code": code, "message": words}})
    with pytest.raises(TooMuchAsked, match=words):
        rpc.logs(RANGE)
    for single in ({**RANGE, "toBlock": "0x0"}, {"address": ALICE.address, "blockHash": "0x" + "11" * 32}):
        with pytest.raises(LedgerUnavailable, match=words) as refusal:
            rpc.logs(single)
        assert not isinstance(refusal.value, TooMuchAsked)


def test_a_chain_without_finality_has_no_finalized_block() -> None:
    assert scripted({"error": {"code": -32602, "message": "unknown block tag"}}).block("finalized") is None
    assert scripted({"result": None}).block("safe") is None


def test_a_chain_with_finality_names_the_block(world: World) -> None:
    finalized = world.rpc.block("finalized")
    assert finalized is not None
    assert finalized.ref == world.rpc.head().ref


@pytest.mark.parametrize("code", [-32601, -32004])
def test_a_node_without_a_suggestion_for_the_tip_suggests_none(code: int) -> None:
    assert scripted({"error": {"code": code, "message": "the method does not exist"}}).tip() is None
    with pytest.raises(LedgerUnavailable, match="overloaded"):
        scripted({"error": {"code": -32000, "message": "overloaded"}}).tip()


def test_a_block_without_a_base_fee_is_read_and_says_so(world: World) -> None:
    block = world.rpc._w3.provider.make_request(RPCEndpoint("eth_getBlockByNumber"), ["latest", False])["result"]
    del block["baseFeePerGas"]
    read = scripted({"result": block}).block()
    assert read is not None
    assert read.base_fee is None


def test_a_refusal_to_send_is_bounded_and_an_empty_one_is_a_refusal() -> None:
    with pytest.raises(SendRefused) as refusal:
        scripted({"error": {"code": -32000, "message": "x" * 10_000}}).send_raw(b"")
    assert len(str(refusal.value)) <= MAX_REASON_CHARS
    for silent in ({"code": -32000}, {"code": -32000, "message": ""}):
        with pytest.raises(SendRefused):
            scripted({"error": silent}).send_raw(b"")


def test_which_transaction_used_a_nonce_is_read_from_its_block(world: World) -> None:
    nonce = world.rpc.nonce(ALICE.address)
    raw = transfer(ALICE, nonce)
    world.rpc.send_raw(raw)
    head = world.rpc.head().ref.number
    assert world.rpc.transaction_in(head, ALICE.address, nonce) == keccak(raw)
    assert world.rpc.transaction_in(head, ALICE.address, nonce + 1) is None
    assert world.rpc.nonce(ALICE.address, head - 1) == nonce
    assert find_use(world.rpc, ALICE.address, nonce) == Use(head, keccak(raw))
    assert find_use(world.rpc, ALICE.address, nonce + 1) is None
