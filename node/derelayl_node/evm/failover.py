"""Several addresses of one chain: the first that answers is asked, a failed one rests, a lagging one is passed over."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from web3.providers.base import BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from derelayl_protocol.types import Address

from ..ports import AnotherChain, LedgerUnavailable
from .answers import Json
from .endpoint import Endpoint, EndpointFailed, printable, reason_of, refusal

LOG = logging.getLogger(__name__)

FIRST_REST_S, LAST_REST_S, REST_GROWTH = 5.0, 300.0, 2.0
"""Seconds that an address rests after a failure, from the first to the last in a row, and the factor between them: a
node that restarts is back within a minute, one that is gone costs a question every five minutes."""

MAX_WAIT_S = 20.0
"""Seconds that one question waits for nodes that are asked too often: a read has 60 s in all."""

MAX_PAUSE_S = 300.0
"""Longest pause that a node's Retry-After is believed for: its clock may be wrong, and its plan may have changed."""

UNSAID_PAUSE_S = 1.0
"""Seconds to leave a node alone that is asked too often and names no time; twice as long each further time."""

LAG_PATIENCE_S = 60.0
"""Seconds for which a shorter chain counts as lag: replicas are seconds behind, later it is what the chain has come to.
"""


class AnotherAnswers(EndpointFailed, AnotherChain):
    """What answers at this address is another chain than the network's."""


class Lags(EndpointFailed):
    """The address is behind another one: of the right chain, for it has proved that."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a network's chain from others: the chain's id, and a contract that must be there (None: any)."""

    chain_id: int
    contract: Address | None = None


@dataclass(slots=True)
class _Standing:
    """How one address stands. `until` is when its rest ends, `told` whether it asked for that rest itself."""

    endpoint: Endpoint
    until: float = 0.0
    told: bool = False
    failures: int = 0
    proved: set[str] = field(default_factory=set)
    head: int = 0


