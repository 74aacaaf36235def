"""What its own legs teach a trainer: whether to want another one, and what to bid for it.

No rule of the ledger: who takes part may bid as it likes. The node's trainers decide by this, and the simulator's do
the same for many at once (`derelayl_simulations.world.bidding`), so that what is simulated is what is run.

A leg brings what came back for it, less the bid and what the training cost, in any one unit; royalties, which are not
known before others continue, are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..types import Timestamp, Wei
from .selection import LegEnding

TRIALS = 3
"""Legs that everybody tries before it judges whether they pay: one or two may be lost by chance."""

WINDOW = 25
"""Legs that are averaged; from then on the average is exponential with this memory."""

RISK = 0.1
"""Standard deviations of what a leg brings that are taken off its mean before it is said to pay."""

CURIOSITY = 0.1
"""One round in so many (1 / CURIOSITY) is tried once TRIALS legs were lost in a row; with each TRIALS more, fewer by
the same factor: data, method and the others' legs change, so that never to try again would be as wrong as to go on."""

LONGEST_PAUSE = 64
"""Rounds after which even who has lost every leg tries again."""

BID_SHARE = 0.1
"""Of what a selected leg earned lately that is bid at first: the loss of a leg is a tenth of its prize."""

BID_STEP = 0.05
"""By which a bid rises after a round without a leg while legs pay, and falls after a leg that did not."""

RELIEF = 0.25
"""How much slower bids fall than they rise while legs pay."""

EAGERNESS = (0.1, 100.0)
"""Bounds of the factor by which experience moves a bid."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A round in which an account bid: `time` is that of its newest word on the ledger, `ending` None without a leg.

    `brought` is what the round's bid and leg changed in its balance.
    """

    round: int
    time: Timestamp
    brought: Wei
    ending: LegEnding | None


@dataclass(frozen=True, slots=True)
class Past:
    """What the ledger's log tells a bidder: its own newest rounds, oldest first, and what others' legs earned.

    `reward` is the mean of what a selected leg of the model earned lately, 0 while there was none.
    """

    tries: tuple[Tried, ...]
    reward: Wei


@dataclass(frozen=True, slots=True)
class Experience:
    """What has been learnt from the legs so far; `lost` is how many in a row, up to the newest, brought a loss."""

    legs: int = 0
    mean: float = 0.0
    square: float = 0.0
    lost: int = 0
    eagerness: float = 1.0

    @property
    def deviation(self) -> float:
        """Standard deviation of what a leg brings."""
        return math.sqrt(max(self.square - self.mean * self.mean, 0.0))

    def with_round(self, leased: bool, brought: float) -> Experience:
        """Learn from a round in which a leg was wanted; `brought` counts only if one was leased."""
        pays = self.mean > 0
        if not leased:
            return replace(self, eagerness=_bounded(self.eagerness * (1 + BID_STEP))) if pays else self
        weight = 1 / min(self.legs + 1, WINDOW)
        return Experience(
            legs=self.legs + 1,
            mean=self.mean + weight * (brought - self.mean),
            square=self.square + weight * (brought * brought - self.square),
            lost=0 if brought > 0 else self.lost + (brought < 0),
            eagerness=_bounded(self.eagerness * (1 - BID_STEP * (RELIEF if pays else 1))),
        )

    def wants(self, elapsed: float) -> bool:
        """Whether it wants a leg, `elapsed` rounds after its newest one."""
        pays = self.mean - RISK * self.deviation >= 0
        return pays or self.legs < TRIALS or elapsed >= pause(self.lost)

    def bid(self, reward: float, least: float, most: float) -> float:
        """What it bids where a selected leg earned `reward` lately: between `least` and `most`, the latter first."""
        return min(max(min(BID_SHARE * self.eagerness, 1.0) * reward, least), most)


def pause(lost: int) -> int:
    """Rounds from one leg to the next try for who has found that legs do not pay, and lost so many in a row."""
    return round(math.exp(min(-math.log(CURIOSITY) * lost / TRIALS, math.log(LONGEST_PAUSE))))


def learnt(tries: Iterable[Tried], leg_cost: Wei) -> Experience:
    """What somebody has learnt whose legs cost it that much beside the bids."""
    found = Experience()
    for tried in tries:
        found = found.with_round(tried.ending is not None, float(tried.brought - leg_cost))
    return found


def _bounded(eagerness: float) -> float:
    return min(max(eagerness, EAGERNESS[0]), EAGERNESS[1])
