"""The JSON-RPC methods of the embedded chain: what a client needs to read and to send signed transactions, no more.

There are no accounts to unlock, no mining on demand, no time travel and no debugging: whoever reaches the port may read
what is public anyway and send what somebody has signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eth.abc import LogAPI
from eth_bloom.bloom import BloomFilter
from eth_typing import Address

from . import forms
from .embedded import BLOCK_GAS_LIMIT, SUGGESTED_TIP, CallFailed, CallRequest, EmbeddedChain, NotFound, Reverted
from .kv import ChainFileError
from .pool import Refused

Json = Any

Header = Any
"""py-evm's header; its declared type lacks the fields that later forks added."""

INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL, SERVER, REVERTED = (
    -32600,
    -32601,
    -32602,
    -32603,
    -32000,
    3,
)
"""Error codes of JSON-RPC 2.0, and those that Ethereum nodes use for refusals and reverts."""

MAX_LOG_BLOCKS = 10_000
"""Blocks of one eth_getLogs: a second of work."""

MAX_LOGS = 10_000
"""Logs of one answer: some megabytes."""

MAX_FEE_HISTORY = 1_024
"""Blocks of one eth_feeHistory, as other nodes limit it."""


class RpcError(Exception):
    """An answer with an error object; `data` is revert data in hex, or None."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code, self.data = code, data

    def as_json(self) -> dict[str, Json]:
        """The error object of JSON-RPC 2.0."""
        body: dict[str, Json] = {"code": self.code, "message": str(self)}
        return body if self.data is None else {**body, "data": self.data}


def dispatch(chain: EmbeddedChain, method: object, params: object) -> Json:
    """Execute one method under the chain's lock and return its JSON result. Raises RpcError."""
    function = METHODS.get(method) if isinstance(method, str) else None
    if function is None:
        raise RpcError(METHOD_NOT_FOUND, f"the method {method!s:.100} does not exist or is not available")
    if not isinstance(params, list):
        raise RpcError(INVALID_PARAMS, "params must be a list")
    try:
        with chain.lock:
            return function(chain, *params)
    except Reverted as error:
        raise RpcError(REVERTED, str(error), forms.hexed(error.data)) from error
    except CallFailed as error:
        raise RpcError(SERVER, str(error)) from error
    except Refused as error:
        raise RpcError(SERVER, str(error)) from error
    except NotFound as error:
        raise RpcError(SERVER, str(error)) from error
    except ChainFileError as error:
        raise RpcError(INTERNAL, str(error)) from error
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise RpcError(INVALID_PARAMS, f"invalid parameters for {method}: {error}") from error


# --- methods ---


def _chain_id(chain: EmbeddedChain) -> Json:
    return hex(chain.chain_id)


def _block_number(chain: EmbeddedChain) -> Json:
    return hex(chain.head().block_number)


def _gas_price(chain: EmbeddedChain) -> Json:
    return hex(chain.next_base_fee() + SUGGESTED_TIP)


def _fee_history(chain: EmbeddedChain, count: Json, newest: Json, percentiles: Json = None) -> Json:
    last = _header(chain, newest).block_number
    first = max(0, last + 1 - min(_int(count), MAX_FEE_HISTORY))
    headers = [chain.header_by_number(number) for number in range(first, last + 1)]
    answer: dict[str, Json] = {
        "oldestBlock": hex(first),
        "baseFeePerGas": [hex(header.base_fee_per_gas) for header in headers] + [hex(chain.next_base_fee())],
        "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
    }
    if percentiles:
        answer["reward"] = [[hex(SUGGESTED_TIP)] * len(percentiles)] * len(headers)
    return answer


def _balance(chain: EmbeddedChain, address: Json, tag: Json = "latest") -> Json:
    return hex(chain.state(_state_at(chain, tag)).get_balance(_address(address)))


def _code(chain: EmbeddedChain, address: Json, tag: Json = "latest") -> Json:
    return forms.hexed(chain.state(_state_at(chain, tag)).get_code(_address(address)))


def _storage(chain: EmbeddedChain, address: Json, slot: Json, tag: Json = "latest") -> Json:
    value = chain.state(_state_at(chain, tag)).get_storage(_address(address), _int(slot))
    return forms.hexed(value.to_bytes(32, "big"))


def _nonce(chain: EmbeddedChain, address: Json, tag: Json = "latest") -> Json:
    if tag == "pending":
        return hex(chain.next_nonce(_address(address)))
    return hex(chain.state(_state_at(chain, tag)).get_nonce(_address(address)))


def _call(chain: EmbeddedChain, request: Json, tag: Json = "latest") -> Json:
    return forms.hexed(chain.call(_request(request), _state_at(chain, tag)))


def _estimate(chain: EmbeddedChain, request: Json, tag: Json = "latest") -> Json:
    if _state_at(chain, tag) is not None:
        raise RpcError(INVALID_PARAMS, "gas is estimated at the head only")
    return hex(chain.estimate(_request(request)))


def _send_raw(chain: EmbeddedChain, raw: Json) -> Json:
    return forms.hexed(chain.send_raw(_bytes(raw)))


def _block_by_number(chain: EmbeddedChain, tag: Json, full: Json = False) -> Json:
    try:
        return forms.block_json(chain, _header(chain, tag), full)
    except NotFound:
        return None


def _block_by_hash(chain: EmbeddedChain, hash_: Json, full: Json = False) -> Json:
    try:
        return forms.block_json(chain, chain.header_by_hash(_bytes(hash_, 32)), full)
    except NotFound:
        return None


