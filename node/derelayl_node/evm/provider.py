"""The only place that knows what kinds of chain there are, and the few questions that a ledger's client asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from web3 import Web3
from web3.types import RPCEndpoint

from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Address

from ..ports import LedgerUnavailable
from ..recursion import restrain_recursion
from .answers import Block, Json, RawLog, Reader, Receipt
from .endpoint import Endpoint, EndpointFailed, printable, public, refusal
from .failover import Failover, Identity

restrain_recursion()

DEFAULT_TIMEOUT_S = 20.0
"""Seconds for one request: a settlement on the embedded chain takes a tenth of one, a slow public node ten."""

INTERNAL_ERROR = -32603
"""JSON-RPC's code for a node that is at odds with itself: another may not be."""

NO_METHOD = (-32601, -32004)
"""Codes of JSON-RPC and of EIP-1474 for a method that the node does not offer."""

KNOWN_ALREADY = ("already known", "already imported", "known transaction")
"""Words, in lower case, of nodes that have the transaction already: it counts as handed over."""

Tag = Literal["finalized", "safe"]
"""Names of blocks that a chain no longer takes back."""


class CallReverted(Exception):
    """The contract refused a call or an estimate; `data` is the revert data (empty if the node gave none)."""

    def __init__(self, data: bytes, message: str) -> None:
        super().__init__(message)
        self.data = data


class StateGone(LedgerUnavailable):
    """The node refused a call at a block: nodes keep the state of recent blocks only, some of the newest alone."""


class TooMuchAsked(LedgerUnavailable):
    """The node refused a query of logs as a whole: half of its range may be answered.

    Nodes word their limits (blocks, results, bytes, seconds) in as many ways as there are nodes, so any refusal of a
    range counts, but for those that say "not so often": who halves comes to one block soon, and knows then.
    """


class SendRefused(Exception):
    """The node did not take a raw transaction; the message is the node's."""


class Refused(LedgerUnavailable):
    """The node answered with an error that is no revert; `reason` and `code` are the node's."""

    def __init__(self, where: str, method: str, error: Mapping[str, Json]) -> None:
        self.reason = printable(str(error.get("message", "no reason given")))
        self.code = error.get("code")
        super().__init__(refusal(where, method, self.reason))


def open_chain(
    urls: str | Sequence[str], chain_id: int, timeout: float = DEFAULT_TIMEOUT_S, *, contract: Address | None = None
) -> Rpc:
    """Connect and check that the chain is the expected one, and that the contract is there if one is named.

    Of several `urls` the first that serves is asked. `timeout` is in seconds for one request. Raises LedgerUnavailable
    with the remedy.
    """
    given = (urls,) if isinstance(urls, str) else tuple(urls)
    chain = Failover([Endpoint(url, timeout) for url in given], Identity(chain_id, contract))
    rpc = Rpc(Web3(chain), given[0])
    rpc.chain_id()
    return rpc


