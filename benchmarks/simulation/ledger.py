"""The ledger's rules: participants × rounds per second, ours beside agent-based frameworks, to the same wei."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.rows import Row, row
from benchmarks.simulation.relay_luck import ACCOUNTS, BUDGET, FREE, STAKE, TRAINERS, draw_luck
from benchmarks.simulation.rival_job import digest
from benchmarks.simulation.rivals import RIVALS, Rival, RivalFailed
from derelayl_protocol.ledger.rules import Rules
from derelayl_simulations.ledger import (
    NOBODY,
    Bids,
    Book,
    LedgerSettings,
    MatchLuck,
    collect_pending,
    match,
    settle,
)

FORGET_EVERY = 16  # rounds
FULL = {10: 5, 1000: 3}  # relays → runs of each, with seeds of their own
QUICK = {10: 2}
ROUNDS = {10: 64, 1000: 16}  # by relays: all places of a round are taken, and none takes less than a moment


def measure(quick: bool) -> list[Row]:
    """Play each size on ours and on every rival in turn; every run must end with the same balances."""
    rows = []
    for relays, runs in (QUICK if quick else FULL).items():
        ours: list[float] = []
        theirs: dict[str, list[float]] = {rival.name: [] for rival in RIVALS}
        for seed in range(runs):
            seconds, balances = play(_rules(), relays, ROUNDS[relays], seed)
            ours.append(_rate(relays, seconds))
            for rival in RIVALS:
                theirs[rival.name].append(_rate(relays, _beside(rival, relays, seed, balances)))
        case = f"ledger rules, {relays * ACCOUNTS} participants, {ROUNDS[relays]} rounds"
        rows += [row(case, "participants × rounds", "1/s", ours, name, rates) for name, rates in theirs.items()]
    return rows


def play(rules: Rules, relays: int, rounds: int, seed: int) -> tuple[float, str]:
    """Play the benchmark's world; return the seconds of its rounds and the digest of its balances."""
    rng, book = np.random.default_rng(seed), _open(rules, relays)
    begin = time.perf_counter()
    for number in range(1, rounds + 1):
        _play_round(book, rng)
        if number % FORGET_EVERY == 0:
            book.forget()
    return time.perf_counter() - begin, digest(_balances(book))


# --- Inside -----------------------------------------------------------------------------------------------------------


def _rules() -> Rules:
    return LedgerSettings().rules()


def _rate(relays: int, seconds: float) -> float:
    return relays * ACCOUNTS * ROUNDS[relays] / seconds


def _beside(rival: Rival, relays: int, seed: int, balances: str) -> float:
    """Return the seconds of a rival's run. Raises RivalFailed where it ends with other balances than ours."""
    job: dict[str, Any] = {"rules": asdict(_rules()), "relays": relays, "rounds": ROUNDS[relays], "seed": seed}
    answer = rival.run(job)
    if answer["digest"] != balances:
        raise RivalFailed(f"{rival.name} and ours disagree about the balances of {relays} relays with seed {seed}")
    return float(answer["seconds"])


def _open(rules: Rules, relays: int) -> Book:
    book = Book.open(rules, relays, ACCOUNTS, budget=BUDGET, free=FREE)
    stakes = np.zeros((relays, ACCOUNTS), np.int64)
    stakes[:, TRAINERS:] = STAKE
    book.add_stake(stakes)
    return book


def _play_round(book: Book, rng: np.random.Generator) -> None:
    rules = book.rules
    luck = draw_luck(rng, book.relays, rules.committee_size, rules.min_bid)
    offers = np.ones(book.tips.shape, np.bool_)
    bids = Bids(luck.bidder, luck.amount)
    leases = match(book, bids, offers, MatchLuck(luck.bid_rank, luck.tip_rank, luck.draw))
    legs = leases.trainer.shape[1]
    everyone = np.ones(leases.seats.shape, np.bool_)
    settle(book, leases, ~luck.late[:, :legs], everyone, ~luck.silent, luck.scores[:, :, :legs])
    collect_pending(book)


def _balances(book: Book) -> Sequence[list[int]]:
    pending = np.zeros(book.relays, np.int64)
    np.add.at(pending, book.checkpoints.relay, book.checkpoints.pending)
    tips = (book.tips != NOBODY).sum(axis=1)
    kept = np.stack([book.budget, book.carry, pending, book.settled_rounds, tips], axis=1)
    everything: list[list[int]] = np.concatenate([book.free, book.stake, kept], axis=1).tolist()
    return everything
