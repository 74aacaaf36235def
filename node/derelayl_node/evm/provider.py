"""The only place that knows what kinds of chain there are, and the few questions that a ledger's client asks them."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Literal, cast

import requests
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3Exception
from web3.providers.rpc.utils import ExceptionRetryConfiguration
from web3.types import RPCEndpoint

from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Address

from ..ports import LedgerUnavailable
from ..recursion import restrain_recursion
from .answers import Block, Json, RawLog, Reader, Receipt

__all__ = ["Block", "RawLog", "Receipt"]

restrain_recursion()

DEFAULT_TIMEOUT_S = 20.0
"""Seconds for one request: a settlement on the embedded chain takes a tenth of one, a slow public node ten."""

RECONNECTS = 2
"""Tries after a refused or dropped connection: an idle connection may be closed just when it is used again."""

MAX_REASON_CHARS = 300
"""What is shown of a node's own words: they are a stranger's text of any length."""

TOO_OFTEN = ("request rate", "rate limit", "too many requests", "request count exceeded", "requests per", "quota")
"""Words, in lower case, of a refusal that means "later" or "pay more", whatever was asked."""

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


class _Refused(LedgerUnavailable):
    """The node answered with an error that is no revert; `reason` is the node's."""

    def __init__(self, url: str, method: str, reason: str) -> None:
        self.reason = reason[:MAX_REASON_CHARS]
        self.too_often = any(words in reason.lower() for words in TOO_OFTEN)
        super().__init__(f"The chain at {url} refused {method}: {self.reason}")


