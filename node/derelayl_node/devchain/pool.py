"""Transactions of the embedded chain that wait for the next block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from eth.abc import SignedTransactionAPI
from eth_typing import Address

MAX_POOL_TRANSACTIONS = 4096
"""Waiting transactions at once: some seconds of the embedded chain's work; more would only wait longer."""

MAX_NONCE_GAP = 64
"""How far ahead of its account's nonce a transaction may be: a client with that many in flight is broken."""

REPLACEMENT_PERCENT = 110
"""A replacement must offer this percentage of both fees, as on other nodes, so that replacing has a price."""


class Refused(Exception):
    """A transaction that the pool does not take; the message uses the words that other nodes use."""


class TransactionPool:
    """Signed transactions by sender and nonce, in the order of arrival between senders."""

    def __init__(self) -> None:
        self._queues: dict[Address, dict[int, SignedTransactionAPI]] = {}
        self._hashes: dict[bytes, SignedTransactionAPI] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    def get(self, hash_: bytes) -> SignedTransactionAPI | None:
        """The waiting transaction of that hash."""
        return self._hashes.get(hash_)

    def add(self, transaction: SignedTransactionAPI, account_nonce: int) -> SignedTransactionAPI | None:
        """Take a transaction; returns the one it replaces. Raises Refused."""
        if transaction.hash in self._hashes:
            raise Refused("already known")
        if transaction.nonce < account_nonce:
            raise Refused(f"nonce too low: next nonce {account_nonce}, tx nonce {transaction.nonce}")
        if transaction.nonce > account_nonce + MAX_NONCE_GAP:
            raise Refused(f"nonce too high: next nonce {account_nonce}, tx nonce {transaction.nonce}")
        queue = self._queues.get(transaction.sender, {})
        replaced = queue.get(transaction.nonce)
        if replaced is None and len(self._hashes) >= MAX_POOL_TRANSACTIONS:
            raise Refused("txpool is full")
        if replaced is not None:
            if not _outbids(transaction, replaced):
                raise Refused("replacement transaction underpriced")
            self.remove(replaced)
        self._queues.setdefault(transaction.sender, {})[transaction.nonce] = transaction
        self._hashes[transaction.hash] = transaction
        return replaced

    def remove(self, transaction: SignedTransactionAPI) -> None:
        """Take a transaction out: mined, replaced or no longer valid."""
        self._hashes.pop(transaction.hash, None)
        queue = self._queues.get(transaction.sender, {})
        if queue.get(transaction.nonce) is not None and queue[transaction.nonce].hash == transaction.hash:
            del queue[transaction.nonce]
        if not queue:
            self._queues.pop(transaction.sender, None)

    def next_nonce(self, sender: Address, account_nonce: int) -> int:
        """The first nonce that neither the chain nor the pool has used."""
        queue = self._queues.get(sender, {})
        while account_nonce in queue:
            account_nonce += 1
        return account_nonce

    def ready(self, account_nonce: Callable[[Address], int]) -> Iterator[SignedTransactionAPI]:
        """Transactions without a gap before them: each sender's in the order of nonces."""
        for sender in list(self._queues):
            queue = dict(self._queues[sender])
            nonce = account_nonce(sender)
            while nonce in queue:
                yield queue[nonce]
                nonce += 1

    def outdated(self, account_nonce: Callable[[Address], int]) -> tuple[SignedTransactionAPI, ...]:
        """Transactions whose nonce another one has used."""
        return tuple(tx for tx in self._hashes.values() if tx.nonce < account_nonce(tx.sender))


def _outbids(new: SignedTransactionAPI, old: SignedTransactionAPI) -> bool:
    return all(
        getattr(new, fee) * 100 >= getattr(old, fee) * REPLACEMENT_PERCENT
        for fee in ("max_fee_per_gas", "max_priority_fee_per_gas")
    )
