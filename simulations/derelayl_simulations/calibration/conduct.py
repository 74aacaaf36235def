"""What people do, as a ledger shows it: bids, legs and reveals that fail, copies, who comes and who goes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ..world.people import Floats, Ints
from .fitted import ratio
from .history import Round

WINDOW = 10
"""Rounds: who is first seen later has come."""

MEMORY = 6
"""Rounds over which the usual reward is averaged, as by a scenario's people (a quarter of `world.window`)."""


@dataclass(frozen=True, slots=True)
class ConductFit:
    """What people do; every array has one entry a resampled history, the history itself first; NaN: not to be seen."""

    late: Floats  # share of the leases that nothing was submitted for
    lost: Floats  # share of the seats that revealed nothing
    copies: Floats  # share of the submitted legs that most seats took for copies
    bid_share: Floats  # median bid, as a share of what a selected leg earned lately
    bids: Floats  # bids a round
    arrivals: Floats  # trainers and validators a round that were never seen before
    departures: Floats  # a round that took their tokens or stake out and were never seen again
    trainers: int  # accounts that ever bid
    validators: int  # accounts that ever sat
    founders: tuple[float, float]  # share of trainers and of validators that was there in the first rounds


def fit_conduct(rounds: Sequence[Round], weights: Ints, min_bid: float) -> ConductFit:
    """Count what people did; `weights` are `resampled(len(rounds))`, `min_bid` is in coins."""
    every = np.ones(len(rounds))
    leases = np.array([len(each.trainers) for each in rounds])
    submitted = np.array([int(each.submitted.sum()) for each in rounds])
    seats = np.array([len(each.seats) for each in rounds])
    revealed = np.array([int(each.revealed.sum()) for each in rounds])
    trainers, validators = _seen([each.bidders for each in rounds]), _seen([each.seats for each in rounds])
    settled = np.array([each.settled for each in rounds])  # a round that was void asked nobody to reveal
    return ConductFit(
        late=ratio(leases - submitted, leases, weights),
        lost=ratio((seats - revealed) * settled, seats * settled, weights),
        copies=ratio([(each.copies & each.submitted).sum() for each in rounds], submitted, weights),
        bid_share=_bid_share(rounds, weights, min_bid),
        bids=ratio([len(each.bidders) for each in rounds], every, weights),
        arrivals=ratio(_arrivals(trainers, rounds) + _arrivals(validators, rounds), every, weights),
        departures=ratio(_departures({**trainers, **validators}, rounds), every, weights),
        trainers=len(trainers),
        validators=len(validators),
        founders=(_founders(trainers), _founders(validators)),
    )


# --- Inside -----------------------------------------------------------------------------------------------------------


def _seen(parties: Sequence[Sequence[Hashable]]) -> dict[Hashable, tuple[int, int]]:
    """Return the places of the first and the last round in which each account was seen."""
    found: dict[Hashable, tuple[int, int]] = {}
    for place, accounts in enumerate(parties):
        for account in accounts:
            found[account] = (found.get(account, (place, place))[0], place)
    return found


def _arrivals(seen: dict[Hashable, tuple[int, int]], rounds: Sequence[Round]) -> Ints:
    """Return how many were first seen in each round; nobody can tell in the first WINDOW."""
    came = np.zeros(len(rounds), np.int64)
    for first, _ in seen.values():
        came[first] += first >= WINDOW
    return came


def _departures(seen: dict[Hashable, tuple[int, int]], rounds: Sequence[Round]) -> Ints:
    """Return how many took something out in each round and were not seen afterwards."""
    went = {account: place for place, each in enumerate(rounds) for account in each.withdrew if account in seen}
    gone = [place for account, place in went.items() if seen[account][1] <= place]
    return np.bincount(np.array(gone, np.int64), minlength=len(rounds))


def _founders(seen: dict[Hashable, tuple[int, int]]) -> float:
    return sum(first < WINDOW for first, _ in seen.values()) / len(seen) if seen else 1.0


def _bid_share(rounds: Sequence[Round], weights: Ints, min_bid: float) -> Floats:
    """Return the median bid as a share of the usual reward; NaN where most bids are the least that the rules allow."""
    usual, known = 0.0, 0
    shares: list[Floats] = []
    for each in rounds:
        shares.append(each.bids / usual if usual > 0 else np.zeros(0))
        if each.selected.any():
            known += 1
            usual += (float(each.reward[each.selected].mean()) - usual) / min(known, MEMORY)
    place = np.repeat(np.arange(len(rounds)), [len(each) for each in shares])
    share = np.concatenate(shares) if shares else np.zeros(0)
    bids = np.concatenate([each.bids for each in rounds]) if rounds else np.zeros(0)
    if not len(share) or np.median(bids) <= min_bid:
        return np.full(len(weights), np.nan)
    order = np.argsort(share)
    reached = np.cumsum(weights[:, place[order]], axis=1)
    middle = (reached < reached[:, -1:] / 2).sum(axis=1)
    return np.asarray(share[order][np.minimum(middle, len(share) - 1)])
