"""What a committee says of each leg and how well each seat agrees with the others: docs/PROTOCOL.md, Settlement.

Inside, relays are the last axis, which a processor's vector units run along, and scores have 32 bits: 2e7 ppm are the
most. Relays go through in blocks that fit its cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.limits import MAX_BIDS, MAX_SCORE_PPM
from derelayl_protocol.types import UNAVAILABLE

from .arithmetic import Bools, Ints

MISSING = -100_000_000
"""UNAVAILABLE in 32 bits: below every score, further from each than any tolerance, and as near as can be to itself."""

APART = 500_000_000
"""A leg that was not submitted: this far below as a seat's score, above as a median, so it is close to nothing."""

FAILED = 1_000_000_000
"""What puts a candidate for a median behind all others."""

BLOCK_CELLS = 1 << 16
"""Cells of the largest array of a block: a quarter of a MiB."""

Small = NDArray[np.int32]


def judge(scores: Ints, weight: Ints, revealed: Bools, submitted: Bools, tolerance: int) -> tuple[Ints, Ints]:
    """Return each leg's score and each seat's agreement, (R, L) ppm and (R, K) as `scoring.agreement` has it.

    `scores` (R, K, L) ppm or UNAVAILABLE, `weight` (R, K) wei, `revealed` (R, K), `submitted` (R, L). The score is the
    weighted lower median of the seats that revealed, UNAVAILABLE if not submitted or if nobody revealed. Entries of
    legs not submitted and of seats not revealed are not looked at; another score beyond ± MAX_SCORE_PPM is an error.
    """
    relays, seats, legs = scores.shape
    medians = np.full((relays, legs), UNAVAILABLE, np.int64)
    agreements = np.zeros((relays, seats), np.int64)
    for block in _blocks(relays, seats * legs):
        shown, here = np.ascontiguousarray(revealed[block].T), np.ascontiguousarray(submitted[block].T)
        seen = shown[:, None] & here
        small = _encode(scores[block].transpose(1, 2, 0), seen)
        median, others = _medians(small, shown * weight[block].T, shown)
        known = here & shown.any(axis=0) & (median != MISSING)
        medians[block] = np.where(known, median, np.int64(UNAVAILABLE)).T
        common = np.where(here, others, np.int32(APART))
        agreements[block] = _agreement(np.where(seen, small, np.int32(-APART)), common, here, tolerance).T
    agreements[~revealed | (revealed.sum(axis=1) < 2)[:, None]] = 0
    return medians, agreements


# --- Inside -----------------------------------------------------------------------------------------------------------


def _blocks(relays: int, cells: int) -> Iterator[slice]:
    size = max(1, BLOCK_CELLS // max(1, cells))
    return (slice(start, start + size) for start in range(0, relays, size))


def _encode(scores: Ints, seen: Bools) -> Small:
    small = np.where(seen & (scores != UNAVAILABLE), scores, MISSING)
    assert small.max(initial=0) <= MAX_SCORE_PPM, "a score is above MAX_SCORE_PPM"
    assert small.min(initial=0) >= MISSING, "a score is below - MAX_SCORE_PPM"
    return small.astype(np.int32, order="C")


def _medians(scores: Small, weight: Ints, revealed: Bools) -> tuple[Small, Small]:
    """Return the weighted lower medians of all seats, (L, r), and of all but each one, (K, L, r).

    `scores` (K, L, r); `weight` (K, r), 0 for seats that did not reveal; `revealed` (K, r). A score passes that has
    half of the weight at or below it. Leaving a seat out, its own score may stay a candidate: where it would pass, so
    does the next lower one of another.
    """
    at_or_below = [(score <= scores).view(np.int8) for score in scores]
    twice = np.zeros(scores.shape, np.int64)
    for each, under in zip(weight, at_or_below, strict=True):
        twice += under * (2 * each)
    candidates, total = np.where(revealed[:, None], scores, np.int32(APART)), weight.sum(axis=0)
    others = np.empty_like(scores)
    for seat, (each, under) in enumerate(zip(weight, at_or_below, strict=True)):
        others[seat] = _lowest(candidates, twice < under * (2 * each) + (total - each))
    return _lowest(candidates, twice < total), others


def _lowest(candidates: Small, fails: Bools) -> Small:
    """Return the lowest of those that do not fail, over the seats. A product is six times as fast as a choice."""
    lowest: Small = (candidates + fails.view(np.int8) * np.int32(FAILED)).min(axis=0)
    return lowest


def _agreement(own: Small, common: Small, submitted: Bools, tolerance: int) -> Ints:
    """Return n · Σ closeness of the same legs - Σ closeness of all pairs of legs, (K, r).

    `own` and `common` (K, L, r), `submitted` (L, r).
    """
    right = _closeness(own - common, tolerance).sum(axis=1, dtype=np.int64)
    pairs = np.zeros_like(own)
    legs = max(1, own.shape[1])
    group = max(1, BLOCK_CELLS // max(1, own.size))
    for start in range(0, legs, group):
        apart = own[:, :, None] - common[:, None, start : start + group]
        pairs += _closeness(apart, tolerance).sum(axis=2, dtype=np.int32)
    agreement: Ints = submitted.sum(axis=0) * right - pairs.sum(axis=1, dtype=np.int64)
    return agreement


def _closeness(apart: Small, tolerance: int) -> Small:
    """Change distances into closeness, in place."""
    np.abs(apart, out=apart)
    np.subtract(np.int32(tolerance), apart, out=apart)
    np.maximum(apart, 0, out=apart)
    return apart


assert MISSING + MAX_SCORE_PPM < -MAX_SCORE_PPM, "what is missing is further off than any tolerance"
assert np.iinfo(np.int32).max > FAILED + APART + APART, "a distance fits 32 bits"
assert np.iinfo(np.int32).max > MAX_BIDS * MAX_SCORE_PPM, "the closeness of a leg to all others fits 32 bits"
