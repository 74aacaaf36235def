"""A chain of block headers and logs in memory that can be reorganised, behind web3's `make_request`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import encode
from eth_bloom.bloom import BloomFilter
from eth_utils.crypto import keccak

from derelayl_node.evm.provider import Rpc
from derelayl_protocol.types import Address

LEDGER = Address("0x" + "aa" * 20)
WHO = Address("0x" + "bb" * 20)
DEPOSITED = keccak(text="Deposited(address,uint256)")


@dataclass
class FakeBlock:
    number: int
    hash: bytes
    parent: bytes
    amounts: tuple[int, ...]

    def logs(self) -> list[dict[str, Any]]:
        return [
            {
                "address": LEDGER,
                "topics": ["0x" + DEPOSITED.hex(), "0x" + encode(["address"], [WHO]).hex()],
                "data": "0x" + encode(["uint256"], [amount]).hex(),
                "blockNumber": hex(self.number),
                "blockHash": "0x" + self.hash.hex(),
                "transactionHash": "0x" + hashlib.sha256(self.hash + bytes([index])).hexdigest(),
                "logIndex": hex(index),
                "removed": False,
            }
            for index, amount in enumerate(self.amounts)
        ]

    def header(self) -> dict[str, Any]:
        bloom = BloomFilter()
        if self.amounts:
            bloom.add(bytes.fromhex(LEDGER[2:]))
        return {
            "number": hex(self.number),
            "hash": "0x" + self.hash.hex(),
            "parentHash": "0x" + self.parent.hex(),
            "timestamp": hex(1_000 + self.number),
            "baseFeePerGas": "0x7",
            "logsBloom": "0x" + int(bloom).to_bytes(256, "big").hex(),
        }


@dataclass
class FakeChain:
    """`before` is called with each method's name first: there a test may reorganise the chain or raise."""

    blocks: list[FakeBlock] = field(default_factory=list)
    before: Callable[[str], None] = lambda method: None
    calls: list[str] = field(default_factory=list)
    code: str = "0x60"
    most_blocks: int | None = None  # of one range of logs; more is refused
    sees: int | None = None  # blocks that whoever answers for logs has seen, if it is behind
    blooms: bool = True

    def extend(self, fork: str, *amounts: Sequence[int]) -> None:
        """Add one block for each tuple of deposits."""
        for deposits in amounts:
            number = len(self.blocks)
            parent = self.blocks[-1].hash if self.blocks else bytes(32)
            name = hashlib.sha256(f"{fork} {number}".encode() + parent).digest()
            self.blocks.append(FakeBlock(number, name, parent, tuple(deposits)))

    def cut(self, length: int) -> None:
        """Drop all blocks but the first `length`."""
        del self.blocks[length:]

    def rpc(self) -> Rpc:
        return Rpc(_Web3(self), "http://fake")  # type: ignore[arg-type]

    def make_request(self, method: str, params: Any) -> dict[str, Any]:
        self.calls.append(method)
        self.before(method)
        if method == "eth_getBlockByNumber":
            number = len(self.blocks) - 1 if params[0] == "latest" else int(params[0], 16)
            there = 0 <= number < len(self.blocks)
            header = self.blocks[number].header() if there else None
            if header and not self.blooms:
                header["logsBloom"] = "0x" + "00" * 256
            return {"result": header}
        if method == "eth_getCode":
            return {"result": self.code}
        if method == "eth_getLogs":
            return self._logs(params[0])
        return {"error": {"code": -32601, "message": f"no {method}"}}

    def _logs(self, query: dict[str, Any]) -> dict[str, Any]:
        if "blockHash" in query:
            chosen = [block for block in self.blocks if "0x" + block.hash.hex() == query["blockHash"]]
            if not chosen:
                return {"error": {"code": -32000, "message": "unknown block"}}
        else:
            first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
            if self.most_blocks is not None and last - first >= self.most_blocks:
                return {"error": {"code": -32005, "message": f"at most {self.most_blocks} blocks at once"}}
            chosen = [block for block in self.blocks[: self.sees] if first <= block.number <= last]
        return {"result": [log for block in chosen for log in block.logs()]}


class _Web3:
    def __init__(self, chain: FakeChain) -> None:
        self.provider = chain
