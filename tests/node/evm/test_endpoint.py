"""What one address of a chain says, or fails to say, is told in a sentence with its remedy and without its secrets."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from derelayl_node.evm import endpoint as endpoint_module
from derelayl_node.evm.endpoint import MAX_REASON_CHARS, Endpoint, EndpointFailed
from derelayl_node.ports import LedgerUnavailable

from .httpchain import Reply, error, http_chain, result

KEY = "k3yk3yk3yk3y"


def failure_of(reply: Reply | Callable[[str, list[Any]], Reply], path: str = f"/v3/{KEY}") -> EndpointFailed:
    with http_chain(reply if callable(reply) else lambda *_: reply) as chain:
        with pytest.raises(EndpointFailed) as failure:
            Endpoint(chain.url + path, timeout=5, clock=lambda: 0.0).ask("eth_chainId", [])
        assert chain.calls.count("eth_chainId") == 1, "an answer is not asked for again"
    return failure.value


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            Reply({"error": "invalid project id"}, 401),
            r"refuses access \(HTTP 401, invalid project id\): check",
        ),
        (Reply("", 403), r"refuses access \(HTTP 403, an empty answer\): check the key"),
        (Reply("<html>", 502), r"is out of order \(HTTP 502, a web page\): wait"),
        (Reply({"message": "no upstream"}, 503), r"is out of order \(HTTP 503, no upstream\): wait"),
        (Reply("", 504), r"is out of order \(HTTP 504, an empty answer\): wait"),
        (Reply("<html>Welcome to the hotel</html>"), r"is not a chain's JSON-RPC \(a web page\): check the URL"),
        (Reply(""), r"is not a chain's JSON-RPC \(an empty answer\): check the URL"),
        (Reply("[1, 2"), r"is not a chain's JSON-RPC \(\[1, 2\): check the URL"),
        (Reply([1]), r"is not a chain's JSON-RPC \(\[1\]\): check the URL"),
        (Reply("not found", 404), r"is not a chain's JSON-RPC \(HTTP 404, not found\): check the URL"),
        (Reply("", 301, {"Location": "https://elsewhere"}), r"is not a chain's JSON-RPC \(HTTP 301"),
    ],
)
def test_each_way_to_fail_has_its_own_sentence(reply: Reply, said: str) -> None:
    failure = failure_of(reply)
    assert failure.pause is None
    with pytest.raises(EndpointFailed, match=said):
        raise failure


@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_an_error_of_json_rpc_is_an_answer_whatever_the_status(status: int) -> None:
    with http_chain(lambda *_: error(-32600, "at most 10 blocks at once", status)) as chain:
        answer = Endpoint(chain.url, timeout=5).ask("eth_getLogs", [])
    assert answer["error"]["message"] == "at most 10 blocks at once"


@pytest.mark.parametrize(
    ("reply", "pause"),
    [
        (Reply("", 429), 0),
        (Reply("", 429, {"Retry-After": "7"}), 7),
        (Reply("", 429, {"Retry-After": "Thu, 01 Jan 1970 00:01:30 GMT"}), 90),
        (Reply("", 429, {"Retry-After": "soon"}), 0),
        (Reply("", 429, {"Retry-After": "-5"}), 0),
        (error(429, "slow down", 429), 0),
        (error(-32005, "daily request count exceeded, request rate limited"), 0),
        (error(-32000, "Your app has exceeded its compute units per second capacity"), 0),
    ],
)
def test_being_asked_too_often_is_told_with_the_pause_that_is_wanted(reply: Reply, pause: float) -> None:
    failure = failure_of(reply)
    assert failure.pause == pause
    assert "is asked too often" in str(failure)


def test_an_error_that_is_null_is_none() -> None:
    with http_chain(lambda *_: Reply({"id": 1, "result": None, "error": None})) as chain:
        assert Endpoint(chain.url, timeout=5).ask("eth_getTransactionReceipt", []) == {"id": 1, "result": None}


def test_a_contract_that_reverts_with_such_words_is_not_asked_too_often() -> None:
    with http_chain(lambda *_: error(3, "execution reverted: quota reached")) as chain:
        assert "error" in Endpoint(chain.url, timeout=5).ask("eth_call", [])


def test_a_nodes_own_words_are_one_bounded_printable_line_without_the_key() -> None:
    failure = str(failure_of(Reply({"error": {"message": f"no\x1b[31m\nsuch key {KEY}" + "x" * 10_000}}, 401)))
    assert "no [31m such key …x" in failure
    assert KEY not in failure
    assert len(failure) < MAX_REASON_CHARS + 200


@pytest.mark.parametrize("path", [f"/{KEY}", f"/?apikey={KEY}", f"/a/{KEY}/b"])
def test_a_key_that_the_node_repeats_is_not_shown(path: str) -> None:
    assert KEY not in str(failure_of(Reply({"error": f"bad {KEY}"}, 403), path))


def test_a_refused_connection_shows_nothing_of_the_urls_path_even_in_its_trace() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(EndpointFailed, match=f"127.0.0.1:{port} does not answer: check that it runs") as failure:
        Endpoint(f"http://127.0.0.1:{port}/{KEY}", timeout=1).ask("eth_chainId", [])
    assert KEY not in str(failure.getrepr(style="short", chain=True))


def test_a_node_that_only_listens_is_told_with_the_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = Endpoint(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.05)
        with pytest.raises(EndpointFailed, match="does not answer within"):
            silent.ask("eth_chainId", [])


def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_ANSWER_BYTES", 1_000)
    failure = failure_of(Reply("x" * 2_000))
    assert failure.overlong
    assert "sent more than" in str(failure)


def test_a_proxy_of_the_environment_does_not_catch_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with http_chain(lambda *_: result("0x1")) as chain:
        for url in (chain.url, chain.url.replace("127.0.0.1", "localhost")):
            assert Endpoint(url, timeout=5).ask("eth_chainId", []) == {"jsonrpc": "2.0", "id": 1, "result": "0x1"}
    with pytest.raises(LedgerUnavailable, match="cannot be reached through the environment's proxy"):
        Endpoint("http://node.example", timeout=5).ask("eth_chainId", [])
