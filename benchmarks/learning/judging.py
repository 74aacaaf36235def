"""What honest judging is worth with few held-out samples: agreement, how often it is charged, and the score's error.

A relay on images with eight trainers; in each of ROUNDS rounds every seat scores all legs on its own held-out samples,
as the protocol says, and `agreement` measures each seat by the others. A *share* is what a seat gets of an equal part
of the validators' pot: its agreement of the most possible, negative where it is charged.
The samples are the same in every round: a peer with 20 has no others. A *guesser* has one seat's scores in a random
order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Row, row
from derelayl_protocol.ledger.presets import STANDARD
from derelayl_protocol.ledger.scoring import PPM, agreement, most_agreement, score_ppm
from derelayl_protocol.ledger.state import LegEntry, SeatEntry
from derelayl_protocol.types import Address, Ppm, Root, Wei
from derelayl_training.judge import gain_error

from .harness import Log, Measured
from .siblings import SPLITS, STAGES, TRAINERS, Field, Losses, lay_out

KIND = "images"
ROUNDS, QUICK_ROUNDS = 5, 1
STEPS = 30
SAMPLES = (20, 50, 100, 300)
COMMITTEES = (3, 5, 11)
TOLERANCES = (30_000, 100_000, 300_000, 1_000_000)
"""In ppm; the preset's is among them."""

VARIED = 5
"""Seats of the committee with which tolerance and scores are varied."""

SHRUNK_TOLERANCES = (30_000, 300_000)
GUESSES = 10
"""Random orders in a round."""

PLAIN, SHRUNK = "as measured", "shrunk"
WAYS = (PLAIN, SHRUNK)

Scores = NDArray[np.int64]
"""(seats, legs) in ppm."""


class JudgingTable:
    """Agreement of honest seats."""

    name = "judging"

    def cases(self, quick: bool) -> Sequence[str]:
        """See Table."""
        return [f"{split}, {stage}" for split in SPLITS for stage in STAGES][: 1 if quick else None]

    def seeds(self, case: str, seeds: int) -> int:
        """See Table."""
        return seeds

    def measure(self, case: str, seed: int, quick: bool, log: Log) -> Measured:
        """See Table."""
        split, stage = case.split(", ")
        there = lay_out(KIND, split, seed, quick)
        tip = there.parent(stage, quick)
        seen: dict[str, list[dict[str, float]]] = {}
        for number in range(QUICK_ROUNDS if quick else ROUNDS):
            legs = [there.leg(tip, trainer, STEPS, turn=number) for trainer in range(TRAINERS)]
            losses = [[there.losses(state, seat, max(SAMPLES)) for seat in there.seats] for state in (tip, *legs)]
            truth = _truth(there, [there.losses(state, there.test) for state in (tip, *legs)])
            for samples in SAMPLES:
                measured, errors = scores_of(losses, samples)
                for name, found in told(measured, errors, truth, samples, there.seed + number).items():
                    seen.setdefault(name, []).append(found)
            tip = legs[int(np.argmax(truth))]
        return {name: _summed(found) for name, found in seen.items()}

    def rows(self, measured: Mapping[str, Sequence[Measured]]) -> list[Row]:
        """See Table."""
        rows = []
        for case, runs in measured.items():
            for name in runs[0]:
                for metric, unit in METRICS.items():
                    rows.append(row(f"{case}: {name}", metric, unit, [run[name][metric] for run in runs]))
        return rows


TABLE = JudgingTable()

METRICS = {
    "share": "of a seat's part",
    "spread of the share": "of a seat's part",
    "charged": "share of seats and rounds",
    "charged in the end": "share of seats",
    "guesser's share": "of a seat's part",
    "score's error": "nats",
    "median's error": "nats",
    "legs' true spread": "nats",
}


