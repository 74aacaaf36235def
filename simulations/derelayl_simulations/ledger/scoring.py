"""What a committee says of each leg and how well each seat agrees with the others: docs/PROTOCOL.md, Settlement.

Inside, relays are the last axis, which a processor's vector units run along, and scores have 32 bits: 2e7 ppm are the
most. Relays go through in blocks that fit its cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from derelayl_protocol.limits import MAX_COMMITTEE, MAX_SCORE_PPM
from derelayl_protocol.types import UNAVAILABLE

from .arithmetic import Bools, Ints

MISSING = -100_000_000
"""UNAVAILABLE in 32 bits: below every score, further from each than any tolerance, and as near as can be to itself."""

APART = 500_000_000
"""A leg that was not submitted: this far below as a seat's score, above as a median, so it is close to nothing."""

BLOCK_CELLS = 1 << 15
"""Cells of an array of a block: 256 KiB of 64 bits."""

SEAT_BITS = 4
"""A seat's number beside its score."""

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
        shown, here = revealed[block].T, submitted[block].T
        seen = shown & here[:, None]
        own = _encode(scores[block].transpose(2, 1, 0), seen)
        median, others = _medians(own, shown * weight[block].T)
        known = here & shown.any(axis=0) & (median != MISSING)
        medians[block] = np.where(known, median, np.int64(UNAVAILABLE)).T
        common = np.where(here[:, None], others, np.int32(APART))
        agreements[block] = _agreement(own, common, here, tolerance).T
    agreements[~revealed | (revealed.sum(axis=1) < 2)[:, None]] = 0
    return medians, agreements


# --- Inside -----------------------------------------------------------------------------------------------------------


def _blocks(relays: int, cells: int) -> Iterator[slice]:
    """Cut the relays into blocks; there is none where a relay has no cells."""
    size = max(1, BLOCK_CELLS // max(1, cells))
    return (slice(start, start + size) for start in range(0, relays if cells else 0, size))


def _encode(scores: Ints, seen: Bools) -> Small:
    """Return them in 32 bits, what is not seen APART below; in order, as the medians' passes over them go."""
    small = np.where(seen & (scores != UNAVAILABLE), scores, MISSING)
    assert small.max(initial=0) <= MAX_SCORE_PPM, "a score is above MAX_SCORE_PPM"
    assert small.min(initial=0) >= MISSING, "a score is below - MAX_SCORE_PPM"
    return np.where(seen, small.astype(np.int32, order="C"), np.int32(-APART))


def _medians(scores: Small, weight: Ints) -> tuple[Small, Small]:
    """Return the weighted lower medians of all seats, (L, r), and of all but each one, (L, K, r).

    `scores` (L, K, r); `weight` (K, r), 0 for seats that did not reveal. With the seats of a leg in the order of their
    scores, the median is the first place up to which there is half of the weight, never one of no weight. Without a
    seat, the total falls by its weight, and so does what there is up to the places behind it.
    """
    legs, seats, relays = scores.shape
    numbered = (scores.astype(np.int64) << SEAT_BITS) | np.arange(seats)[:, None]
    ranked = np.sort(numbered.transpose(0, 2, 1).reshape(-1, seats), axis=1).T.copy()  # [place, column]
    columns = np.arange(legs * relays)  # a leg of a relay each
    leg, relay = np.divmod(columns, relays)
    cells = (ranked & ((1 << SEAT_BITS) - 1)) * relays + relay
    weights, total = weight.ravel().take(cells), np.tile(weight.sum(axis=0), legs)
    twice = 2 * weights  # up to each place
    for before, upto in pairwise(twice):
        upto += before
    more = total + weights
    needed = np.where(twice >= more, total - weights, more)  # there is enough before the seat itself, or only behind it
    places = np.zeros(cells.shape, np.int8)
    for upto in twice:
        places += (upto < needed).view(np.int8)
    ranked >>= SEAT_BITS
    others = np.empty(scores.size, np.int32)
    others[cells + leg * (seats * relays)] = ranked.ravel().take(places.astype(np.int64) * len(columns) + columns)
    median = ranked[(twice < total).view(np.int8).sum(axis=0), columns]
    return median.astype(np.int32).reshape(legs, relays), others.reshape(scores.shape)


def _agreement(own: Small, common: Small, submitted: Bools, tolerance: int) -> Ints:
    """Return n · Σ closeness of the same legs - Σ closeness of all pairs of legs, (K, r).

    `own` and `common` (L, K, r), `submitted` (L, r). Closeness is the tolerance less the distance, where that is less.
    A leg is paired with the one that comes so many legs later, round and round: what is to be subtracted lies in rows.
    """
    legs, apart = len(own), np.zeros_like(own)
    later = sliding_window_view(np.concatenate([common, common[:-1]]), legs, axis=0).transpose(0, 3, 1, 2)
    group = max(1, 2 * BLOCK_CELLS // max(1, own.size))  # of 32 bits
    for start in range(0, legs, group):
        distances = own - later[start : start + group]
        np.abs(distances, out=distances)
        np.clip(distances, 0, tolerance, out=distances)  # a sixth of the time that `minimum` takes with a number
        apart += distances.sum(axis=0, dtype=np.int32)
        if start == 0:
            same = distances[0].sum(axis=0, dtype=np.int64)
    right, pairs = legs * tolerance - same, legs * legs * tolerance - apart.sum(axis=0, dtype=np.int64)
    agreement: Ints = submitted.sum(axis=0) * right - pairs
    return agreement


assert MISSING + MAX_SCORE_PPM < -MAX_SCORE_PPM, "what is missing is further off than any tolerance"
assert np.iinfo(np.int32).max > APART + APART, "a distance fits 32 bits"
assert MAX_COMMITTEE < 1 << SEAT_BITS, "a seat's number fits beside its score"
