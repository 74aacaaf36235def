"""When cheating stops paying under the ledger's rules.

A useless leg: it costs nothing to make, gets the reward W if the committee lets it pass and loses its bid b if not. It
stops paying where it is found out with a probability d of at least W / (W + b).

A bought committee: whoever holds more than half of the seats decides the median. Seats are drawn without replacement
among stakes of one size, so their number is hypergeometric.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from derelayl_protocol.ledger.scoring import CAUTION

Floats = NDArray[np.float64]

QUANTILES = 10_000  # of an order statistic that are averaged: its mean to four digits


def useless_leg_profit(found_out: Floats, reward: float, bid: float) -> Floats:
    """Return what a useless leg earns on average, (1 - d)·W - d·b, in the unit of the amounts."""
    return (1 - found_out) * reward - found_out * bid


def enough_judging(reward: float, bid: float) -> float:
    """Return the probability of being found out from which a useless leg loses, W / (W + b)."""
    return reward / (reward + bid)


def passes(gain: float, noise: float, margin: float, seats: int, caution: float = CAUTION) -> float:
    """Return the probability that a leg of a true gain gets past a committee of honest judges with equal stakes.

    Each judge's score is Normal(gain - caution · noise, noise), in nats; the lower median reaches the margin if more
    than half of the scores do.
    """
    each = float(stats.norm.sf((margin - gain + caution * noise) / noise)) if noise > 0 else float(gain >= margin)
    return float(stats.binom.sf(seats // 2, seats, each))


def captured(bought: int, validators: int, seats: int) -> float:
    """Return the probability that `bought` of the validators, with one stake each, get more than half of the seats.

    Anybody who bids or owns a tip of the round has no seat, so `validators` are those who may be drawn.
    """
    seats = min(seats, validators)
    return float(stats.hypergeom.sf(seats // 2, validators, bought, seats))


def nudge(bought: int, validators: int, seats: int) -> float:
    """Return by how much a ring of `bought` validators can move the median of a leg on average, in judges' errors.

    However high it scores, the lower median of the seats is then the same place among the honest scores alone; however
    low, so many places further down among those. Their errors are Normal; where the ring has most of the seats nothing
    bounds it, so those committees are left out.
    """
    seats = min(seats, validators)
    middle = (seats + 1) // 2
    rings = range(min(middle, seats - middle + 1))
    chances = stats.hypergeom.pmf(np.array(rings), validators, bought, seats)
    usual = _order_statistic(middle, seats)
    moved = [
        max(_order_statistic(middle, seats - ring) - usual, usual - _order_statistic(middle - ring, seats - ring))
        for ring in rings
    ]
    return float(chances @ np.array(moved) / chances.sum()) if chances.sum() > 0 else float("inf")


def _order_statistic(place: int, of: int) -> float:
    """Return the mean of the `place`-th smallest of so many standard normal numbers."""
    share = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return float(stats.norm.ppf(stats.beta.ppf(share, place, of - place + 1)).mean())


def safe_bought_share(gain: float, loss: float, validators: int, seats: int) -> float:
    """Return the greatest share of the stake at which buying a committee does not pay on average.

    `gain` is what a round with a bought majority brings, `loss` what one without costs.
    """
    paying = [b for b in range(validators + 1) if captured(b, validators, seats) * (gain + loss) > loss]
    return (paying[0] - 1) / validators if paying else 1.0
