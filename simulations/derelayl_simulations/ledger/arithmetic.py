"""Exact shares of 64-bit amounts: what the contract does in 256 bits, without a product that overflows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.limits import BPS

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HALF_BITS = 20
WHOLE_BITS = 2 * HALF_BITS
"""`portion` takes wholes below two to this: the largest is the most agreement of a committee, 2e10 < 2**35."""


def share(amount: Ints, bps: int) -> Ints:
    """Return floor(amount · bps / 10000), exactly, for any amounts from 0 on and bps of 0 … 10000."""
    if bps == BPS:
        return amount.copy()
    whole, rest = np.divmod(amount, BPS)
    shares: Ints = whole * bps + rest * bps // BPS
    return shares


def portion(amount: Ints, part: Ints, whole: Ints) -> Ints:
    """Return floor(amount · part / whole), exactly, for amounts from 0 on and 0 <= part <= whole < 2**WHOLE_BITS.

    0 where `whole` is 0. The three are broadcast. `part` is multiplied in two halves, so that no product has more than
    60 bits; mostly the upper one is nothing.
    """
    divisor = np.maximum(whole, 1)
    quotient, rest = np.divmod(amount, divisor)
    high, low = part >> HALF_BITS, part & ((1 << HALF_BITS) - 1)
    if not high.any():
        small: Ints = quotient * part + rest * low // divisor
        return small
    high_quotient, high_rest = np.divmod(rest * high, divisor)
    portions: Ints = quotient * part + (high_quotient << HALF_BITS) + ((high_rest << HALF_BITS) + rest * low) // divisor
    return portions
