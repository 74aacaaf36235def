"""What honest judging earns with so many held-out samples, told before anything is staked.

Source: docs/PROTOCOL.md section 4 (Settlement, validator share). Made up rounds of honest seats that are alike, drawn
from one fixed seed: the same arguments always give the same answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.limits import BPS
from derelayl_protocol.types import TOKEN, Ppm
from derelayl_training.jobs import drawn

SAMPLE_SPREAD = 1.7
"""How far a leg moves the logarithm of the loss from one held-out sample to another, in nats (standard deviation):
measured on images, 0.2 in a relay's first leg, 1 to 2.5 from the third on. A score's standard error is this divided by
the square root of the samples."""

LEGS_DIFFER_PPM = 80_000
"""How far the legs of one round differ in truth (standard deviation): measured on the same legs, 30,000 to 160,000."""

COMMON_SHARE = 0.3
"""Part of a seat's squared error that all its scores of a round have in common, as all are measured on the same samples
against one bar; measured on the same legs."""

LEGS = 8
"""Legs of a made up round."""

ROUNDS = 4_000
"""Made up rounds: the mean share is right to half a hundredth."""

HORIZON_ROUNDS = 15
"""Seats after which the balance is drawn: what a seat gains in one round is mostly luck."""

TOLERATED_LOSS = 0.1
"""Chance to be charged more than paid by then, up to which judging is said to earn."""

MAX_SAMPLES = 1_000_000
"""Held-out samples beyond which nobody looks."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """What an honest seat may expect: `error_ppm` of a score; shares of the seat share in the mean of a round, in all
    and as charges alone; how often it is charged; the chance to have lost after HORIZON_ROUNDS."""

    error_ppm: int
    share: float
    charges: float
    charged: float
    losing: float

    @property
    def earns(self) -> bool:
        """Whether a loss by then is unlikely. What transactions cost is not in it."""
        return self.losing <= TOLERATED_LOSS


def error_ppm(held: int) -> int:
    """The standard error of a score to expect of a seat with so many held-out samples, drawn from afresh each round."""
    return round(SAMPLE_SPREAD * PPM / math.sqrt(drawn(held)))


def prospect(error: int, tolerance: Ppm, seats: int, legs: int = LEGS) -> Prospect:
    """What an honest seat with this standard error, in ppm, may expect among others alike.

    `tolerance` is the model's `agreement_ppm`; at least two seats and two legs, or nobody is paid.
    """
    draw = np.random.default_rng(1)
    truth = draw.normal(0, LEGS_DIFFER_PPM, (ROUNDS, 1, legs))
    common = draw.normal(0, error * math.sqrt(COMMON_SHARE), (ROUNDS, seats, 1))
    scores = truth + common + draw.normal(0, error * math.sqrt(1 - COMMON_SHARE), (ROUNDS, seats, legs))
    ranked = np.sort(scores[:, 1:], axis=1)
    got = shares(scores[:, 0], ranked[:, (seats - 2) // 2], tolerance)  # of two medians the lower one counts
    mean, spread = float(got.mean()), float(got.std())
    charges = float(-np.minimum(got, 0).mean())
    expected = mean * math.sqrt(HORIZON_ROUNDS) / spread if spread else math.inf
    return Prospect(error, mean, charges, float((got < 0).mean()), 0.5 * math.erfc(expected / math.sqrt(2)))


def shares(own: NDArray[np.float64], common: NDArray[np.float64], tolerance: Ppm) -> NDArray[np.float64]:
    """What part of its seat share a seat gets in each round, below 0 where it is charged: `scoring.agreement` of many.

    `own` and `common` (rounds, legs) are the seat's scores and the medians of the others.
    """
    legs = own.shape[1]
    near = np.maximum(0.0, tolerance - np.abs(own[:, :, None] - common[:, None, :]))
    right = np.trace(near, axis1=1, axis2=2)
    got: NDArray[np.float64] = (legs * right - near.sum(axis=(1, 2))) / (legs * (legs - 1) * tolerance)
    return got


def least_samples(tolerance: Ppm, seats: int, legs: int = LEGS) -> int | None:
    """The fewest held-out samples with which honest judging earns; None if MAX_SAMPLES do not."""
    low, high = 1, MAX_SAMPLES
    if not prospect(error_ppm(high), tolerance, seats, legs).earns:
        return None
    while low < high:
        middle = (low + high) // 2
        if prospect(error_ppm(middle), tolerance, seats, legs).earns:
            high = middle
        else:
            low = middle + 1
    return low


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whether honest judging earns, and the sentence that says what to expect and what to do."""

    earns: bool
    text: str


def outlook(held: int, rules: Rules) -> Outlook:
    """What an honest validator with so many held-out samples may expect of these rules."""
    error = error_ppm(held)
    text = f"with {held} held-out samples a score's standard error is about {error / PPM:.2f} nats"
    if rules.committee_size < 2:
        return Outlook(False, f"{text}; a committee of one is paid nothing")
    found = prospect(error, rules.agreement_ppm, rules.committee_size)
    seat_share = rules.emission * rules.validator_bps / BPS / rules.committee_size / TOKEN
    text += (
        f": an honest seat gets {found.share:.1%} of its share of a round on average (a share is {seat_share:.3g} "
        f"tokens or less), and is charged in {found.charged:.0%} of the rounds, {found.charges:.1%} of the share on "
        f"average"
    )
    if found.earns:
        return Outlook(True, text)
    least = least_samples(rules.agreement_ppm, rules.committee_size)
    remedy = f"hold out at least {least} samples" if least else "under these rules no number of samples is enough"
    return Outlook(
        False,
        f"{text}; with a chance of {found.losing:.0%} it has lost tokens after {HORIZON_ROUNDS} rounds, so "
        f"judging does not pay: {remedy}",
    )
