"""Other ways to take a committee's word: remedies that were tried against rings which bend the truth a little.

All of them think in floats, which no contract has; each would be a few lines of whole numbers there.
"""

from __future__ import annotations

import numpy as np

from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.types import UNAVAILABLE

from ..arithmetic import Bools, Ints
from ..scoring import judge
from .port import Ballots, Floats, Judged, Score

LEAST_ERROR = 100.0
"""ppm that nobody's standard error is taken to be below."""

FULL = 10**15
"""Weights are scaled to about this much, so that factors on them are not rounded away."""


class Trimmed(Score):
    """Takes the mean of what is left when the dial's share of the weight is cut off at either end."""

    dial, bounds = 0.25, (0.0, 0.49)

    def judge(self, ballots: Ballots) -> Judged:
        assert self.dial is not None
        score, agreement = _median(ballots, ballots.scores, ballots.weight)
        known = score != UNAVAILABLE
        voiced = ballots.revealed[:, :, None] & (ballots.scores != UNAVAILABLE)
        weight = np.where(voiced, ballots.weight[:, :, None], 0).astype(np.float64)
        order = np.argsort(np.where(voiced, ballots.scores, 0), axis=1, kind="stable")
        laid, ranked = (np.take_along_axis(each, order, axis=1) for each in (ballots.scores, weight))
        whole = np.maximum(ranked.sum(axis=1, keepdims=True), 1.0)
        upto = np.cumsum(ranked, axis=1) / whole
        kept = np.clip(upto, self.dial, 1 - self.dial) - np.clip(upto - ranked / whole, self.dial, 1 - self.dial)
        mean = (np.where(kept > 0, laid, 0) * kept).sum(axis=1) / np.maximum(kept.sum(axis=1), 1e-12)
        return Judged(np.where(known, np.rint(mean).astype(np.int64), score), agreement)


class Precise(Score):
    """Weighs a seat by its stake over the square of the standard error that it states."""

    def judge(self, ballots: Ballots) -> Judged:
        stated = _errors(ballots)
        seen = ballots.submitted[:, None] & ballots.revealed[:, :, None]
        error = np.where(seen, stated, 0.0).sum(axis=2) / np.maximum(seen.sum(axis=2), 1)
        return Judged(*_median(ballots, ballots.scores, _weighed(ballots, 1 / np.maximum(error, LEAST_ERROR) ** 2)))


class Proven(Score):
    """Weighs a seat by its stake and by how well it has agreed with the others so far."""

    dial, bounds = 20.0, (1.0, 1000.0)  # rounds that the average goes over

    def judge(self, ballots: Ballots) -> Judged:
        assert self.dial is not None
        record = ballots.memory.setdefault("record", np.zeros((len(ballots.scores), ballots.accounts)))
        lines, seats = np.arange(len(record))[:, None], np.maximum(ballots.seats, 0)
        score, agreement = _median(ballots, ballots.scores, _weighed(ballots, np.exp(record[lines, seats])))
        n = ballots.submitted.sum(axis=1)
        most = np.maximum(n * (n - 1) * ballots.tolerance, 1)[:, None]
        sat = ballots.revealed & (n > 1)[:, None]
        relay, seat = np.nonzero(sat)
        account = ballots.seats[relay, seat]
        new = STEEPNESS * (agreement / most)[relay, seat]
        record[relay, account] += (new - record[relay, account]) / self.dial
        return Judged(score, agreement)


STEEPNESS = 10.0
"""How fast a weight grows with the agreement that is behind it: by e for a tenth of the most."""


class Level(Score):
    """Takes the median when each seat's own level is taken off: what it says of all legs alike."""

    def judge(self, ballots: Ballots) -> Judged:
        return Judged(*_median(ballots, _levelled(ballots), ballots.weight))


