"""What a rule of the mechanism decides. The base classes are what the contract and the network's validators run.

A rule decides for all relays at once, of which there are R; L is the most legs of one, K the most seats. Money is wei,
scores are ppm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import Bools, Ints
from ..checkpoints import NOBODY
from ..copies import classes
from ..scoring import judge

Floats = NDArray[np.float64]


class Rule:
    """A rule of any kind, made without arguments. A dial is a number that may follow its name, as in `trimmed:0.2`."""

    dial: float | None = None  # what it is without such a number; None: there is nothing to turn
    bounds: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Gains:
    """What a payment is for, (R, L) each."""

    score: Ints  # UNAVAILABLE where it was not judged
    judged: Bools
    selected: Bools


class Delivery(Rule):
    """Lets every leg be selected that was submitted."""

    def counts(self, tip: Ints, is_leg: Bools, submitted: Bools) -> Bools:
        """Return which of the submitted legs may be selected, (R, L), as are the columns of their tips."""
        return submitted


class Payment(Rule):
    """Shares by score: each selected leg is paid in proportion to its gain."""

    def weights(self, gains: Gains) -> Ints:
        """Return the parts, (R, L), in which the trainers' and the royalties' shares of a pot go to the selected legs.

        From 0 on, 0 for what is not selected; those of a relay add up to less than 2**40. All 0: the pot is kept.
        """
        return np.where(gains.selected, gains.score, 0)


class Base(Rule):
    """Compares a child with the best of its parent and the plain averages of the tips."""

    def base(self, parent: Floats, best: Floats, average: Floats) -> Floats:
        """Return what each leg's child is compared with; nats, (legs,), as are its parent's, the best tip's and the
        best average's.
        """
        return np.maximum(parent, average)


class Matching(Rule):
    """Fills the tips in order, up to legs_per_tip each; every bond is the lowest matched bid."""

    def bonds(self, bids: Ints) -> Ints:
        """Return the bonds, (R, L), from 1 on and up to the matched bids in wei, in order; NOBODY: no leg, bond 0."""
        some = bids != NOBODY
        lowest = np.where(some, bids, np.iinfo(np.int64).max).min(axis=1, keepdims=True, initial=np.iinfo(np.int64).max)
        return np.where(some, lowest, 0)

    def ranks(self, legs: Ints, tips: Ints, most: int, width: int) -> Ints:
        """Return which tip in order each leg continues, (R, width), from 0 on; what stands behind the last is ignored.

        A relay has `legs` (R,) of them for `tips` (R,) tips, and `most` may continue the same.
        """
        return np.broadcast_to(np.arange(width) // most, (len(legs), width))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What rules may ask of the world around the ledger that no contract knows."""

    error: Floats  # (R, K, L) ppm, the standard error that each seat states of its score
    twin: Ints  # (R, L) number of the first leg that has handed over exactly the same; its own if there is none before
    luck: Floats  # (R, L) uniform, a number of the round's for each leg


@dataclass(frozen=True, slots=True)
class Copies:
    """What is known of copies in a round."""

    originals: Ints  # (R, K, L) each seat's original of each leg
    weight: Ints  # (R, K)
    revealed: Bools  # (R, K)
    judged: Bools  # (R, L)
    evidence: Evidence | None


class Duplicates(Rule):
    """Takes a leg for a copy of another where seats with more than half of the weight name it so."""

    def classes(self, copies: Copies) -> Ints | None:
        """Return each leg's class, (R, L), by the number of its first leg; None lets all copies be."""
        return classes(copies.originals, copies.weight, copies.revealed, copies.judged)


@dataclass(frozen=True, slots=True)
class Ballots:
    """What a committee has said of a round."""

    scores: Ints  # (R, K, L) ppm or UNAVAILABLE; of no meaning where a seat has not revealed or a leg is not submitted
    weight: Ints  # (R, K) wei
    revealed: Bools  # (R, K)
    submitted: Bools  # (R, L)
    tolerance: int  # ppm, the rule `agreement`
    seats: Ints  # (R, K) accounts
    trainers: Ints  # (R, L) accounts
    accounts: int  # of a relay
    evidence: Evidence | None
    memory: dict[str, Any]  # what the rule wants to remember until the next round; arrays of R relays


@dataclass(frozen=True, slots=True)
class Judged:
    """What a round's legs are worth, and what the seats are."""

    score: Ints  # (R, L) ppm, UNAVAILABLE if not submitted or nobody knows
    agreement: Ints  # (R, K) what a seat is paid for, or charged for if below 0
    most: Ints | None = None  # (R,) the agreement that a seat's whole share is paid for; None: n · (n - 1) · tolerance
    fine: Ints | None = None  # (R, K) ppm of a seat's stake that it loses to the carry besides
    asked: Floats | None = None  # (R, K) share of the legs that a seat had to judge; None: all


class Score(Rule):
    """Takes the weighted lower median of the seats' scores; seats are paid by agreement with the others' median."""

    def judge(self, ballots: Ballots) -> Judged:
        """Return each leg's score and what each seat's scores are worth."""
        return Judged(*judge(ballots.scores, ballots.weight, ballots.revealed, ballots.submitted, ballots.tolerance))


@dataclass(frozen=True, slots=True)
class Mechanism:
    """The rules that a relay plays beside the numbers in `Rules`."""

    payment: Payment
    delivery: Delivery
    base: Base
    matching: Matching
    duplicates: Duplicates
    score: Score

    @property
    def asks(self) -> bool:
        """Whether a rule may ask for evidence."""
        return type(self.duplicates) is not Duplicates or type(self.score) is not Score


CONTRACT = Mechanism(Payment(), Delivery(), Base(), Matching(), Duplicates(), Score())
"""What the contract and the network's validators run."""
