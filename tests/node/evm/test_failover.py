"""Several addresses of a chain: one that fails costs nothing, and none may pass off another chain or an older head."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from web3 import Web3

from derelayl_node.evm.endpoint import Endpoint
from derelayl_node.evm.failover import FIRST_REST_S, LAG_PATIENCE_S, LAST_REST_S, MAX_PAUSE_S, Failover, Identity
from derelayl_node.evm.provider import Rpc, TooMuchAsked
from derelayl_node.ports import AnotherChain, LedgerUnavailable
from derelayl_protocol.types import Address

from .httpchain import HttpChain, Reply, error, header, http_chain, result

LEDGER = Address("0x" + "aa" * 20)


class Time:
    """Seconds that pass by sleeping only."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


def silent(_method: str, _params: list[Any]) -> Reply:
    """A gateway before a node that does not answer."""
    return Reply("", 502)


def node(head: int = 100, chain_id: int = 5, name: str = "main", code: str = "0x60") -> Callable[..., Reply]:
    def answer(method: str, params: list[Any]) -> Reply:
        match method:
            case "eth_chainId":
                return result(hex(chain_id))
            case "eth_getCode":
                return result(code)
            case "eth_blockNumber":
                return result(hex(head))
            case "eth_getBlockByNumber":
                number = head if params[0] == "latest" else int(params[0], 16)
                return result(header(number, name) if number <= head else None)
            case "eth_getLogs":
                return result([])
            case _:
                return error(-32601, "no such method")

    return answer


class Addresses:
    """Some served chains behind one Rpc."""

    def __init__(self, stack: ExitStack, *answers: Callable[..., Reply]) -> None:
        self.time = Time()
        self.chains: list[HttpChain] = [stack.enter_context(http_chain(answer)) for answer in answers]
        endpoints = [Endpoint(chain.url, timeout=5) for chain in self.chains]
        self.rpc = Rpc(
            Web3(Failover(endpoints, Identity(5, LEDGER), clock=self.time, sleep=self.time.sleep)), self.chains[0].url
        )


@pytest.fixture
def stack() -> Any:
    with ExitStack() as stack:
        yield stack


def test_the_next_address_is_asked_when_one_fails_and_the_first_again_when_it_has_rested(stack: ExitStack) -> None:
    up = node()
    here = Addresses(stack, silent, node())
    assert here.rpc.head().ref.number == 100
    failed, serving = here.chains
    failed.calls.clear()
    here.rpc.head()
    assert failed.calls == [], "it rests"
    here.time.now += FIRST_REST_S
    failed.answer = up
    serving.calls.clear()
    here.rpc.head()
    assert serving.calls == []
    assert failed.calls[-1] == "eth_getBlockByNumber"


def test_an_address_rests_the_longer_the_more_often_it_fails(stack: ExitStack) -> None:
    here = Addresses(stack, silent, node())
    rests, last = [], 0.0
    for _ in range(9):
        here.chains[0].calls.clear()
        while not here.chains[0].calls:
            here.rpc.head()
            here.time.now += 1
        rests.append(here.time.now - last)
        last = here.time.now
    assert rests[1:] == sorted(rests[1:])
    assert rests[-1] == pytest.approx(LAST_REST_S, abs=2)


def test_all_failing_addresses_are_told_and_asked_again(stack: ExitStack) -> None:
    here = Addresses(stack, silent, lambda *_: Reply("no", 401))
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match=r"No address of the chain serves.*out of order.*check the key"):
            here.rpc.head()
    here.chains[1].answer = node()
    assert here.rpc.head().ref.number == 100


def test_a_single_address_is_asked_every_time(stack: ExitStack) -> None:
    here = Addresses(stack, silent)
    for _ in range(3):
        with pytest.raises(LedgerUnavailable, match="out of order"):
            here.rpc.head()
    here.chains[0].answer = node()
    assert here.rpc.head().ref.number == 100
    assert here.time.slept == 0


# --- asked too often ---


def test_a_pause_that_a_node_asks_for_is_waited(stack: ExitStack) -> None:
    here = Addresses(stack, lambda *_: Reply("", 429, {"Retry-After": "3"}))
    answer, asked = node(), []

    def limited(method: str, params: list[Any]) -> Reply:
        asked.append(here.time.now)
        return Reply("", 429, {"Retry-After": "3"}) if len(asked) == 1 else answer(method, params)

    here.chains[0].answer = limited
    assert here.rpc.head().ref.number == 100
    assert here.time.slept == 3


@pytest.mark.parametrize("every", [2, 3, 4])
def test_a_node_that_refuses_some_questions_answers_all_of_them_in_the_end(stack: ExitStack, every: int) -> None:
    here = Addresses(stack, node())
    answer, chain = node(), here.chains[0]
    chain.answer = lambda method, params: Reply("", 429) if len(chain.calls) % every == 0 else answer(method, params)
    for _ in range(9):
        assert here.rpc.head().ref.number == 100
    assert here.time.slept <= 20


def test_a_pause_without_a_time_grows_and_ends_in_an_error(stack: ExitStack) -> None:
    here = Addresses(stack, lambda *_: error(-32005, "daily request count exceeded"))
    with pytest.raises(LedgerUnavailable, match=r"asked too often \(daily request count exceeded\).*--chain-url"):
        here.rpc.head()
    assert 0 < here.time.slept <= 20
    assert len(here.chains[0].calls) < 6


