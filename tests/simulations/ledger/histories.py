"""Random histories of whole rounds on the vectorised ledger, compared with a replay after every round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tests.contracts.relay import RULES

from derelayl_protocol import limits
from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.types import UNAVAILABLE, Ppm, Wei
from derelayl_simulations.ledger import (
    NOBODY,
    Bids,
    Book,
    Ending,
    Leases,
    buy_access,
    collect,
    collect_pending,
    match,
    report_trainers,
    report_validators,
    settle,
)

from .replay import Replay


def random_rules(rng: np.random.Generator) -> Rules:
    """Rules that differ in all that money depends on.

    Each phase is longer than the one before, so that no relay is late where another lets a deadline pass.
    """

    def pick(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    trainer, royalty = pick((6000, 2500), (10_000, 0), (3333, 3333))
    return replace(
        RULES,
        train_seconds=10,
        commit_seconds=100,
        reveal_seconds=1000,
        legs_per_tip=pick(1, 2, 4, limits.MAX_BIDS),
        selection_bps=pick(1, 5000, 6700, 10_000),
        committee_size=pick(2, 3, 5),
        quorum=pick(1, 2),
        margin_ppm=Ppm(pick(1, 1000)),
        agreement_ppm=Ppm(pick(1, 500, 2000, limits.MAX_SCORE_PPM)),
        duplicate_bps=pick(0, 9_500, limits.BPS),
        gamma_bps=pick(0, 5000, 10_000),
        trainer_bps=trainer,
        royalty_bps=royalty,
        validator_bps=limits.BPS - trainer - royalty,
        slash_bps=pick(0, 3333, 10_000),
        offer_deposit=Wei(pick(0, 7)),
        min_bid=Wei(pick(10, 400)),
        emission=Wei(pick(0, 1009, 10**5)),
        halving_rounds=pick(1, 2),
        unbonding_seconds=pick(0, 30, 2000),
        reporter_bps=pick(0, 2000, limits.MAX_REPORTER_BPS),
        access_fee=Wei(pick(0, 101)),
        access_pot_bps=pick(0, 3333, 10_000),
    )


class History:
    """One random history; `play_round` plays a round on both forms and compares them."""

    def __init__(self, replay: Replay, rng: np.random.Generator) -> None:
        self.replay, self.rng, self.seen = replay, rng, replay.seen
        self.book = Book.open(replay.rules, replay.relays, replay.accounts, budget=replay.budget, free=replay.free)
        self.number = [1] * replay.relays  # of the running round
        self.supply = self.book.total()

    def play_round(self) -> None:
        self._asides()
        bids, wanted = self._bids(), self.rng.random(self.book.tips.shape) < 0.6
        luck = self.replay.luck(bids)
        leases = match(self.book, bids, wanted, luck)
        self.replay.match(bids, wanted, leases)
        self._reports(leases)
        if self.rng.random() < 0.5:
            self._asides()
        self._settle(leases)
        self._after()
        self._compare()

    def _settle(self, leases: Leases) -> None:
        legs, seats, rng = leases.trainer.shape, leases.seats.shape, self.rng
        numbers, silent = list(self.number), rng.choice([0.0, 0.1, 0.5, 1.0], 3, p=[0.4, 0.4, 0.15, 0.05])
        submitted = rng.random(legs) >= silent[0]
        committed, revealed = rng.random(seats) >= silent[1], rng.random(seats) >= silent[2]
        child = np.where(rng.random(legs) < 0.15, 0, np.arange(legs[1]))
        scores, originals = self._scores(leases), self._originals(leases, submitted)
        recorded = self.replay.play(leases, submitted, child, committed, revealed, scores, originals)
        outcome = settle(self.book, leases, submitted, committed, revealed, scores, child, originals)
        self.replay.learn_children(leases, outcome, child, numbers)
        for relay, ending in enumerate(outcome.ending):
            self.seen[Ending(ending)] += 1
            if ending not in (Ending.IDLE, Ending.COMMITTEE_TOO_SMALL):
                self.replay.compare_outcome(relay, leases, outcome, recorded[relay])
            self.number[relay] = self.replay.model(relay).current.number
        self._count(leases, outcome, child)

    def _count(self, leases: Leases, outcome: Any, child: Any) -> None:
        """Count what no event of the ledger tells."""
        width = child.shape[1]
        twins = [len(set(child[r][outcome.score[r] > 0])) < (outcome.score[r] > 0).sum() for r in range(len(child))]
        self.seen["twin children"] += sum(twins) if width else 0
        self.seen["disqualified leg judged"] += int(
            ((leases.bid == 0) & leases.is_leg & (outcome.score > UNAVAILABLE)).sum()
        )
        least = outcome.score.min(axis=1, keepdims=True, where=outcome.selected, initial=limits.MAX_SCORE_PPM)
        above = (leases.bid > 0) & ~outcome.selected & (outcome.score > least)
        alone = (child[:, None] == child[:, :, None]).sum(axis=2) == 1
        self.seen["copy passed over"] += int((above & alone).sum())
        self.seen["stalled tip"] += int(self.book.stalled.sum())
        self.seen["unavailable median"] += int(((outcome.score == UNAVAILABLE) & (outcome.forfeited > 0)).sum())

    # --- choices ------------------------------------------------------------------------------------------------------

    def _bids(self) -> Bids:
        """Mostly of accounts without a stake, so that a committee can be seated; some too small or not covered."""
        book, rng = self.book, self.rng
        order = rng.permuted(np.tile(np.arange(book.accounts), (book.relays, 1)), axis=1)
        lines, least = np.arange(book.relays)[:, None], book.rules.min_bid
        keen = np.where(book.stake[lines, order] > 0, 0.15, 0.8) * (rng.random((book.relays, 1)) < 0.9)
        amount = least + rng.choice([0, 0, 1, 50], order.shape) * rng.integers(0, 3, order.shape)
        amount = np.where(rng.random(order.shape) < 0.03, least - 1, amount)
        amount = np.where(rng.random(order.shape) < 0.03, book.free[lines, order] + rng.integers(0, 2), amount)
        bids = rng.random(order.shape) < keen
        return Bids(np.where(bids, order, NOBODY), np.where(bids, amount, 0))

    def _scores(self, leases: Leases) -> Any:
        """Judges mostly agree that a lower leg number is better; some cannot fetch, some are extreme or mix legs up."""
        rng, shape = self.rng, (*leases.seats.shape, leases.trainer.shape[1])
        near = 3000 - 700 * np.arange(shape[2]) + rng.choice([0, 0, 1, -400, 900], shape)
        kind, most = rng.random(shape), limits.MAX_SCORE_PPM
        cases = [kind < 0.08, kind < 0.12, kind < 0.16]
        scores = np.select(cases, [UNAVAILABLE, np.int64(most), np.int64(-most)], near)
        return np.where(rng.random(shape[:2])[:, :, None] < 0.25, scores[:, :, ::-1], scores)

    def _originals(self, leases: Leases, submitted: Any) -> Any:
        """Some legs are copies of earlier ones, which most judges see; the others see no copies or any."""
        rng, legs, seats = self.rng, leases.trainer.shape[1], leases.seats.shape
        numbers, relays = np.arange(legs), np.arange(self.book.relays)[:, None, None]
        copied = rng.random((len(relays), 1, legs)) < 0.4
        truth = np.where(copied, (rng.random(copied.shape) * (numbers + 1)).astype(np.int64), numbers)
        guess = (rng.random((*seats, legs)) * (numbers + 1)).astype(np.int64)
        kind = rng.random((*seats, 1))
        named = np.where(kind < 0.8, truth, np.where(kind < 0.9, guess, numbers))
        return np.where(submitted[:, None] & submitted[relays, named], named, numbers)

    def _sparse(self, share: float, high: int) -> Any:
        shape = self.book.free.shape
        return np.where(self.rng.random(shape) < share, self.rng.integers(1, high, shape), 0)

    def _asides(self) -> None:
        """Money in and out, stakes in and out."""
        book, replay, rng, models = self.book, self.replay, self.rng, self.replay.models
        shape, least = book.free.shape, book.rules.validator_stake
        poor = np.where(book.free < 2 * least, least * 3, 0) * (rng.random(shape) < 0.5)
        book.deposit(poor)
        replay.each(poor > 0, poor, lambda r, a: commands.Deposit(Wei(int(poor[r, a]))))
        out = self._sparse(0.05, 5000)
        done = book.withdraw(out)
        replay.each(done, out, lambda r, a: commands.Withdraw(Wei(int(out[r, a]))))
        self.supply = self.supply + poor.sum(axis=1) - np.where(done, out, 0).sum(axis=1)
        given = self._sparse(0.03, 5000)
        done = book.fund(given)
        replay.each(done, given, lambda r, a: commands.Fund(models[r], Wei(int(given[r, a]))))
        self._stakes()

    def _stakes(self) -> None:
        book, replay, rng, models = self.book, self.replay, self.rng, self.replay.models
        shape, least = book.free.shape, book.rules.validator_stake
        missing = np.maximum(least - book.stake, 0)
        eager = 0.5 if (book.stake >= least).sum() < 4 * book.relays else 0.08
        more = np.where(rng.random(shape) < eager, missing + rng.integers(-1, 300, shape), 0)
        more = np.maximum(more, 0)
        done = book.add_stake(more)
        replay.each(done, more, lambda r, a: commands.Stake(models[r], Wei(int(more[r, a]))))
        leaving = rng.random(shape) < 0.04
        done = book.unstake(leaving, int(replay.now))
        replay.each(done, leaving, lambda r, a: commands.Unstake(models[r]))
        taking = rng.random(shape) < 0.3 * (book.unbonding > 0) + 0.02
        done = book.release(taking, int(replay.now))
        replay.each(done, taking, lambda r, a: commands.Release(models[r]))

    def _reports(self, leases: Leases) -> None:
        book, replay, rng = self.book, self.replay, self.rng
        who = rng.integers(0, book.accounts, leases.trainer.shape)
        reporter = np.where(leases.is_leg & (rng.random(who.shape) < 0.06), who, NOBODY)
        replay.report_trainers(leases, reporter, report_trainers(book, leases, reporter))
        who = rng.integers(0, book.accounts, book.free.shape)
        accused = (book.stake + book.unbonding > 0) & (rng.random(who.shape) < 0.02) | (rng.random(who.shape) < 0.005)
        reporter = np.where(accused, who, NOBODY)
        replay.report_validators(reporter, report_validators(book, reporter))

    def _after(self) -> None:
        """Access and royalties."""
        book, replay, rng, models = self.book, self.replay, self.rng, self.replay.models
        column = np.where(
            rng.random(book.free.shape) < 0.1, rng.integers(0, book.tips.shape[1], book.free.shape), NOBODY
        )
        column = np.where(column < (book.tips != NOBODY).sum(axis=1)[:, None], column, NOBODY)
        tips, done = book.tips.copy(), buy_access(book, column)
        replay.each(
            done,
            column != NOBODY,
            lambda r, a: commands.BuyAccess(models[r], replay.roots[r][int(tips[r, column[r, a]])]),
        )
        chosen = np.array([rng.choice(list(roots)) for roots in replay.roots])
        chosen = np.where(rng.random(book.relays) < 0.5, chosen, NOBODY)
        steps = int(rng.choice([1, 2, limits.MAX_COLLECT_STEPS]))
        collect(book, chosen, steps)
        for relay in map(int, np.flatnonzero(chosen != NOBODY)):
            root = replay.roots[relay][int(chosen[relay])]
            replay.send(relay, replay.owners[relay][0], commands.CollectRoyalty(models[relay], root, steps))
        if rng.random() < 0.4:
            waiting = [
                (relay, root)
                for relay, roots in enumerate(replay.roots)
                for number, root in sorted(roots.items())
                if book.checkpoints.pending[number]
            ]
            collect_pending(book)
            for relay, root in waiting:
                replay.send(relay, replay.owners[relay][0], commands.CollectRoyalty(models[relay], root, 1))
        if rng.random() < 0.2:
            replay.renumber(book.forget())

    def _compare(self) -> None:
        assert self.book.total().tolist() == self.supply.tolist(), "no wei is made or lost"
        assert min(self.book.free.min(), self.book.stake.min(), self.book.carry.min(), self.book.budget.min()) >= 0
        self.replay.compare(self.book)
