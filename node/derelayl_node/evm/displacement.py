"""Whether another program used a nonce of this account: proved by its transaction in a block, never by silence.

A node that knows neither receipt nor transaction of ours may be indexing late, lag behind, or keep no index at all, so
that tells nothing. A block that holds another transaction of the same account and nonce does: ours can never be mined
on that chain, and where the chain no longer takes the block back, on none.
"""

from __future__ import annotations

from dataclasses import dataclass

from derelayl_protocol.types import Address

from .provider import Rpc, StateGone

FINAL_DEPTH = 64
"""Blocks on top of one that is not taken back, on a chain that names no finalized block: two epochs of Ethereum."""

FIRST_WINDOW = 128
"""Blocks to look back at first: the state of as many is kept by every usual node."""


@dataclass(frozen=True, slots=True)
class Use:
    """Which transaction used a nonce, and in which canonical block."""

    block: int
    transaction: bytes


def find_use(rpc: Rpc, account: Address, nonce: int) -> Use | None:
    """What used the account's nonce. None if nothing did, or if the node no longer has the state to tell."""
    high, window = rpc.head().ref.number, FIRST_WINDOW
    try:
        if rpc.nonce(account, high) <= nonce:
            return None
        low = max(0, high - window)
        while low and rpc.nonce(account, low) > nonce:
            high, window = low, 2 * window
            low = max(0, high - window)
        while high - low > 1:
            middle = (low + high) // 2
            if rpc.nonce(account, middle) > nonce:
                high = middle
            else:
                low = middle
    except StateGone:
        return None
    transaction = rpc.transaction_in(high, account, nonce)
    return None if transaction is None else Use(high, transaction)


def kept_block(rpc: Rpc) -> int:
    """The number of the newest block that the chain no longer takes back."""
    finalized = rpc.block("finalized")
    return finalized.ref.number if finalized is not None else rpc.head().ref.number - FINAL_DEPTH
