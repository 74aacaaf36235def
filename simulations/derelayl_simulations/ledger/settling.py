"""How a round ends in every relay: settled, void or idle; docs/PROTOCOL.md section 4, Settlement and Void."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.ledger.scoring import PPM
from derelayl_protocol.limits import BPS
from derelayl_protocol.types import UNAVAILABLE

from .arithmetic import Bools, Ints, portion, share
from .book import Book
from .checkpoints import NOBODY
from .matching import Leases
from .mechanism.port import CONTRACT, Ballots, Copies, Evidence, Floats, Gains, Judged, Mechanism

MOST_SHIFT = 63
"""A 64-bit amount halved this often is nothing."""


class Ending(IntEnum):
    """How a round ended."""

    IDLE = 0  # no bid: the round has not begun
    SETTLED = 1
    COMMITTEE_TOO_SMALL = 2
    NOTHING_SUBMITTED = 3
    TOO_FEW_COMMITS = 4
    TOO_FEW_REVEALS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a round; wei and ppm, 0 where nothing moved."""

    ending: NDArray[np.int8]  # (R,) an Ending
    score: Ints  # (R, L) ppm, UNAVAILABLE if not judged
    selected: Bools  # (R, L)
    child: Ints  # (R, L) number of the new checkpoint, NOBODY if not selected
    reward: Ints  # (R, L) to the trainer
    royalty: Ints  # (R, L) to the parent's pending
    bid_returned: Ints  # (R, L) to the trainer
    deposit_returned: Ints  # (R, L) to the owner of the parent
    forfeited: Ints  # (R, L) bid and deposit, to the pot or the carry
    agreement: Ints  # (R, K) ppm of the most possible, below 0 if charged
    paid: Ints  # (R, K) to the validator
    charged: Ints  # (R, K) from its stake to the carry
    slashed: Ints  # (R, K) from its stake to the pot or the carry
    asked: Floats | None  # (R, K) share of the submitted legs that a seat had to judge; None: all
    pot: Ints  # (R,) carry before, forfeits, slashes, emission
    emission: Ints  # (R,) from the budget
    carry: Ints  # (R,) what the relay keeps


def settle(
    book: Book,
    leases: Leases,
    submitted: Bools,
    committed: Bools,
    revealed: Bools,
    scores: Ints,
    child: Ints | None = None,
    originals: Ints | None = None,
    *,
    mechanism: Mechanism = CONTRACT,
    evidence: Evidence | None = None,
) -> Outcome:
    """End the round of every relay, move the money and make the selected children the new tips.

    `submitted` (R, L); `committed` and `revealed` (R, K), a seat reveals only what it has committed; `scores` (R, K, L)
    ppm or UNAVAILABLE, where a seat has not revealed or a leg was not submitted they are not looked at. `child` (R, L)
    says which legs of a relay name the same root, by equal values; without it every child is another. `originals`
    (R, K, L) is each seat's original of each leg; without it, or where the rules let copies be, every leg is its own.
    Other rules than the contract's come as `mechanism`, with the `evidence` that they may ask for.
    """
    submitted = submitted & leases.is_leg
    committed = committed & leases.is_seat
    revealed = revealed & committed
    ending = _ending(book, leases, submitted, committed, revealed)
    settled = ending == Ending.SETTLED
    judged = submitted & settled[:, None]
    verdict = mechanism.score.judge(
        Ballots(
            scores=scores,
            weight=leases.weight,
            revealed=revealed & settled[:, None],
            submitted=judged,
            tolerance=book.rules.agreement_ppm,
            seats=leases.seats,
            trainers=leases.trainer,
            accounts=book.accounts,
            evidence=evidence,
            memory=book.memory,
        )
    )
    score, of_class = verdict.score, None
    if originals is not None and book.rules.duplicate_bps:
        of_class = mechanism.duplicates.classes(Copies(originals, leases.weight, revealed, judged, evidence))
    counted = judged & mechanism.delivery.counts(leases.tip, leases.is_leg, submitted)
    relays, ranks, legs = _select(book, leases, judged, counted, score, child, of_class)
    selected = np.zeros_like(submitted)
    selected[relays, legs] = True

    returned = _returned(leases, submitted, selected, settled)
    bid_returned, deposit_returned = returned
    forfeited = leases.bid + leases.deposit - bid_returned - deposit_returned
    stakes = _of_seats(book.stake, leases)
    slashed = np.where(_failed(leases, ending, committed, revealed), share(stakes, book.rules.slash_bps), 0)
    emission = np.where(selected.any(axis=1), _emission(book), 0)
    pot = book.carry + forfeited.sum(axis=1) + slashed.sum(axis=1) + emission

    weights = mechanism.payment.weights(Gains(score, judged, selected))
    reward, royalty = _rewards(book, pot, weights, relays, legs)
    paid, charged, agreed = _agreed(book, leases, pot, stakes - slashed, verdict, judged.sum(axis=1))
    carry = pot - (reward + royalty).sum(axis=1) + (charged - paid).sum(axis=1)
    numbers = np.full(leases.trainer.shape, NOBODY, np.int64)
    numbers[relays, legs] = book.checkpoints.add(
        relays, leases.trainer[relays, legs], leases.parent[relays, legs], score[relays, legs]
    )
    outcome = Outcome(
        ending=ending,
        score=score,
        selected=selected,
        child=numbers,
        reward=reward,
        royalty=royalty,
        bid_returned=bid_returned,
        deposit_returned=deposit_returned,
        forfeited=forfeited,
        agreement=agreed,
        paid=paid,
        charged=charged,
        slashed=slashed,
        asked=verdict.asked,
        pot=pot,
        emission=emission,
        carry=carry,
    )
    _move(book, leases, outcome)
    _mark_stalled(book, leases, submitted, selected)
    _renew_tips(book, relays, ranks, numbers[relays, legs])
    return outcome