class Rpc:
    """The few JSON-RPC methods a ledger client needs, each answer checked for its form. Thread safe, synchronous.

    All methods raise LedgerUnavailable when the node is silent or answers nonsense.
    """

    def __init__(self, w3: Web3, url: str) -> None:
        """`url` is what errors show of a chain behind another provider than `open_chain`'s."""
        self._w3, self._name = w3, public(url)
        self._read = Reader(self._blame)

    def chain_id(self) -> int:
        """The chain's id."""
        return self._read.quantity(self._ask("eth_chainId"))

    def block(self, number: int | Tag | None = None) -> Block | None:
        """The canonical block of that number, the head if None; None if there is no such block, or no such tag."""
        name = "latest" if number is None else hex(number) if isinstance(number, int) else number
        try:
            answer = self._ask("eth_getBlockByNumber", name, False)
        except Refused:
            if isinstance(number, str):
                return None
            raise
        return None if answer is None else self._read.block(answer)

    def head(self) -> Block:
        """The newest block."""
        block = self.block()
        if block is None:
            raise LedgerUnavailable(f"The chain at {self._where} has no head block: wait until it is synchronised.")
        return block

    def logs(self, query: Mapping[str, Json]) -> tuple[RawLog, ...]:
        """eth_getLogs. Raises TooMuchAsked where a range of several blocks is refused: ask for half of it."""
        try:
            answer = self._ask("eth_getLogs", dict(query))
        except (Refused, EndpointFailed) as error:
            overlong = isinstance(error, Refused) or error.overlong
            if overlong and query.get("fromBlock") != query.get("toBlock"):
                raise TooMuchAsked(str(error)) from error
            raise
        return tuple(self._read.log(item) for item in self._read.items(answer))

    def receipt(self, transaction: bytes) -> Receipt | None:
        """The receipt of a mined transaction, None while there is none."""
        answer = self._ask("eth_getTransactionReceipt", to_hex(transaction))
        return None if answer is None else self._read.receipt(answer)

    def nonce(self, account: Address, block: int | None = None) -> int:
        """Transactions of the account on the canonical chain, up to a block if one is given. Raises StateGone then."""
        if block is None:
            return self._read.quantity(self._ask("eth_getTransactionCount", account, "latest"))
        try:
            return self._read.quantity(self._ask("eth_getTransactionCount", account, hex(block)))
        except Refused as error:
            raise self._state_gone("eth_getTransactionCount", block, error) from error

    def pending(self, account: Address) -> int:
        """Transactions of the account that the node holds and the chain does not have yet."""
        return max(
            0, self._read.quantity(self._ask("eth_getTransactionCount", account, "pending")) - self.nonce(account)
        )

    def transaction_in(self, block: int, account: Address, nonce: int) -> bytes | None:
        """The hash of the account's transaction with that nonce, if it is in that canonical block."""
        answer = self._ask("eth_getBlockByNumber", hex(block), True)
        return None if answer is None else self._read.transactions(answer).get((account, nonce))

    def balance(self, account: Address) -> int:
        """The account's coins for gas, in wei."""
        return self._read.quantity(self._ask("eth_getBalance", account, "latest"))

    def code(self, account: Address) -> bytes:
        """The contract's code, empty if there is none."""
        return self._read.data(self._ask("eth_getCode", account, "latest"))

    def tip(self) -> int | None:
        """The fee per gas, in wei, that the node suggests on top of the base fee; None if it suggests none."""
        try:
            return self._read.quantity(self._ask("eth_maxPriorityFeePerGas"))
        except Refused as error:
            if error.code in NO_METHOD:
                return None
            raise

    def gas_price(self) -> int:
        """What gas costs now, in wei per gas, base fee and tip together."""
        return self._read.quantity(self._ask("eth_gasPrice"))

    def call(
        self, to: Address | None, data: bytes, *, sender: Address | None = None, block: int | None = None
    ) -> bytes:
        """eth_call; `to` None executes `data` as a creation. Raises CallReverted, StateGone with a `block` only."""
        request = _request(to, data, sender)
        if block is None:
            return self._read.data(self._execute("eth_call", request, "latest"))
        try:
            return self._read.data(self._execute("eth_call", request, hex(block)))
        except Refused as error:
            raise self._state_gone("eth_call", block, error) from error

    def estimate(self, to: Address | None, data: bytes, *, sender: Address, value: int = 0) -> int:
        """Gas that the transaction needs now. Raises CallReverted."""
        request = {**_request(to, data, sender), "value": hex(value)}
        return self._read.quantity(self._execute("eth_estimateGas", request))

    def send_raw(self, raw: bytes) -> None:
        """Hand over a signed transaction; one that the node knows already counts as handed over. Raises SendRefused."""
        response = self._response("eth_sendRawTransaction", to_hex(raw))
        if "error" in response:
            message = printable(str(_error_of(response).get("message", "no reason given")))
            if not any(words in message.lower() for words in KNOWN_ALREADY):
                raise SendRefused(message)

    # --- the wire ---------------------------------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        provider = self._w3.provider
        return provider.asked if isinstance(provider, Failover) else self._name

    def _ask(self, method: str, *params: Json) -> Json:
        response = self._response(method, *params)
        if "error" in response:
            raise self._refused(method, _error_of(response))
        return response["result"]

    def _refused(self, method: str, error: Mapping[str, Json]) -> Refused:
        return Refused(self._blame() if error.get("code") == INTERNAL_ERROR else self._where, method, error)

    def _state_gone(self, method: str, block: int, error: Refused) -> StateGone:
        return StateGone(
            f"The chain at {self._where} refused {method} at block {block} ({error.reason}). If it no longer has that "
            "block's state: try again, or use a node that keeps the state of more blocks."
        )

    def _blame(self) -> str:
        """The address that answered; it rests now, where there is another."""
        if isinstance(self._w3.provider, Failover):
            self._w3.provider.distrust()
        return self._where

    def _execute(self, method: str, *params: Json) -> Json:
        response = self._response(method, *params)
        if "error" not in response:
            return response["result"]
        error = _error_of(response)
        message, data = str(error.get("message", "")), error.get("data")
        if isinstance(data, dict):  # some nodes wrap the revert data once more
            data = data.get("data")
        if isinstance(data, str) and data.startswith("0x"):
            raise CallReverted(self._read.data(data), message)
        if error.get("code") == 3 or "revert" in message.lower():
            raise CallReverted(b"", message)
        raise self._refused(method, error)

    def _response(self, method: str, *params: Json) -> Mapping[str, Json]:
        response: Json = self._w3.provider.make_request(RPCEndpoint(method), list(params))
        if not isinstance(response, Mapping) or ("result" not in response and "error" not in response):
            raise self._read.nonsense("an answer without a result", response)
        return cast("Mapping[str, Json]", response)


def _request(to: Address | None, data: bytes, sender: Address | None) -> dict[str, Json]:
    request: dict[str, Json] = {"data": to_hex(data)}
    if to is not None:
        request["to"] = to
    if sender is not None:
        request["from"] = sender
    return request


def _error_of(response: Mapping[str, Json]) -> Mapping[str, Json]:
    error = response["error"]
    return error if isinstance(error, Mapping) else {"message": str(error)}