def scores_of(losses: Sequence[Sequence[Losses]], samples: int) -> tuple[Scores, NDArray[np.float64]]:
    """Each seat's scores of each leg on its first so many samples, and their standard errors in nats."""
    before, *legs = losses
    scores, errors = [], []
    for seat, parent in enumerate(before):
        own = [leg[seat][:samples] for leg in legs]
        error = [gain_error(parent[:samples], child) or 0.0 for child in own]
        mean = float(parent[:samples].mean())
        scores.append([score_ppm(mean, float(child.mean()), e) for child, e in zip(own, error, strict=True)])
        errors.append(error)
    return np.array(scores), np.array(errors)


def shrunk(scores: Scores, errors: NDArray[np.float64]) -> Scores:
    """Each seat's scores drawn to its own mean over the legs, by the share of their spread that is not error.

    The errors of one seat's scores move together, so their own variance says too much of it: what is left out is that
    of differences between legs, as if the errors of two legs correlated at a half.
    """
    centre = scores.mean(1, keepdims=True)
    spread = scores.var(1, ddof=1, keepdims=True)
    noise = 0.5 * (errors**2).mean(1, keepdims=True) * PPM**2
    kept = np.clip(1 - noise / np.maximum(spread, 1), 0.1, 1)
    return (centre + kept * (scores - centre)).round().astype(np.int64)


def told(
    scores: Scores, errors: NDArray[np.float64], truth: NDArray[np.float64], samples: int, seed: int
) -> dict[str, dict[str, float]]:
    """One round's figures of every committee, tolerance and way of scoring."""
    found = {}
    rng = np.random.default_rng(seed)
    for size, tolerance, way in product(COMMITTEES, TOLERANCES, WAYS):
        usual = tolerance == STANDARD.agreement_ppm and way == PLAIN
        if not usual and (size != VARIED or (way == SHRUNK and tolerance not in SHRUNK_TOLERANCES)):
            continue
        own = scores[:size] if way == PLAIN else shrunk(scores[:size], errors[:size])
        guesses = [np.vstack([rng.permutation(own[0]), own[1:]]) for _ in range(GUESSES)]
        name = f"{samples} samples, {size} seats" + ("" if usual else f", {way}, tolerance {tolerance / PPM:g}")
        found[name] = {
            "shares": shares(own, tolerance),
            "guess": fmean(shares(guess, tolerance, seats=1)[0] for guess in guesses),
            "error": float(errors[:size].mean()),
            "apart": float(truth.std(ddof=1)),
            "wrong": float(np.sqrt(np.mean((np.median(own, 0) / PPM - truth) ** 2))),
        }
    return found


def shares(scores: Scores, tolerance: int, seats: int | None = None) -> list[float]:
    """The first seats', or each seat's agreement of the most possible, in [-1, 1]."""
    nobody = Address("0x" + "00" * 20)
    leg = LegEntry(nobody, Root("00" * 32), nobody, 0, Wei(1), Wei(0), child=Root("01" * 32))
    legs = [leg] * scores.shape[1]
    entries = [SeatEntry(nobody, Wei(1), scores=tuple(Ppm(int(score)) for score in own)) for own in scores]
    most = most_agreement(legs, Ppm(tolerance))
    return [agreement(number, legs, entries, Ppm(tolerance)) / most for number in range(seats or len(entries))]


def _truth(there: Field, losses: Sequence[Losses]) -> NDArray[np.float64]:
    before, *legs = (one.mean() for one in losses)
    return np.array([np.log(before / leg) for leg in legs])


def _summed(rounds: Sequence[Mapping[str, object]]) -> dict[str, float]:
    every = np.array([found["shares"] for found in rounds])  # (rounds, seats)
    return {
        "share": float(every.mean()),
        "spread of the share": float(every.std(ddof=1)),
        "charged": float((every < 0).mean()),
        "charged in the end": float((every.sum(0) < 0).mean()),
        "guesser's share": fmean(float(str(found["guess"])) for found in rounds),
        "score's error": fmean(float(str(found["error"])) for found in rounds),
        "median's error": fmean(float(str(found["wrong"])) for found in rounds),
        "legs' true spread": fmean(float(str(found["apart"])) for found in rounds),
    }