def test_a_long_pause_is_told_and_kept_but_not_longer_than_is_believed(stack: ExitStack) -> None:
    here = Addresses(stack, lambda *_: Reply("", 429, {"Retry-After": "86400"}))
    with pytest.raises(LedgerUnavailable, match="wants 86400 s of rest"):
        here.rpc.head()
    with pytest.raises(LedgerUnavailable, match="asked to be left alone for 300 s more"):
        here.rpc.head()
    assert len(here.chains[0].calls) == 1
    here.chains[0].answer = node()
    here.time.now += MAX_PAUSE_S
    assert here.rpc.head().ref.number == 100


def test_another_address_is_asked_without_waiting(stack: ExitStack) -> None:
    here = Addresses(stack, lambda *_: Reply("", 429, {"Retry-After": "3"}), node())
    assert here.rpc.head().ref.number == 100
    assert here.time.slept == 0


# --- another chain ---


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (node(chain_id=6), "has id 6, but this network's file says 5"),
        (node(code="0x"), "There is no contract at"),
    ],
)
def test_an_address_of_another_chain_never_serves(stack: ExitStack, wrong: Callable[..., Reply], said: str) -> None:
    here = Addresses(stack, wrong, node())
    here.rpc.head()
    assert "eth_getBlockByNumber" in here.chains[1].calls
    with pytest.raises(LedgerUnavailable, match=said):
        Addresses(stack, wrong).rpc.head()


def test_an_address_whose_chain_began_otherwise_never_serves(stack: ExitStack) -> None:
    here = Addresses(stack, node(), node(head=200, name="fork"))
    assert here.rpc.head().ref.number == 100
    here.chains[0].answer = silent
    with pytest.raises(LedgerUnavailable, match="began with another block"):
        here.rpc.head()


# --- lag ---


def test_a_lagging_address_is_not_mistaken_for_a_chain_that_went_back(stack: ExitStack) -> None:
    here = Addresses(stack, node(100), node(97))
    assert here.rpc.head().ref.number == 100
    here.chains[0].answer = silent
    for ask in (here.rpc.head, lambda: here.rpc.block(98), lambda: here.rpc.logs({"toBlock": hex(100)})):
        with pytest.raises(LedgerUnavailable, match="has come to block 97, and another address showed block"):
            ask()
    assert here.rpc.block(97) is not None
    here.chains[1].answer = node(101)
    assert here.rpc.head().ref.number == 101


def test_what_all_addresses_show_for_long_is_the_chain(stack: ExitStack) -> None:
    here = Addresses(stack, node(100), node(97))
    here.rpc.head()
    here.chains[0].answer = silent
    here.time.now += LAG_PATIENCE_S + 1
    assert here.rpc.head().ref.number == 97
    assert here.rpc.block(98) is None


def test_one_address_may_show_that_its_own_chain_went_back(stack: ExitStack) -> None:
    here = Addresses(stack, node(100), node(100))
    here.rpc.head()
    here.chains[0].answer = node(97)
    assert here.rpc.head().ref.number == 97


# --- the question's fault, and the node's ---


def test_a_range_that_takes_too_long_is_halved_and_not_asked_elsewhere(stack: ExitStack) -> None:
    here = Addresses(stack, node(), node())
    here.rpc.head()
    here.chains[0].answer = lambda *_: Reply("", 504)
    with pytest.raises(TooMuchAsked):
        here.rpc.logs({"fromBlock": "0x0", "toBlock": "0x64"})
    assert "eth_getLogs" not in here.chains[1].calls


@pytest.mark.parametrize("broken", [error(-32603, "Internal error: upstream timeout"), result("nonsense")])
def test_an_address_that_is_at_odds_with_itself_is_left_for_another_next_time(stack: ExitStack, broken: Reply) -> None:
    here = Addresses(stack, node(), node())
    here.rpc.head()
    here.chains[0].answer = lambda *_: broken
    with pytest.raises(LedgerUnavailable):
        here.rpc.head()
    assert here.rpc.head().ref.number == 100


def test_a_chain_that_was_made_anew_is_told_as_another_chain_not_as_silence(stack: ExitStack) -> None:
    here = Addresses(stack, node())
    here.rpc.head()
    here.chains[0].answer = silent
    with pytest.raises(LedgerUnavailable):
        here.rpc.head()
    here.chains[0].answer = node(name="anew")
    with pytest.raises(AnotherChain, match="began with another block"):
        here.rpc.head()
    here.chains[0].answer = node()
    assert here.rpc.head().ref.number == 100, "the right chain is back"


@pytest.mark.parametrize("wrong", [node(chain_id=6), node(code="0x"), node(name="anew")])
def test_who_is_silent_does_not_hide_that_another_chain_answers(stack: ExitStack, wrong: Callable[..., Reply]) -> None:
    here = Addresses(stack, node(), node())
    here.rpc.head()
    for chain in here.chains:
        chain.answer = silent
    with pytest.raises(LedgerUnavailable) as silence:
        here.rpc.head()
    assert not isinstance(silence.value, AnotherChain)
    here.chains[1].answer = wrong
    with pytest.raises(AnotherChain, match=r"No address of the chain serves.*out of order"):
        here.rpc.head()


@pytest.mark.parametrize("busy", [lambda *_: Reply("", 429, {"Retry-After": "60"}), node(97)])
def test_an_address_of_another_chain_does_not_make_the_network_another(
    stack: ExitStack, busy: Callable[..., Reply]
) -> None:
    """Where another address of the network's chain is there: asked too often, or behind."""
    here = Addresses(stack, node(), node(), node(chain_id=6))
    here.rpc.head()
    here.chains[0].answer = silent
    here.rpc.block(0)
    here.chains[1].answer = busy
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="has id 6") as failure:
            here.rpc.block(100)
        assert not isinstance(failure.value, AnotherChain)
