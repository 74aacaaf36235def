"""Rounds on the reference ledger, whose legs learn as they are told to and whose judges err as they are told to."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from derelayl_protocol.ledger import commands as do
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.presets import STANDARD
from derelayl_protocol.ledger.rules import Rules, model_id
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.ledger.settlement import leg_order, seat_order
from derelayl_protocol.ledger.signed import no_signatures
from derelayl_protocol.ledger.state import LedgerState, RoundView
from derelayl_protocol.types import TOKEN, UNAVAILABLE, WHOLE_MODEL, Address, Ppm, Root, Timestamp, Wei

RULES: Rules = replace(STANDARD, committee_size=5, quorum=3)
RATE, CEILING, LUCK, ERROR = 0.3, 2.0, 0.05, 0.02  # nats; no averages, so that a score is a gain
OWNER, *PEOPLE = (Address(f"0x{number:040x}") for number in range(1, 15))
TRAINERS, JUDGES = PEOPLE[:6], PEOPLE[6:12]
SALT = bytes(32)


class Ledger:
    """One model on the reference ledger and all that it recorded."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.now = 1_800_000_000
        self.state = LedgerState(wallets={each: Wei(1_000 * TOKEN) for each in (OWNER, *PEOPLE)})
        self.log: list[Event] = []
        self.genesis = Root(b"\x01" * 32)
        self.model = model_id(OWNER, self.genesis, RULES)
        self.level = {self.genesis: 0.0}
        for each in (OWNER, *PEOPLE):
            self.send(each, do.Deposit(Wei(900 * TOKEN)))
        self.send(OWNER, do.CreateModel(RULES, self.genesis, Wei(500 * TOKEN)))
        for judge in JUDGES:
            self.send(judge, do.Stake(self.model, Wei(RULES.validator_stake)))

    @property
    def round(self) -> RoundView:
        return self.state.models[self.model].current

    def send(self, sender: Address, command: do.Command) -> None:
        self.state, events = apply(self.state, command, sender, Timestamp(self.now), no_signatures)
        self.log += events

    def begin(self, bids: int = len(TRAINERS)) -> None:
        """Place bids, match, and hand over all legs but the last."""
        number = self.round.number
        for place, trainer in enumerate(TRAINERS[:bids]):
            bid = Wei(int(RULES.min_bid) + (place + 1) * TOKEN // 10)
            self.send(trainer, do.PlaceBid(self.model, number, WHOLE_MODEL, bid))
        self.now = int(self.round.deadline)
        now = self.round
        self.send(
            OWNER, do.MatchRound(self.model, number, bid_order(now.seed, now.bids), tip_order(now.seed, now.tips))
        )
        for leg, entry in enumerate(self.round.legs[:-1]):
            child = Root(hashlib.sha256(f"{number}/{leg}".encode()).digest())
            self.level[child] = self.level[entry.parent] + RATE * (CEILING - self.level[entry.parent])
            self.level[child] += LUCK * float(self.rng.standard_normal())
            self.send(entry.trainer, do.SubmitLeg(self.model, number, leg, child))

    def finish(self, silent: int = 1) -> None:
        """Judge; so many seats do not reveal, in a round in which enough do."""
        self._advance()
        now = self.round
        said = {seat.validator: self._scores(now) for seat in now.seats}
        originals = tuple(range(len(now.legs)))
        for judge, scores in said.items():
            sealed = commitment(self.model, now.number, judge, SALT, scores, originals)
            self.send(judge, do.CommitScores(self.model, now.number, sealed))
        for judge, scores in list(said.items())[silent:]:
            self.send(judge, do.RevealScores(self.model, now.number, scores, originals, SALT))
        if self.round.phase is Phase.REVEAL:
            self._advance()
        now = self.round
        if now.phase is Phase.SETTLE:
            order = leg_order(now.legs, now.seats)
            self.send(OWNER, do.SettleRound(self.model, now.number, order, seat_order(order, now.seats)))

    def play(self, rounds: int) -> None:
        for _ in range(rounds):
            self.begin()
            self.finish()

    def _advance(self) -> None:
        self.now = int(self.round.deadline)
        self.send(OWNER, do.Advance(self.model, self.round.number))

    def _scores(self, now: RoundView) -> tuple[Ppm, ...]:
        errors = ERROR * self.rng.standard_normal(len(now.legs))
        gains = [self.level[leg.child] - self.level[leg.parent] if leg.submitted else None for leg in now.legs]
        return tuple(
            UNAVAILABLE if gain is None else Ppm(round((gain + error - ERROR / 2) * 1e6))
            for gain, error in zip(gains, errors, strict=True)
        )