class Failover(BaseProvider):
    """Asks the first of its addresses that is well, in their order. Thread safe.

    An address is used once its chain proves to be the network's, and again after each failure. What one address has
    shown of the chain is not unsaid by another that lags: it counts as failed while it does.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        identity: Identity,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`clock` and `sleep` count seconds."""
        super().__init__()
        self._standings = tuple(_Standing(endpoint) for endpoint in endpoints)
        self._identity, self._clock, self._sleep = identity, clock, sleep
        self._genesis: str | None = None
        self._highest, self._shown_at, self._shown_by = 0, 0.0, self._standings[0]
        self._lock = threading.Lock()
        self._last = threading.local()

    @property
    def asked(self) -> str:
        """The address that this thread asked last, as errors show it."""
        return self._asked.endpoint.name

    @property
    def _asked(self) -> _Standing:
        return cast(_Standing, getattr(self._last, "standing", self._standings[0]))

    def make_request(self, method: RPCEndpoint, params: Sequence[Json]) -> RPCResponse:
        """The JSON-RPC answer of an address that is well.

        Raises LedgerUnavailable, saying what each of them said: AnotherChain where none that answers is the network's.
        """
        waited = 0.0
        while True:
            failures: list[LedgerUnavailable] = []
            for standing in self._turns():
                self._last.standing = standing
                try:
                    self._check(standing)
                    self._check_reach(standing, method, params)
                    answer = standing.endpoint.ask(method, params)
                except EndpointFailed as failure:
                    if failure.overlong and method == "eth_getLogs":
                        raise  # it is the question's fault, and no other address may do better
                    self._rest(standing, failure)
                    failures.append(failure)
                else:
                    self._note(standing, method, params, answer)
                    return cast(RPCResponse, answer)
            pause = self._pause()
            if pause is None or waited + pause > MAX_WAIT_S:
                raise self._failed(failures)
            self._sleep(pause)
            waited += pause

    def distrust(self) -> None:
        """Let the address rest that this thread asked last, for it answered nonsense, if there is another."""
        if len(self._standings) > 1:
            self._rest(self._asked, EndpointFailed("it answered nonsense"))

    # --- whom to ask ------------------------------------------------------------------------------------------------

    def _turns(self) -> Iterator[_Standing]:
        """The well ones in their order, then those whose rest ends first; never one that asked to be left alone."""
        with self._lock:
            now = self._clock()
            well = [each for each in self._standings if each.until <= now]
            resting = sorted((each for each in self._standings if each not in well), key=lambda each: each.until)
        yield from well
        yield from (each for each in resting if not each.told)

    def _rest(self, standing: _Standing, failure: EndpointFailed) -> None:
        with self._lock:
            standing.told = failure.pause is not None
            if not standing.told:  # who is asked too often is there, and the same
                standing.proved.clear()
            first = UNSAID_PAUSE_S if standing.told else FIRST_REST_S
            pause = failure.pause or min(first * REST_GROWTH**standing.failures, LAST_REST_S)
            pause = min(pause, MAX_PAUSE_S)
            standing.until = self._clock() + pause
            standing.failures = min(standing.failures + 1, 16)  # the longest pause is reached long before
        if len(self._standings) > 1:
            LOG.warning("%s rests for %.0f s: %s", standing.endpoint.name, pause, failure)

    def _pause(self) -> float | None:
        """Seconds until an address that asked to be left alone may be asked again, None if there is none."""
        with self._lock:
            told = [each.until for each in self._standings if each.told]
            return max(0.0, min(told) - self._clock()) if told else None

    def _failed(self, failures: Sequence[LedgerUnavailable]) -> LedgerUnavailable:
        if len(failures) == 1 and len(self._standings) == 1:
            return failures[0]
        if failures:
            told = "No address of the chain serves. " + " ".join(str(each) for each in failures)
            return AnotherChain(told) if self._all_others(failures) else LedgerUnavailable(told)
        pause = self._pause() or 0.0
        return LedgerUnavailable(
            f"The chain at {self.asked} asked to be left alone for {pause:.0f} s more: wait, or give further addresses "
            "with --chain-url."
        )

    def _all_others(self, failures: Sequence[LedgerUnavailable]) -> bool:
        """Whether addresses of other chains answer, and none of the network's: one that lags, or asked for a rest."""
        with self._lock:
            right = any(each.told and each.proved for each in self._standings)
        return (
            not right
            and any(isinstance(each, AnotherChain) for each in failures)
            and not any(isinstance(each, Lags) for each in failures)
        )

    # --- whether it is the chain, and all of it ---------------------------------------------------------------------

    def _check(self, standing: _Standing) -> None:
        """Let only the network's chain serve. Each proof is asked for once, however often one of them fails."""
        for proof in (self._prove_id, self._prove_contract, self._prove_genesis):
            if proof.__name__ not in standing.proved:
                proof(standing)
                standing.proved.add(proof.__name__)

    def _prove_id(self, standing: _Standing) -> None:
        found = _quantity(_result(standing, "eth_chainId"))
        if found != self._identity.chain_id:
            raise AnotherAnswers(
                f"The chain at {standing.endpoint.name} has id {found}, but this network's file says "
                f"{self._identity.chain_id}: use the right network file or the right URL."
            )

    def _prove_contract(self, standing: _Standing) -> None:
        contract = self._identity.contract
        if contract is not None and _result(standing, "eth_getCode", contract, "latest") in (None, "", "0x"):
            raise AnotherAnswers(
                f"There is no contract at {contract} on the chain at {standing.endpoint.name}: use the network file of "
                "this chain."
            )

    def _prove_genesis(self, standing: _Standing) -> None:
        block = _result(standing, "eth_getBlockByNumber", "0x0", False)
        genesis = block.get("hash") if isinstance(block, Mapping) else None  # some nodes keep no old blocks
        with self._lock:
            if None not in (genesis, self._genesis) and genesis != self._genesis:
                raise AnotherAnswers(
                    f"The chain at {standing.endpoint.name} began with another block than this network's: use the "
                    "right URL, or, where the chain was made anew, the new network's file."
                )
            self._genesis = self._genesis or genesis

    def _check_reach(self, standing: _Standing, method: str, params: Sequence[Json]) -> None:
        """Ask nobody for a block that another address has shown and this one does not have yet: silence is no proof."""
        number = _number_in(method, params)
        if number is None or len(self._standings) == 1 or not self._is_lag(standing, number):
            return
        head = _quantity(_result(standing, "eth_blockNumber"))
        with self._lock:
            standing.head = head or 0
        if self._is_lag(standing, number):
            raise self._lags(standing, number)

    def _note(self, standing: _Standing, method: str, params: Sequence[Json], answer: Mapping[str, Json]) -> None:
        """Remember that the address is well, and how far its chain goes. Raises EndpointFailed when it lags."""
        block: Json = answer.get("result")
        with self._lock:
            if method == "eth_getBlockByNumber" and params[0] == "latest" and isinstance(block, Mapping):
                self._note_head(standing, _quantity(block.get("number")) or 0)
            standing.failures, standing.until, standing.told = 0, 0.0, False

    def _note_head(self, standing: _Standing, number: int) -> None:
        highest = self._highest
        standing.head = number
        if self._is_lag(standing, highest):
            raise self._lags(standing, highest)
        self._highest, self._shown_at, self._shown_by = number, self._clock(), standing

    def _is_lag(self, standing: _Standing, number: int) -> bool:
        """Whether another address has shown that block lately, and this one has not."""
        fresh = self._clock() - self._shown_at <= LAG_PATIENCE_S
        return standing.head < number <= self._highest and self._shown_by is not standing and fresh

    def _lags(self, standing: _Standing, number: int) -> Lags:
        return Lags(
            f"The chain at {standing.endpoint.name} has come to block {standing.head}, and another address showed "
            f"block {number}: wait until it has caught up."
        )


def _result(standing: _Standing, method: str, *params: Json) -> Json:
    name, answer = standing.endpoint.name, standing.endpoint.ask(method, params)
    if "error" in answer:
        raise EndpointFailed(refusal(name, method, printable(reason_of(answer) or "no reason given")))
    return answer["result"]


def _number_in(method: str, params: Sequence[Json]) -> int | None:
    """The number of the newest block that a question is about, if it names one."""
    if method == "eth_getLogs":
        return _quantity(params[0].get("toBlock"))
    if method == "eth_getBlockByNumber":
        return _quantity(params[0])
    return _quantity(params[1]) if method in ("eth_call", "eth_getTransactionCount") else None


def _quantity(value: Json) -> int | None:
    try:
        return int(value, 16)
    except (TypeError, ValueError):  # a tag, or nothing
        return None
