"""What a transaction offers for its gas: enough for some full blocks, never more than the node's owner allows."""

from __future__ import annotations

from dataclasses import dataclass

from ..ports import LedgerUnavailable
from .provider import Rpc

GWEI = 10**9

BUMP_PERCENT = 113
"""Both fees of a replacement in percent of those before; nodes ask for 110 (some for 112.5)."""


class TooDear(LedgerUnavailable):
    """Gas costs more than `max_fee_gwei` allows; nothing was signed."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Highest price and tip, in wei per gas."""

    max_fee: int
    tip: int


def offer(rpc: Rpc, cap: int) -> Offer:
    """What to offer now: twice the base fee lasts for six full blocks. `cap` in wei per gas.

    Raises TooDear where the next block may cost more than the cap, LedgerUnavailable for a chain without base fee.
    """
    base = rpc.head().base_fee
    if base is None:
        raise LedgerUnavailable(
            "The chain's node tells no base fee for its newest block (EIP-1559): use a node that tells it; nothing was "
            "signed."
        )
    tip = rpc.tip()
    if tip is None:
        tip = max(0, rpc.gas_price() - base)
    if base + tip > cap:
        raise TooDear(
            f"Gas costs {_gwei(base + tip)} gwei now, and max_fee_gwei allows {_gwei(cap)}: wait until it is cheaper, "
            "or raise the setting; nothing was signed."
        )
    return Offer(min(2 * base + tip, cap), tip)


def dearer(rpc: Rpc, before: Offer, cap: int) -> Offer:
    """What to offer instead of `before`, enough for nodes to prefer it. Raises like `offer`."""
    lowest = Offer(_bumped(before.max_fee), _bumped(before.tip))
    if lowest.max_fee > cap:
        raise TooDear(
            f"A transaction that offers {_gwei(before.max_fee)} gwei waits, and max_fee_gwei allows {_gwei(cap)}: wait "
            "until gas is cheaper, or raise the setting."
        )
    now = offer(rpc, cap)
    return Offer(max(now.max_fee, lowest.max_fee), max(now.tip, lowest.tip))


def _bumped(fee: int) -> int:
    return -(-fee * BUMP_PERCENT // 100) + 1


def _gwei(wei: int) -> str:
    return f"{wei / GWEI:.6g}"
