"""One ledger and the record of what was sent to it: what the histories are made with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger import commands as c
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.presets import MINIMAL
from derelayl_protocol.ledger.rules import Rules, model_id
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.ledger.settlement import leg_order, seat_order
from derelayl_protocol.ledger.signed import BidMessage, CommitMessage, HandOverMessage, RevealMessage
from derelayl_protocol.ledger.state import LedgerState, RoundView
from derelayl_protocol.limits import MAX_BIDS
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Address, Ppm, Root, Timestamp, Wei

from .ledger_json import amounts, message_to_json, state_to_json
from .signatures import CHAIN_ID, LEDGER, address, recover, sign

START = 1_800_000_000
WALLET = Wei(10**6)
RULES = replace(MINIMAL, segments=3, emission=Wei(9_999), reporter_bps=4_000, access_fee=Wei(103), access_pot_bps=3_000)


def root(name: str) -> Root:
    return Root(hashlib.sha256(name.encode()).digest())


OWNER = address("owner")
TRAINERS = [address(f"trainer {number}") for number in range(MAX_BIDS + 1)]
JUDGES = [address(f"judge {number}") for number in range(5)]
STRANGER = address("stranger")
GENESIS, SALT = root("genesis"), bytes(root("salt"))


def each_its_own(scores: Sequence[int]) -> tuple[int, ...]:
    """The originals of a round without duplicates."""
    return tuple(range(len(scores)))


class History:
    """One ledger with one model, and the record of what was sent to it."""

    def __init__(self, rules: Rules = RULES, judges: int = 4) -> None:
        accounts = [OWNER, *TRAINERS, *JUDGES, STRANGER]
        self.now = START
        self.state = LedgerState(wallets=dict.fromkeys(accounts, WALLET))
        self.wallets = amounts(self.state.wallets)
        self.steps: list[dict[str, Any]] = []
        self.model = model_id(OWNER, GENESIS, rules)
        for account in accounts:
            self.send(account, c.Deposit(Wei(500_000)))
        self.send(OWNER, c.CreateModel(rules, GENESIS, Wei(100_000)))
        for number, judge in enumerate(JUDGES[:judges]):
            self.send(judge, c.Stake(self.model, Wei(rules.validator_stake + number)))

    @property
    def round(self) -> RoundView:
        return self.state.models[self.model].current

    def send(self, sender: Address, command: c.Command) -> Reason | None:
        """Apply and record; returns why it was refused."""
        step: dict[str, Any] = {"sender": sender, "now": self.now, "command": message_to_json(command)}
        self.steps.append(step)
        try:
            self.state, events = apply(self.state, command, sender, Timestamp(self.now), recover)
        except RuleViolation as refusal:
            step["refused"] = refusal.reason.value
            return refusal.reason
        step["events"] = [message_to_json(event) for event in events]
        return None

    def about(self, sender: Address, kind: Callable[..., c.Command], *arguments: Any) -> Reason | None:
        """Send a command about the running round."""
        return self.send(sender, kind(self.model, self.round.number, *arguments))

    def refused(self, reason: Reason, sender: Address, command: c.Command) -> None:
        assert self.send(sender, command) == reason, f"{command} should be refused as {reason}"

    def case(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "chain_id": CHAIN_ID,
            "ledger": LEDGER,
            "wallets": self.wallets,
            "steps": self.steps,
            "final": state_to_json(self.state),
        }

    # --- parts of a round -------------------------------------------------------------------------------------------

    def lease(self, amounts: Mapping[Address, int]) -> None:
        for trainer, amount in amounts.items():
            self.about(trainer, c.PlaceBid, WHOLE_MODEL, Wei(amount))
        self.match()

    def match(self) -> None:
        self.now = self.round.deadline
        seed = self.round.seed
        self.about(STRANGER, c.MatchRound, bid_order(seed, self.round.bids), tip_order(seed, self.round.tips))

    def train(self, *children: str | None) -> None:
        for leg, (lease, child) in enumerate(zip(self.round.legs, children, strict=True)):
            if child is not None:
                self.about(lease.trainer, c.SubmitLeg, leg, root(child))
        if None in children:
            self.advance()

    def judge(self, *scores: tuple[int, ...] | None, originals: Sequence[tuple[int, ...]] = ()) -> None:
        """Let each seat commit and reveal, with these originals where they are given; None stays silent."""
        seats = [seat.validator for seat in self.round.seats]
        named: Sequence[tuple[int, ...] | None] = originals or [None] * len(seats)
        for judge, own, originals_of in zip(seats, scores, named, strict=True):
            self.commit(judge, own or (), originals_of)
        for judge, own, originals_of in zip(seats, scores, named, strict=True):
            if own is not None:
                self.reveal(judge, own, originals_of)
        if None in scores:
            self.advance()

    def seal(self, judge: Address, scores: tuple[int, ...], originals: tuple[int, ...] | None = None) -> bytes:
        named = each_its_own(scores) if originals is None else originals
        return commitment(self.model, self.round.number, judge, SALT, tuple(map(Ppm, scores)), named)

    def commit(self, judge: Address, scores: tuple[int, ...], originals: tuple[int, ...] | None = None) -> None:
        self.about(judge, c.CommitScores, self.seal(judge, scores, originals))

    def reveal(self, judge: Address, scores: tuple[int, ...], originals: tuple[int, ...] | None = None) -> None:
        named = each_its_own(scores) if originals is None else originals
        self.about(judge, c.RevealScores, tuple(map(Ppm, scores)), named, SALT)

    def settle(self) -> None:
        order = leg_order(self.round.legs, self.round.seats)
        self.about(STRANGER, c.SettleRound, order, seat_order(order, self.round.seats))

    def advance(self) -> None:
        self.now = self.round.deadline
        self.about(STRANGER, c.Advance)

    # --- signed -----------------------------------------------------------------------------------------------------

    def signed_bid(self, trainer: Address, amount: int, segment: int = WHOLE_MODEL, seconds: int = 60) -> c.SignedBid:
        entry = (segment, Wei(amount), Timestamp(self.now + seconds))
        return c.SignedBid(trainer, *entry, sign(trainer, BidMessage(self.model, self.round.number, *entry)))

    def signed_child(self, leg: int, name: str) -> c.SignedChild:
        lease, number = self.round.legs[leg], self.round.number
        message = HandOverMessage(self.model, number, lease.parent, root(name))
        return c.SignedChild(leg, message.child, sign(lease.trainer, message))

    def signed_commit(self, judge: Address, scores: tuple[int, ...]) -> c.SignedCommit:
        sealed = self.seal(judge, scores)
        return c.SignedCommit(judge, sealed, sign(judge, CommitMessage(self.model, self.round.number, sealed)))

    def signed_reveal(self, judge: Address, scores: tuple[int, ...]) -> c.SignedReveal:
        own, named = tuple(map(Ppm, scores)), each_its_own(scores)
        message = RevealMessage(self.model, self.round.number, own, named, SALT)
        return c.SignedReveal(judge, own, named, SALT, sign(judge, message))

    def two_manifests(self, leg: int, first: str, second: str) -> c.ReportManifests:
        """The proof that a leg's trainer has signed these two children."""
        lease, number = self.round.legs[leg], self.round.number
        one, other = (HandOverMessage(self.model, number, lease.parent, root(child)) for child in (first, second))
        signatures = (sign(lease.trainer, one), sign(lease.trainer, other))
        return c.ReportManifests(self.model, number, leg, (one.child, other.child), signatures)

    def two_reveals(self, judge: Address, number: int) -> c.ReportReveals:
        """The proof that a validator has signed two reveals for that round."""
        scores, named = (Ppm(-7), UNAVAILABLE), ((0, 1), (0, 0))
        one, other = (RevealMessage(self.model, number, scores, originals, SALT) for originals in named)
        signatures = (sign(judge, one), sign(judge, other))
        return c.ReportReveals(self.model, number, judge, (scores, scores), named, (SALT, SALT), signatures)