# --- Inside -----------------------------------------------------------------------------------------------------------


def _ending(book: Book, leases: Leases, submitted: Bools, committed: Bools, revealed: Bools) -> NDArray[np.int8]:
    quorum, ending = book.rules.quorum, np.full(book.relays, Ending.SETTLED, np.int8)
    ending[revealed.sum(axis=1) < quorum] = Ending.TOO_FEW_REVEALS  # what comes first in a round overrules
    ending[committed.sum(axis=1) < quorum] = Ending.TOO_FEW_COMMITS
    ending[~submitted.any(axis=1)] = Ending.NOTHING_SUBMITTED
    ending[leases.void] = Ending.COMMITTEE_TOO_SMALL
    ending[leases.idle] = Ending.IDLE
    return ending


def _select(
    book: Book, leases: Leases, judged: Bools, counted: Bools, score: Ints, child: Ints | None, of_class: Ints | None
) -> tuple[Ints, Ints, Ints]:
    """Return the selected legs in settlement order, relay after relay: their relays, ranks and leg numbers, flat."""
    rules, trainings = book.rules, judged.sum(axis=1)
    eligible = counted & (score >= rules.margin_ppm) & (leases.bid > 0)
    if of_class is not None:
        copies = of_class != np.arange(judged.shape[1])
        trainings -= (copies & judged).sum(axis=1)
    if child is not None or of_class is not None:
        lines = np.arange(len(score)) if child is not None else np.flatnonzero(copies.any(axis=1))
        names = [each[lines] for each in (child, of_class) if each is not None]
        eligible[lines] &= ~_passed_over(names, eligible[lines], score[lines])
    most = np.maximum(1, trainings * rules.selection_bps // BPS)
    count = np.minimum(eligible.sum(axis=1), most)
    order = np.argsort(np.where(eligible, -score, 1), axis=1, kind="stable")
    relays, ranks = np.nonzero(np.arange(score.shape[1]) < count[:, None])
    return relays, ranks, order[relays, ranks]


def _passed_over(names: Sequence[Ints], eligible: Bools, score: Ints) -> Bools:
    """Which legs, (R, L), share one of their `names` (R, L) with a better eligible leg that is not passed over itself.

    Better is a greater score, or the first of equals.
    """
    legs = np.arange(score.shape[1])
    # [relay, leg, other leg]
    better = (score[:, None] > score[:, :, None]) | (
        (score[:, None] == score[:, :, None]) & (legs[None, :] < legs[:, None])
    )
    alike = np.any([each[:, None] == each[:, :, None] for each in names], axis=0)
    rivals = better & alike & eligible[:, None]
    passed: Bools = rivals.any(axis=2)
    while True:  # legs that only a passed over leg stood in the way of come back, the best of them for good
        then: Bools = (rivals & ~passed[:, None]).any(axis=2)
        if np.array_equal(passed, then):
            return passed
        passed = then


def _returned(leases: Leases, submitted: Bools, selected: Bools, settled: Bools) -> tuple[Ints, Ints]:
    """Return the bids and the deposits that go back, (R, L) each; of a void round those of everybody who submitted."""
    here = settled[:, None]
    bids = np.where(here, selected, submitted)
    deposits = np.where(here, selected | ~submitted | (leases.bid == 0), True)
    return bids * leases.bid, deposits * leases.deposit


def _of_seats(values: Ints, leases: Leases) -> Ints:
    """Pick the seats' accounts from an (R, A) array: (R, K), 0 where there is no seat."""
    lines = np.arange(len(values))[:, None]
    return np.where(leases.is_seat, values[lines, np.maximum(leases.seats, 0)], 0)


def _failed(leases: Leases, ending: NDArray[np.int8], committed: Bools, revealed: Bools) -> Bools:
    """Which seats, (R, K), did not do what they were asked for."""
    revealing = (ending == Ending.SETTLED) | (ending == Ending.TOO_FEW_REVEALS)
    done = np.where(revealing[:, None], revealed, committed | (ending != Ending.TOO_FEW_COMMITS)[:, None])
    found: Bools = leases.is_seat & ~done
    return found


def _emission(book: Book) -> Ints:
    halvings = np.minimum(book.settled_rounds // book.rules.halving_rounds, MOST_SHIFT)
    emission: Ints = np.minimum(book.budget, np.int64(book.rules.emission) >> halvings)
    return emission


def _rewards(book: Book, pot: Ints, weights: Ints, relays: Ints, legs: Ints) -> tuple[Ints, Ints]:
    """Share the trainers' and the lineage's part of the pot among the selected legs by weight; (R, L) each."""
    reward, royalty = np.zeros_like(weights), np.zeros_like(weights)
    part, whole = weights[relays, legs], weights.sum(axis=1)[relays]
    for shares, bps in ((reward, book.rules.trainer_bps), (royalty, book.rules.royalty_bps)):
        shares[relays, legs] = portion(share(pot, bps)[relays], part, whole)
    return reward, royalty


def _agreed(
    book: Book, leases: Leases, pot: Ints, stakes: Ints, verdict: Judged, submitted: Ints
) -> tuple[Ints, Ints, Ints]:
    """Return what each seat is paid and charged in wei and its agreement in ppm, (R, K) each."""
    equal = share(pot, book.rules.validator_bps) // np.maximum(leases.is_seat.sum(axis=1), 1)
    most = (submitted * (submitted - 1) * book.rules.agreement_ppm if verdict.most is None else verdict.most)[:, None]
    agreement = verdict.agreement
    size = np.abs(agreement)
    amount = portion(equal[:, None], size, most)
    paid = np.where(agreement > 0, amount, 0)
    charged = np.where(agreement < 0, np.minimum(stakes, amount), 0)
    if verdict.fine is not None:
        charged = np.minimum(stakes, charged + portion(stakes, verdict.fine, np.full((1, 1), PPM)))
    return paid, charged, np.sign(agreement) * (size * PPM // np.maximum(most, 1))


def _move(book: Book, leases: Leases, outcome: Outcome) -> None:
    relays, legs = leases.legs
    trainers, owners = leases.trainer[relays, legs], leases.owner[relays, legs]
    book.free[relays, trainers] += (outcome.bid_returned + outcome.reward)[relays, legs]
    np.add.at(book.free, (relays, owners), outcome.deposit_returned[relays, legs])
    np.add.at(book.checkpoints.pending, leases.parent[relays, legs], outcome.royalty[relays, legs])
    relays, seats = np.nonzero(leases.is_seat)
    accounts = leases.seats[relays, seats]
    book.free[relays, accounts] += outcome.paid[relays, seats]
    book.stake[relays, accounts] -= (outcome.slashed + outcome.charged)[relays, seats]
    book.seated[relays, accounts] = False
    book.locked[:] = 0
    book.budget -= outcome.emission
    book.carry[:] = outcome.carry
    book.settled_rounds += outcome.ending == Ending.SETTLED


def _mark_stalled(book: Book, leases: Leases, submitted: Bools, selected: Bools) -> None:
    """Mark anew the tips of rounds that had legs and leave them in place; where all are marked, none is."""
    stays: Bools = leases.is_leg & ~selected.any(axis=1, keepdims=True)
    if not stays.any():
        return
    relays, legs = np.nonzero(stays)
    had, came = np.zeros_like(book.tips), np.zeros_like(book.tips)
    np.add.at(had, (relays, leases.tip[relays, legs]), 1)
    np.add.at(came, (relays, leases.tip[relays, legs]), submitted[relays, legs])
    book.stalled = np.where(had > 0, 2 * came < had, book.stalled)
    book.stalled &= ~(book.stalled | (book.tips == NOBODY)).all(axis=1, keepdims=True)


def _renew_tips(book: Book, relays: Ints, ranks: Ints, numbers: Ints) -> None:
    """Put the selected children in place of the old tips, where there are any."""
    renewed = np.zeros(book.relays, np.bool_)
    renewed[relays] = True
    kept = np.where(renewed[:, None], NOBODY, book.tips)
    width = max(int(ranks.max(initial=-1)) + 1, int((kept != NOBODY).sum(axis=1).max()))
    book.tips = np.full((book.relays, width), NOBODY, np.int64)
    book.tips[:, : kept.shape[1]] = kept[:, :width]
    book.tips[relays, ranks] = numbers
    stalled = book.stalled & ~renewed[:, None]
    book.stalled = np.zeros(book.tips.shape, np.bool_)
    book.stalled[:, : stalled.shape[1]] = stalled[:, :width]
    book.access[renewed] = 0


assert int(UNAVAILABLE) == np.iinfo(np.int64).min
