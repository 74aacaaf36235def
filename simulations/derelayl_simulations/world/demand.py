"""Consumers, who pay for access, and what a coin is worth. Ours.

Saturation and price response are ratios, not exponentials: they need no function whose last bit differs by processor.
"""

from __future__ import annotations

import numpy as np

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.limits import BPS

from ..ledger import MAX_MONEY_WEI, Book
from .people import Floats, Ints
from .settings import DemandSettings


def buyers(settings: DemandSettings, quality: Floats, fee: Floats, factor: float, luck: Floats) -> Ints:
    """Return how many consumers buy access in each relay (relays,): `quality` nats of its best tip, `fee` in money."""
    liked = np.maximum(quality, 0.0) / (np.maximum(quality, 0.0) + settings.half_quality)
    afforded = settings.half_price / (settings.half_price + fee)
    return np.asarray(np.floor(settings.consumers * factor * liked * afforded + luck), np.int64)


def sell(book: Book, checkpoints: Ints, count: Ints) -> Ints:
    """Let `count` (relays,) consumers buy access to these checkpoints (relays,); return the wei paid in each relay.

    The same as so many new accounts that deposit the fee and spend it at once: they need not be among the accounts.
    Raises LocalFault if the ledger cannot hold what they pay.
    """
    fee = book.rules.access_fee
    if float(count.max(initial=0)) * fee > MAX_MONEY_WEI:
        raise LocalFault(f"{count.max()} consumers pay {fee} wei each, a ledger holds at most {MAX_MONEY_WEI} wei")
    paid, to_pot = count * fee, fee * book.rules.access_pot_bps // BPS
    brought = np.zeros_like(book.free)
    brought[:, 0] = paid  # on its way through any account
    book.deposit(brought)
    book.free[:, 0] -= paid
    book.carry += count * to_pot
    book.checkpoints.pending[checkpoints] += count * (fee - to_pot)
    return paid


def next_price(settings: DemandSettings, price: Floats, paid: Floats, supply: Floats) -> Floats:
    """Return the coin's price after a round in which consumers paid that many coins, all (relays,).

    If `horizon` such rounds would take more coins than there are, the price rises, else it falls, at most by
    `adjustment`: the step is that times the difference over the sum.
    """
    if settings.valuation == "fixed":
        return price
    wanted = paid * settings.horizon
    total = wanted + supply
    return np.asarray(
        price * (1 + settings.adjustment * np.where(total > 0, (wanted - supply) / np.maximum(total, 1), 0))
    )
