"""The chain's server: what it answers, what it refuses, and what it has not forgotten after it was killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_typing import Address as RawAddress

from derelayl_node.devchain.embedded import EmbeddedChain
from derelayl_node.devchain.methods import METHODS
from derelayl_node.devchain.server import MAX_BATCH, MAX_BODY_BYTES, ChainServer, ServerError, run_chain
from derelayl_node.recursion import SAFE_RECURSION_LIMIT
from derelayl_protocol.types import Wei

from ..evm.world import (
    ALICE,
    BALANCES,
    BOB,
    CHAIN_ID,
    ManualClock,
    TickingClock,
    World,
    ask,
    open_embedded,
    post,
    transfer,
)

DEADLINE_S = 15.0


def until(condition: Callable[[], Any]) -> Any:
    """Poll until the condition holds; fail after the deadline."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("not within the deadline")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def url(tmp_path: Path, clock: ManualClock) -> Iterator[str]:
    with ChainServer(open_embedded(tmp_path / "chain.sqlite", clock)) as server:
        yield server.url


def send(url: str, raw: bytes) -> Any:
    return ask(url, "eth_sendRawTransaction", "0x" + raw.hex())


@pytest.mark.parametrize(
    "method",
    [
        "eth_accounts",
        "eth_sendTransaction",
        "eth_sign",
        "personal_unlockAccount",
        "personal_importRawKey",
        "evm_mine",
        "evm_increaseTime",
        "evm_snapshot",
        "evm_revert",
        "testing_timeTravel",
        "anvil_setBalance",
        "hardhat_impersonateAccount",
        "debug_traceTransaction",
        "admin_addPeer",
        "miner_start",
        "__class__",
        "",
    ],
)
def test_methods_that_give_power_do_not_exist(url: str, method: str) -> None:
    assert ask(url, method)["error"]["code"] == -32601


def test_the_allow_list_is_short() -> None:
    assert all(name.startswith(("eth_", "net_version", "web3_clientVersion")) for name in METHODS)
    assert not any(word in name for name in METHODS for word in ("account", "sign", "mine", "Transaction_"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"[" * 100_000, -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (json.dumps([{}] * (MAX_BATCH + 1)).encode(), -32600),
        (b"7", -32600),
        (b'{"method": 7}', -32601),
        (b'{"method": "eth_chainId", "params": {}}', -32602),
        (b'{"method": "eth_chainId", "params": [1]}', -32602),
        (b'{"method": "eth_getBalance", "params": ["0x12"]}', -32602),
        (b'{"method": "eth_getBalance", "params": [null]}', -32602),
        (b'{"method": "eth_getBlockByNumber", "params": ["0x-1"]}', -32602),
        (b'{"method": "eth_call", "params": ["x"]}', -32602),
        (b'{"method": "eth_getLogs", "params": [{"address": "0x12"}]}', -32602),
        (b'{"method": "eth_getLogs", "params": [{"topics": 7}]}', -32602),
    ],
)
def test_nonsense_gets_an_error_object(url: str, body: bytes, code: int) -> None:
    status, answer = post(url, body)
    assert status == 200
    assert answer["error"]["code"] == code


def test_nested_json_does_not_kill_the_server(url: str) -> None:
    for opening in (b"[", b'{"a":', b'["\\"[",', b'[["x"],'):
        assert post(url, opening * 100_000)[1]["error"]["code"] == -32700
    assert sys.getrecursionlimit() <= SAFE_RECURSION_LIMIT


def test_brackets_in_a_string_are_no_nesting(url: str) -> None:
    body = json.dumps({"id": "[" * 100 + '\\"{' * 100, "method": "eth_chainId"}).encode()
    assert post(url, body)[1]["result"] == hex(CHAIN_ID)


