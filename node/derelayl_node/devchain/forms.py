"""How the embedded chain spells blocks, transactions, receipts and logs in JSON-RPC."""

from __future__ import annotations

from typing import Any

import rlp  # type: ignore[import-untyped]
from eth._utils.address import generate_contract_address
from eth.abc import LogAPI, ReceiptAPI, SignedTransactionAPI

from .embedded import EmbeddedChain, Header

Json = Any


def hexed(data: bytes) -> str:
    """Bytes as JSON-RPC spells them."""
    return "0x" + bytes(data).hex()


def block_json(chain: EmbeddedChain, header: Header, full: Json) -> dict[str, Json]:
    """A block; `full` puts whole transactions into it instead of hashes."""
    block = chain.block(header)
    transactions: list[Json] = [
        transaction_json(item, header, index) if full else hexed(item.hash)
        for index, item in enumerate(block.transactions)
    ]
    return {
        "number": hex(header.block_number),
        "hash": hexed(header.hash),
        "parentHash": hexed(header.parent_hash),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "miner": hexed(header.coinbase),
        "logsBloom": hexed(header.bloom.to_bytes(256, "big")),
        "stateRoot": hexed(header.state_root),
        "transactionsRoot": hexed(header.transaction_root),
        "receiptsRoot": hexed(header.receipt_root),
        "withdrawalsRoot": hexed(header.withdrawals_root),
        "parentBeaconBlockRoot": hexed(header.parent_beacon_block_root),
        "requestsHash": hexed(header.requests_hash),
        "sha3Uncles": hexed(header.uncles_hash),
        "difficulty": hex(header.difficulty),
        "extraData": hexed(header.extra_data),
        "mixHash": hexed(header.mix_hash),
        "nonce": hexed(header.nonce),
        "blobGasUsed": hex(header.blob_gas_used),
        "excessBlobGas": hex(header.excess_blob_gas),
        "size": hex(len(rlp.encode(block))),
        "transactions": transactions,
        "uncles": [],
        "withdrawals": [],
    }


def transaction_json(transaction: SignedTransactionAPI, header: Header | None, index: int) -> dict[str, Json]:
    """A transaction; `header` is None while it waits."""
    type_id = transaction.type_id or 0
    fields: dict[str, Json] = {
        "type": hex(type_id),
        "hash": hexed(transaction.hash),
        "nonce": hex(transaction.nonce),
        "blockHash": None if header is None else hexed(header.hash),
        "blockNumber": None if header is None else hex(header.block_number),
        "transactionIndex": None if header is None else hex(index),
        "from": hexed(transaction.sender),
        "to": hexed(transaction.to) if transaction.to else None,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "input": hexed(transaction.data),
        "gasPrice": hex(transaction.max_fee_per_gas if header is None else _paid_price(transaction, header)),
        "chainId": hex(transaction.chain_id) if transaction.chain_id is not None else None,
        "v": hex(transaction.y_parity if type_id else getattr(transaction, "v", 0)),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
    }
    if type_id >= 2:
        fields["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        fields["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
    return fields


def _paid_price(transaction: SignedTransactionAPI, header: Header) -> int:
    return int(min(transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas + header.base_fee_per_gas))


def receipt_json(
    transaction: SignedTransactionAPI, header: Header, index: int, receipts: tuple[ReceiptAPI, ...]
) -> dict[str, Json]:
    """The receipt of a block's transaction at `index`; `receipts` are all of the block."""
    receipt, before = receipts[index], receipts[:index]
    first_log = sum(len(other.logs) for other in before)
    created = None if transaction.to else generate_contract_address(transaction.sender, transaction.nonce)
    return {
        "type": hex(transaction.type_id or 0),
        "transactionHash": hexed(transaction.hash),
        "transactionIndex": hex(index),
        "blockHash": hexed(header.hash),
        "blockNumber": hex(header.block_number),
        "from": hexed(transaction.sender),
        "to": hexed(transaction.to) if transaction.to else None,
        "contractAddress": None if created is None else hexed(created),
        "cumulativeGasUsed": hex(receipt.gas_used),
        "gasUsed": hex(receipt.gas_used - (before[-1].gas_used if before else 0)),
        "effectiveGasPrice": hex(_paid_price(transaction, header)),
        "status": hex(int(receipt.state_root == b"\x01")),
        "logsBloom": hexed(receipt.bloom.to_bytes(256, "big")),
        "logs": [
            log_json(log, header, transaction.hash, index, first_log + offset)
            for offset, log in enumerate(receipt.logs)
        ],
    }


def log_json(log: LogAPI, header: Header, transaction: bytes, index: int, log_index: int) -> dict[str, Json]:
    """One log; `log_index` counts in the block."""
    return {
        "address": hexed(log.address),
        "topics": [hexed(topic.to_bytes(32, "big")) for topic in log.topics],
        "data": hexed(log.data),
        "blockHash": hexed(header.hash),
        "blockNumber": hex(header.block_number),
        "transactionHash": hexed(transaction),
        "transactionIndex": hex(index),
        "logIndex": hex(log_index),
        "removed": False,
    }