def connect(url: str, timeout: float = DEFAULT_TIMEOUT_S) -> Web3:
    """A web3 object for the chain at `url`; no request is made yet.

    `timeout` is in seconds for one request. Raises LedgerUnavailable for an address that is no http(s) URL.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LedgerUnavailable(
            f"{_public(url)} is not the address of a chain: give the http:// or https:// URL of a JSON-RPC node."
        )
    retry = ExceptionRetryConfiguration(errors=(requests.ConnectionError,), retries=RECONNECTS, backoff_factor=0.05)
    return Web3(HTTPProvider(url, request_kwargs={"timeout": timeout}, exception_retry_configuration=retry))


def open_chain(url: str, chain_id: int, timeout: float = DEFAULT_TIMEOUT_S) -> Rpc:
    """Connect and check that the chain is the expected one. Raises LedgerUnavailable with the remedy."""
    rpc = Rpc(connect(url, timeout), url)
    found = rpc.chain_id()
    if found != chain_id:
        raise LedgerUnavailable(
            f"The chain at {_public(url)} has id {found}, but this network's file says {chain_id}: "
            "use the right network file or the right URL."
        )
    return rpc


class Rpc:
    """The few JSON-RPC methods a ledger client needs, each answer checked for its form. Thread safe, synchronous.

    All methods raise LedgerUnavailable when the node is silent or answers nonsense.
    """

    def __init__(self, w3: Web3, url: str) -> None:
        self._w3 = w3
        self._url = _public(url)
        self._read = Reader(self._url)

    def chain_id(self) -> int:
        """The chain's id."""
        return self._read.quantity(self._ask("eth_chainId"))

    def block(self, number: int | Tag | None = None) -> Block | None:
        """The canonical block of that number, the head if None; None if there is no such block, or no such tag."""
        name = "latest" if number is None else hex(number) if isinstance(number, int) else number
        try:
            answer = self._ask("eth_getBlockByNumber", name, False)
        except _Refused as refusal:
            if isinstance(number, str) and not refusal.too_often:
                return None
            raise
        return None if answer is None else self._read.block(answer)

    def head(self) -> Block:
        """The newest block."""
        block = self.block()
        if block is None:
            raise LedgerUnavailable(f"The chain at {self._url} has no head block: wait until it is synchronised.")
        return block

    def logs(self, query: Mapping[str, Json]) -> tuple[RawLog, ...]:
        """eth_getLogs. Raises TooMuchAsked where a range of several blocks is refused: ask for half of it."""
        try:
            answer = self._ask("eth_getLogs", dict(query))
        except _Refused as refusal:
            if refusal.too_often or query.get("fromBlock") == query.get("toBlock"):
                raise
            raise TooMuchAsked(str(refusal)) from refusal
        return tuple(self._read.log(item) for item in self._read.items(answer))

    def receipt(self, transaction: bytes) -> Receipt | None:
        """The receipt of a mined transaction, None while there is none."""
        answer = self._ask("eth_getTransactionReceipt", to_hex(transaction))
        return None if answer is None else self._read.receipt(answer)

    def nonce(self, account: Address) -> int:
        """Transactions of the account on the canonical chain."""
        return self._read.quantity(self._ask("eth_getTransactionCount", account, "latest"))

    def balance(self, account: Address) -> int:
        """The account's coins for gas, in wei."""
        return self._read.quantity(self._ask("eth_getBalance", account, "latest"))

    def code(self, account: Address) -> bytes:
        """The contract's code, empty if there is none."""
        return self._read.data(self._ask("eth_getCode", account, "latest"))

    def tip(self) -> int:
        """The fee per gas, in wei, that the node suggests on top of the base fee."""
        return self._read.quantity(self._ask("eth_maxPriorityFeePerGas"))

    def call(
        self, to: Address | None, data: bytes, *, sender: Address | None = None, block: int | None = None
    ) -> bytes:
        """eth_call; `to` None executes `data` as a creation. Raises CallReverted, StateGone with a `block` only."""
        request = _request(to, data, sender)
        if block is None:
            return self._read.data(self._execute("eth_call", request, "latest"))
        try:
            return self._read.data(self._execute("eth_call", request, hex(block)))
        except _Refused as error:
            raise StateGone(
                f"The chain at {self._url} refused eth_call at block {block} ({error.reason}). If it no longer has "
                "that block's state: try again, or use a node that keeps the state of more blocks."
            ) from error

    def estimate(self, to: Address | None, data: bytes, *, sender: Address, value: int = 0) -> int:
        """Gas that the transaction needs now. Raises CallReverted."""
        request = {**_request(to, data, sender), "value": hex(value)}
        return self._read.quantity(self._execute("eth_estimateGas", request))

    def send_raw(self, raw: bytes) -> None:
        """Hand over a signed transaction; one that the node knows already counts as handed over. Raises SendRefused."""
        response = self._response("eth_sendRawTransaction", to_hex(raw))
        message = str(_error_of(response).get("message", "")) if "error" in response else ""
        if message and not any(
            text in message.lower() for text in ("already known", "already imported", "known transaction")
        ):
            raise SendRefused(message)

    # --- the wire ---------------------------------------------------------------------------------------------------

    def _ask(self, method: str, *params: Json) -> Json:
        response = self._response(method, *params)
        if "error" in response:
            raise _Refused(self._url, method, str(_error_of(response).get("message", "no reason given")))
        return response["result"]

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
        raise _Refused(self._url, method, message)

    def _response(self, method: str, *params: Json) -> Mapping[str, Json]:
        try:
            response: Json = self._w3.provider.make_request(RPCEndpoint(method), list(params))
        except requests.RequestException as error:
            raise LedgerUnavailable(
                f"The chain at {self._url} does not answer: check that it runs and that the URL is right."
            ) from error
        except (Web3Exception, ValueError) as error:
            raise LedgerUnavailable(f"What answers at {self._url} is not a chain's JSON-RPC: check the URL.") from error
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


def _public(url: str) -> str:
    """The URL without what may be a secret: user, password, path and query."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if _has_port(parts) else ""
    return f"{parts.scheme}://{host}{port}" if host else "the given address"


def _has_port(parts: urllib.parse.SplitResult) -> bool:
    try:
        return parts.port is not None
    except ValueError:
        return False