class Ball(Score):
    """Takes the median of the seats in the smallest ball that holds more than half of the weight.

    A seat is a point with a coordinate for each leg, its own level taken off: what bends every leg a little, and none
    by more than errors explain, is far off in all of them together. Blanchard, El Mhamdi, Guerraoui, Stainer, Machine
    Learning with Adversaries, NeurIPS 2017 (Krum), has the same for gradients.
    """

    def judge(self, ballots: Ballots) -> Judged:
        scores = _levelled(ballots)
        return Judged(*_median(ballots, scores, ballots.weight * _ball(ballots, scores)))


class Steep(Score):
    """Takes the median; what a seat agrees better or worse than the others counts many times.

    The dial says how many times. The mean over the seats stays as it is: what some lose, the others get.
    """

    dial, bounds = 8.0, (1.0, 100.0)

    def judge(self, ballots: Ballots) -> Judged:
        return self._steeper(ballots, ballots.scores, ballots.weight)

    def _steeper(self, ballots: Ballots, scores: Ints, weight: Ints) -> Judged:
        assert self.dial is not None
        score, agreement = _median(ballots, scores, weight)
        sat, n = ballots.revealed, ballots.submitted.sum(axis=1)
        mean = agreement.sum(axis=1, keepdims=True, where=sat) / np.maximum(sat.sum(axis=1, keepdims=True), 1)
        most = (n * (n - 1) * ballots.tolerance)[:, None]
        steep = np.clip(mean + self.dial * (agreement - mean), -most, most)
        return Judged(score, np.where(sat, steep, 0).astype(np.int64))


class SteepLevel(Steep):
    """Takes the median when each seat's own level is taken off, and pays as steep does."""

    def judge(self, ballots: Ballots) -> Judged:
        return self._steeper(ballots, _levelled(ballots), ballots.weight)


class Contest(Steep):
    """Takes the median of the smallest ball, and pays as steep does."""

    def judge(self, ballots: Ballots) -> Judged:
        scores = _levelled(ballots)
        return self._steeper(ballots, scores, ballots.weight * _ball(ballots, scores))


class Appeal(Score):
    """Lets five seats judge, and all of them each leg about which these five are further apart than errors explain.

    The dial is the greatest scatter, in stated errors, that nobody appeals against. Of a leg that was appealed, a seat
    that was further from the final word than errors explain is fined, which is where the others' work is paid from.
    """

    dial, bounds = 1.5, (0.5, 10.0)

    def judge(self, ballots: Ballots) -> Judged:
        assert self.dial is not None
        first = np.arange(ballots.scores.shape[1]) < FIRST_SEATS
        seen = _seen(ballots, ballots.scores) & first[:, None]
        number = np.maximum(seen.sum(axis=1), 1)
        said = np.where(seen, ballots.scores, 0).astype(np.float64)
        mean = said.sum(axis=1) / number
        scatter = np.sqrt(np.where(seen, (said - mean[:, None]) ** 2, 0.0).sum(axis=1) / np.maximum(number - 1, 1))
        return _in_two(ballots, first, ballots.submitted & (scatter > self.dial * _usual_error(ballots)))


class Audit(Score):
    """Lets five seats judge, and all of them the dial's share of the legs, drawn when the scores are committed.

    Of such a leg, a seat that was further from the final word than errors explain is fined.
    """

    dial = 0.1

    def judge(self, ballots: Ballots) -> Judged:
        assert self.dial is not None
        assert ballots.evidence is not None, ASKS
        first = np.arange(ballots.scores.shape[1]) < FIRST_SEATS
        return _in_two(ballots, first, ballots.submitted & (ballots.evidence.luck < self.dial))


FIRST_SEATS = 5
"""Seats that judge every leg where not all do."""

TOO_FAR = 2.5
"""Stated errors from the final word that a seat may be without a fine."""

FINE_PPM = 20_000
"""Of its stake, what a seat loses on a leg for each error that it is too far off."""

ASKS = "a mechanism with this rule asks for evidence"


# --- Inside -----------------------------------------------------------------------------------------------------------


def _median(ballots: Ballots, scores: Ints, weight: Ints) -> tuple[Ints, Ints]:
    return judge(scores, weight, ballots.revealed, ballots.submitted, ballots.tolerance)


