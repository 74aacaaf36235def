"""Scores: what one seat measures, how it seals them, and what the committee as a whole says.

Source: docs/PROTOCOL.md section 3 (commitment) and section 4 (Scores, Settlement).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeGuard

from ..encoding import word
from ..errors import LocalFault, Reason, RuleViolation
from ..limits import MAX_SCORE_PPM
from ..types import HASH_BYTES, UNAVAILABLE, Address, ModelId, Ppm, Wei
from .duplicates import encode_originals
from .state import LegEntry, SeatEntry

PPM = 1_000_000
"""Millionths in one."""


CAUTION = 0.5
"""Standard errors that a score stays below the gain that was measured: a gain that may be chance is none.

With a whole one three judges let 7 % of useless legs pass, with a half 23 %, with none 50 %. But with a whole one the
relay of the demo (about 170 samples a judge) came to rest: the gains that are left after a few legs are smaller.
"""


def score_ppm(parent_loss: float | None, child_loss: float | None, error: float | None) -> Ppm:
    """Return ln(parent's loss / child's loss) - CAUTION · error in millionths, to nearest, within ± MAX_SCORE_PPM.

    Losses are means in nats on the same data, `error` is the standard error of the logarithm of their ratio. Ties go to
    even. UNAVAILABLE when one of the three is None, NaN, infinite or negative: no comparison. A loss of zero is the
    limit: a child of zero gets MAX_SCORE_PPM, a parent of zero leaves a worse child - MAX_SCORE_PPM, and two equal
    losses are worth 0 at most.
    """
    if not (_is_loss(parent_loss) and _is_loss(child_loss) and _is_loss(error)):
        return UNAVAILABLE
    if child_loss == 0 == parent_loss:
        return Ppm(0)
    if child_loss == 0:
        return Ppm(MAX_SCORE_PPM)
    if parent_loss == 0:
        return Ppm(-MAX_SCORE_PPM)
    gain = math.log(parent_loss) - math.log(child_loss) - CAUTION * error  # the quotient itself could overflow
    most = MAX_SCORE_PPM / PPM
    return Ppm(round(max(-most, min(most, gain)) * PPM))


def commitment(
    model: ModelId, round: int, validator: Address, salt: bytes, scores: Sequence[Ppm], originals: Sequence[int]
) -> bytes:
    """Seal a score and an original per leg: SHA-256(model ‖ round word ‖ validator word ‖ salt ‖ score words ‖
    originals), 32 bytes.

    Bound to the validator, so that a copied commitment cannot be revealed. Raises LocalFault for a salt of another
    length than HASH_BYTES.
    """
    if len(salt) != HASH_BYTES:
        raise LocalFault(f"the salt has {len(salt)} bytes, a commitment takes {HASH_BYTES}")
    words = [model, word(round), word(int(validator, 16)), salt, *(word(score) for score in scores)]
    words.append(encode_originals(originals))
    return hashlib.sha256(b"".join(words)).digest()


def check_scores(scores: Sequence[Ppm], legs: Sequence[LegEntry]) -> None:
    """Raise RuleViolation(BAD_SCORES) unless there is a score for each leg, UNAVAILABLE where nothing was submitted."""
    if len(scores) != len(legs):
        raise RuleViolation(Reason.BAD_SCORES, f"{len(scores)} scores for {len(legs)} legs")
    for number, (score, leg) in enumerate(zip(scores, legs, strict=True)):
        if score == UNAVAILABLE:
            continue
        if not leg.submitted:
            raise RuleViolation(Reason.BAD_SCORES, f"leg {number} was not submitted")
        if abs(score) > MAX_SCORE_PPM:
            raise RuleViolation(Reason.BAD_SCORES, f"{score} of leg {number} is beyond ± {MAX_SCORE_PPM}")


def weighted_median(scores: Sequence[Ppm], weights: Sequence[Wei]) -> Ppm:
    """Return the smallest score x such that twice the weight of the scores <= x is at least the total weight.

    That is the lower median: of two equal halves the lower one decides. UNAVAILABLE ranks below every number. Raises
    ValueError for no scores.
    """
    total, below = sum(weights), 0
    for score, weight in sorted(zip(scores, weights, strict=True)):
        below += weight
        if 2 * below >= total:
            return score
    raise ValueError("the median of no scores is undefined")


def medians(legs: Sequence[LegEntry], seats: Sequence[SeatEntry]) -> tuple[Ppm, ...]:
    """Return each leg's score by leg number: the weighted median of the revealed ones, UNAVAILABLE if not submitted."""
    return tuple(_median(seats, number) if leg.submitted else UNAVAILABLE for number, leg in enumerate(legs))


def seat_order(leg_order: Sequence[int], seats: Sequence[SeatEntry]) -> tuple[int, ...]:
    """List for each leg of `leg_order` the revealed seats: score of that leg ascending, then seat number ascending."""
    revealed = [(number, seat.scores) for number, seat in enumerate(seats) if seat.scores is not None]
    return tuple(
        number for leg in leg_order for _, number in sorted((scores[leg], number) for number, scores in revealed)
    )


def revealed_score(seat: SeatEntry, leg: int) -> Ppm | None:
    """Return what the seat revealed of that leg, None if it did not reveal."""
    return None if seat.scores is None else seat.scores[leg]


def agreement(number: int, legs: Sequence[LegEntry], seats: Sequence[SeatEntry], tolerance: Ppm) -> int:
    """Measure how much better a seat's scores fit the committee's of the same legs than the committee's of all legs.

    The committee is the other seats that revealed: a seat's own numbers are never what it is measured by. 0 for a seat
    that has not revealed, that is alone, or that gives every leg the same score; from - `most_agreement` to
    + `most_agreement`, in ppm times the number of pairs of legs.
    """
    own, others = seats[number].scores, [*seats[:number], *seats[number + 1 :]]
    if own is None or all(seat.scores is None for seat in others):
        return 0
    submitted = [leg for leg, entry in enumerate(legs) if entry.submitted]
    common = [_median(others, leg) for leg in submitted]
    right = sum(closeness(own[leg], score, tolerance) for leg, score in zip(submitted, common, strict=True))
    return len(submitted) * right - sum(closeness(own[leg], score, tolerance) for leg in submitted for score in common)


def most_agreement(legs: Sequence[LegEntry], tolerance: Ppm) -> int:
    """The agreement of a seat that has every submitted leg's score exactly and that fits no other leg."""
    count = sum(leg.submitted for leg in legs)
    return count * (count - 1) * tolerance


def closeness(own: Ppm, common: Ppm, tolerance: Ppm) -> int:
    """Measure how near two scores are: `tolerance` if they are the same, one less for each ppm apart, never below 0.

    UNAVAILABLE is the same as UNAVAILABLE and far from every number.
    """
    if UNAVAILABLE in (own, common):
        return tolerance if own == common else 0
    return max(0, tolerance - abs(own - common))


# --- Inside -----------------------------------------------------------------------------------------------------------


def _is_loss(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value) and value >= 0


def _median(seats: Sequence[SeatEntry], leg: int) -> Ppm:
    revealed = [(seat.scores[leg], seat.weight) for seat in seats if seat.scores is not None]
    return weighted_median([score for score, _ in revealed], [weight for _, weight in revealed])