def test_a_huge_body_is_refused_unread(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode()
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_form_that_a_web_page_could_post_is_refused(url: str) -> None:
    assert post(url, b'{"method": "eth_chainId"}', "text/plain")[0] == 415


def test_a_batch_is_answered_in_order(url: str) -> None:
    calls = [{"id": 7, "method": "eth_chainId"}, {"id": "x", "method": "nope"}, {"id": 9, "method": "net_version"}]
    answers = post(url, json.dumps(calls).encode())[1]
    assert [answer["id"] for answer in answers] == [7, "x", 9]
    assert answers[0]["result"] == hex(CHAIN_ID)
    assert "error" in answers[1]


def test_a_revert_carries_its_data(url: str) -> None:
    answer = ask(url, "eth_call", {"data": "0x63deadbeef5f526004601cfd"}, "latest")
    assert answer["error"]["code"] == 3
    assert answer["error"]["data"] == "0xdeadbeef"


def test_a_refused_transaction_says_why(url: str) -> None:
    send(url, transfer(ALICE, 0))
    assert "nonce too low" in send(url, transfer(ALICE, 0, value=2))["error"]["message"]


def test_unknown_blocks_and_transactions_are_null(url: str) -> None:
    nowhere = "0x" + "ab" * 32
    for method, params in (
        ("eth_getBlockByNumber", ["0x99"]),
        ("eth_getBlockByHash", [nowhere]),
        ("eth_getTransactionByHash", [nowhere]),
        ("eth_getTransactionReceipt", [nowhere]),
    ):
        assert ask(url, method, *params)["result"] is None


def test_what_waits_is_mined_when_the_second_begins_without_another_request(url: str, clock: ManualClock) -> None:
    send(url, transfer(ALICE, 0))
    waiting = send(url, transfer(ALICE, 1))["result"]
    assert ask(url, "eth_getTransactionReceipt", waiting)["result"] is None
    assert ask(url, "eth_getTransactionByHash", waiting)["result"]["blockHash"] is None
    assert ask(url, "eth_getTransactionCount", ALICE.address, "latest")["result"] == "0x1"
    assert ask(url, "eth_getTransactionCount", ALICE.address, "pending")["result"] == "0x2"
    clock.now += 1
    receipt = until(lambda: ask(url, "eth_getTransactionReceipt", waiting)["result"])
    assert receipt["status"] == "0x1"
    assert receipt["blockNumber"] == "0x2"


def test_logs_are_found_by_range_by_hash_and_by_topic(world: World) -> None:
    whole = world.rpc.logs({"address": world.addresses.token, "fromBlock": "0x0", "toBlock": "latest"})
    assert len(whole) == 1
    by_hash = world.rpc.logs({"address": world.addresses.token, "blockHash": "0x" + whole[0].block_hash.hex()})
    assert by_hash == whole
    topic = "0x" + whole[0].topics[0].hex()
    every = {"fromBlock": "earliest", "toBlock": "latest"}
    assert world.rpc.logs({**every, "topics": [[topic, "0x" + "00" * 32]]}) == whole
    assert world.rpc.logs({**every, "topics": [None, None, None]}) == whole
    assert world.rpc.logs({**every, "topics": [["0x" + "00" * 32]]}) == ()
    assert world.rpc.logs({**every, "address": ALICE.address}) == ()
    assert world.rpc.logs({**every, "topics": [None] * 4}) == ()


def test_two_clients_at_once_lose_nothing(tmp_path: Path) -> None:
    with ChainServer(open_embedded(tmp_path / "chain.sqlite", TickingClock())) as server:
        failures: list[Any] = []

        def client(key: Any) -> None:
            for nonce in range(20):
                answer = send(server.url, transfer(key, nonce))
                if "error" in answer:
                    failures.append(answer)

        threads = [threading.Thread(target=client, args=(key,)) for key in (ALICE, BOB)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        assert failures == []
        assert int(ask(server.url, "eth_getBalance", "0x" + "ee" * 20)["result"], 16) == 40


# --- processes ---


def test_a_taken_port_is_one_sentence_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_chain(tmp_path / "chain.sqlite", port, CHAIN_ID, BALANCES, clock=ManualClock()) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "choose another port" in error
    EmbeddedChain(tmp_path / "chain.sqlite", chain_id=CHAIN_ID, genesis_balances={}, clock=ManualClock()).close()


def test_a_taken_port_leaves_the_chain_unlocked(tmp_path: Path, clock: ManualClock) -> None:
    chain = open_embedded(tmp_path / "chain.sqlite", clock)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServerError):
        ChainServer(chain, taken.getsockname()[1])
    chain.close()


@contextmanager
def served(file: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own; killed at the end if it still runs."""
    script = Path(__file__).with_name("serve.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(file), "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_second_process_on_the_same_file_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    chain = open_embedded(tmp_path / "chain.sqlite", clock)
    with served(tmp_path / "chain.sqlite") as (process, url):
        assert url == ""
        assert process.wait(DEADLINE_S) == 1
        assert process.stderr is not None
        assert "Another process uses the chain file" in process.stderr.read()
    chain.close()


def test_sigterm_ends_with_status_0(tmp_path: Path) -> None:
    with served(tmp_path / "chain.sqlite") as (process, url):
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)):  # idle, must not hold it up
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0


def test_kill_9_loses_no_acknowledged_transaction(tmp_path: Path) -> None:
    file = tmp_path / "chain.sqlite"
    with served(file) as (process, url):
        acknowledged = [bytes.fromhex(send(url, transfer(ALICE, nonce))["result"][2:]) for nonce in range(30)]
        os.kill(process.pid, signal.SIGKILL)
        process.wait(DEADLINE_S)
    chain = open_embedded(file, ManualClock(time.time() + 60))
    assert not chain.mine_due()
    assert all(chain.transaction(hash_)[1] is not None for hash_ in acknowledged)
    assert chain.state().get_balance(RawAddress(b"\xee" * 20)) == 30
    assert chain.head().timestamp <= time.time() + 60
    chain.close()


def test_the_supply_is_on_the_chain_that_the_server_serves(world: World) -> None:
    assert world.rpc.code(world.addresses.token)
    assert world.rpc.balance(BOB.address) == Wei(BALANCES[BOB.address])