def _transaction_by_hash(chain: EmbeddedChain, hash_: Json) -> Json:
    try:
        return forms.transaction_json(*chain.transaction(_bytes(hash_, 32)))
    except NotFound:
        return None


def _receipt_by_hash(chain: EmbeddedChain, hash_: Json) -> Json:
    try:
        transaction, header, index = chain.transaction(_bytes(hash_, 32))
    except NotFound:
        return None
    return None if header is None else forms.receipt_json(transaction, header, index, chain.receipts(header))


def _logs(chain: EmbeddedChain, query: Json) -> Json:
    addresses = [_address(item) for item in _listed(query.get("address"))]
    topics = [
        [int.from_bytes(_bytes(item, 32), "big") for item in _listed(choice)] for choice in query.get("topics") or []
    ]
    found: list[Json] = []
    for header in _log_headers(chain, query):
        if _bloom_may_hold(header, addresses, topics):
            found += _matching_logs(chain, header, addresses, topics)
        if len(found) > MAX_LOGS:
            raise RpcError(SERVER, f"query returns more than {MAX_LOGS} logs: ask for fewer blocks")
    return found


METHODS: Mapping[str, Callable[..., Json]] = {
    "eth_blockNumber": _block_number,
    "eth_call": _call,
    "eth_chainId": _chain_id,
    "eth_estimateGas": _estimate,
    "eth_feeHistory": _fee_history,
    "eth_gasPrice": _gas_price,
    "eth_getBalance": _balance,
    "eth_getBlockByHash": _block_by_hash,
    "eth_getBlockByNumber": _block_by_number,
    "eth_getCode": _code,
    "eth_getLogs": _logs,
    "eth_getStorageAt": _storage,
    "eth_getTransactionByHash": _transaction_by_hash,
    "eth_getTransactionCount": _nonce,
    "eth_getTransactionReceipt": _receipt_by_hash,
    "eth_maxPriorityFeePerGas": lambda chain: hex(SUGGESTED_TIP),
    "eth_sendRawTransaction": _send_raw,
    "eth_syncing": lambda chain: False,
    "net_version": lambda chain: str(chain.chain_id),
    "web3_clientVersion": lambda chain: "derelayl-embedded/1",
}
"""The allow-list: any other method is refused."""


# --- logs ---


def _log_headers(chain: EmbeddedChain, query: Json) -> list[Header]:
    if query.get("blockHash") is not None:
        return [chain.header_by_hash(_bytes(query["blockHash"], 32))]
    first = _header(chain, query.get("fromBlock", "latest")).block_number
    last = min(_number(chain, query.get("toBlock", "latest")), chain.head().block_number)
    if last - first >= MAX_LOG_BLOCKS:
        raise RpcError(SERVER, f"query spans more than {MAX_LOG_BLOCKS} blocks")
    return [chain.header_by_number(number) for number in range(first, last + 1)]


def _bloom_may_hold(header: Header, addresses: list[Address], topics: list[list[int]]) -> bool:
    bloom = BloomFilter(header.bloom)
    wanted: list[Sequence[bytes]] = [addresses, *([topic.to_bytes(32, "big") for topic in choice] for choice in topics)]
    return all(any(item in bloom for item in choice) for choice in wanted if choice)


def _matching_logs(
    chain: EmbeddedChain, header: Header, addresses: list[Address], topics: list[list[int]]
) -> list[Json]:
    transactions, found, log_index = chain.block(header).transactions, [], 0
    for index, receipt in enumerate(chain.receipts(header)):
        for log in receipt.logs:
            if _matches(log, addresses, topics):
                found.append(forms.log_json(log, header, transactions[index].hash, index, log_index))
            log_index += 1
    return found


def _matches(log: LogAPI, addresses: list[Address], topics: list[list[int]]) -> bool:
    if addresses and log.address not in addresses:
        return False
    if len(topics) > len(log.topics):
        return False
    return all(not choice or topic in choice for choice, topic in zip(topics, log.topics, strict=False))


# --- JSON in ---


def _bytes(value: Json, length: int | None = None) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError("expected a hex string with 0x")
    data = bytes.fromhex(value[2:])
    if length is not None and len(data) != length:
        raise ValueError(f"expected {length} bytes")
    return data


def _address(value: Json) -> Address:
    return Address(_bytes(value, 20))


def _int(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected a quantity")
    number = value if isinstance(value, int) else int(value, 16)
    if not 0 <= number < 2**256:
        raise ValueError("quantity out of range")
    return number


def _listed(value: Json) -> list[Json]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _request(value: Json) -> CallRequest:
    to = value.get("to")
    return CallRequest(
        sender=_address(value.get("from", "0x" + "00" * 20)),
        to=b"" if to is None or to == "0x" else _address(to),
        data=_bytes(value.get("input") or value.get("data") or "0x"),
        value=_int(value.get("value", 0)),
        gas=min(_int(value.get("gas", BLOCK_GAS_LIMIT)), BLOCK_GAS_LIMIT),
    )


def _number(chain: EmbeddedChain, tag: Json) -> int:
    if tag in ("latest", "safe", "finalized", "pending"):
        return int(chain.head().block_number)
    return 0 if tag == "earliest" else _int(tag)


def _header(chain: EmbeddedChain, tag: Json) -> Header:
    return chain.header_by_number(_number(chain, tag))


def _state_at(chain: EmbeddedChain, tag: Json) -> Header | None:
    """The block whose state is asked for; None is the head, with the clock's time."""
    if isinstance(tag, dict):
        if "blockHash" in tag:
            return chain.header_by_hash(_bytes(tag["blockHash"], 32))
        tag = tag.get("blockNumber")
    return None if tag in ("latest", "safe", "finalized", "pending") else _header(chain, tag)