def _seen(ballots: Ballots, scores: Ints) -> Bools:
    """Which scores, (R, K, L), are there."""
    seen: Bools = ballots.revealed[:, :, None] & ballots.submitted[:, None] & (scores != UNAVAILABLE)
    return seen


def _errors(ballots: Ballots) -> Floats:
    """Return the standard errors that seats state, (R, K, L) ppm."""
    assert ballots.evidence is not None, ASKS
    return np.maximum(ballots.evidence.error, LEAST_ERROR)


def _usual_error(ballots: Ballots) -> Floats:
    """Return the median of the errors that the seats state of each leg, (R, L) ppm: nobody's own word counts."""
    stated = np.where(ballots.revealed[:, :, None], _errors(ballots), np.nan)
    stated[~ballots.revealed.any(axis=1)] = LEAST_ERROR
    return np.asarray(np.nanmedian(stated, axis=1))


def _in_two(ballots: Ballots, first: Bools, again: Bools) -> Judged:
    """Judge by the first seats (K,), and by all of them the legs `again` (R, L)."""
    score, agreement = _median(ballots, ballots.scores, ballots.weight * first)
    final, _ = _median(ballots, ballots.scores, ballots.weight)
    seen = _seen(ballots, ballots.scores) & (again & (final != UNAVAILABLE))[:, None]
    off = np.where(seen, np.abs(ballots.scores - final[:, None]), 0) / _usual_error(ballots)[:, None]
    fine = np.minimum((np.maximum(off - TOO_FAR, 0.0).sum(axis=2) * FINE_PPM).astype(np.int64), PPM)
    asked = np.where(first, 1.0, (again.sum(axis=1) / np.maximum(ballots.submitted.sum(axis=1), 1))[:, None])
    return Judged(np.where(again, final, score), (agreement * asked).astype(np.int64), fine=fine, asked=asked)


def _weighed(ballots: Ballots, factor: Floats) -> Ints:
    """Return weights in proportion to stakes and factors, (R, K)."""
    shares = ballots.weight * np.where(ballots.revealed, factor, 0.0)
    whole = np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    return np.asarray(np.ceil(shares / whole * FULL), np.int64)


def _levelled(ballots: Ballots) -> Ints:
    """Return the scores less what each seat says above the median of all legs on average, (R, K, L)."""
    score, _ = _median(ballots, ballots.scores, ballots.weight)
    seen = _seen(ballots, ballots.scores) & (score != UNAVAILABLE)[:, None]
    beyond = np.where(seen, ballots.scores - score[:, None], 0)
    level = beyond.sum(axis=2) // np.maximum(seen.sum(axis=2), 1)
    return np.where(seen, ballots.scores - level[:, :, None], ballots.scores)


def _ball(ballots: Ballots, scores: Ints) -> Bools:
    """Return which seats, (R, K), are in the smallest ball around a seat that holds more than half of the weight.

    Its size is the mean square of the distances to the seat in its middle; what only one of two calls unavailable sets
    them apart by the rule `agreement`.
    """
    seen = _seen(ballots, scores)
    point = np.where(seen, scores, 0).astype(np.float64)
    step = point[:, :, None] - point[:, None]  # [relay, seat, other seat, leg]
    step[seen[:, :, None] != seen[:, None]] = ballots.tolerance
    apart = (step**2).sum(axis=3)
    order = np.argsort(apart, axis=2, kind="stable")
    weight = np.where(ballots.revealed, ballots.weight, 0)
    near = np.take_along_axis(np.broadcast_to(weight[:, None], apart.shape), order, axis=2)
    before = np.cumsum(near, axis=2) - near
    inside = (2 * before <= weight.sum(axis=1)[:, None, None]) & (near > 0)
    reach = np.take_along_axis(apart, order, axis=2)
    size = np.where(inside, reach, 0.0).sum(axis=2) / np.maximum(inside.sum(axis=2), 1)
    centre = np.where(weight > 0, size, np.inf).argmin(axis=1)
    lines = np.arange(len(centre))
    kept = np.zeros(weight.shape, np.bool_)
    kept[lines[:, None], order[lines, centre]] = inside[lines, centre]
    return kept
