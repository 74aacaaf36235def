"""A small relay for tests of the ledger: one model, a few accounts, and shorthands for what they do."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import pytest

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import (
    Advance,
    BidBySig,
    Command,
    CommitBySig,
    CommitScores,
    CreateModel,
    Deposit,
    MatchRound,
    OfferTip,
    PlaceBid,
    ReportManifests,
    ReportReveals,
    RevealBySig,
    RevealScores,
    SettleRound,
    SignedBid,
    SignedChild,
    SignedCommit,
    SignedReveal,
    Stake,
    SubmitBySig,
    SubmitLeg,
)
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.presets import MINIMAL
from derelayl_protocol.ledger.rules import Rules, model_id
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.ledger.settlement import leg_order, seat_order
from derelayl_protocol.ledger.signed import (
    BidMessage,
    CommitMessage,
    HandOverMessage,
    RevealMessage,
    SignedMessage,
)
from derelayl_protocol.ledger.state import LedgerState, ModelState, RoundView
from derelayl_protocol.ledger.totals import conserved
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Address, Ppm, Root, Timestamp, Wei

E = TypeVar("E", bound=Event)

START = Timestamp(1_800_000_000)
WALLET = Wei(1_000_000)
"""Wei that each account starts with; half of it is deposited."""

RULES = replace(MINIMAL, segments=3, reporter_bps=4_000, access_fee=Wei(103), access_pot_bps=3_000)


def address(number: int) -> Address:
    return Address(f"0x{number:040x}")


def root(name: str) -> Root:
    return Root(hashlib.sha256(name.encode()).digest())


def salt(name: str) -> bytes:
    return hashlib.sha256(b"salt of " + name.encode()).digest()


OWNER = address(1)
TRAINERS = tuple(address(number) for number in range(11, 17))
JUDGES = tuple(address(number) for number in range(21, 25))
STRANGER = address(99)
ACCOUNTS = (OWNER, *TRAINERS, *JUDGES, STRANGER)
SUPPLY = Wei(WALLET * len(ACCOUNTS))
GENESIS = root("genesis")
SALT = salt("any")


def sign(account: Address, message: SignedMessage) -> bytes:
    """A signature as far as a test can tell: nobody makes it by accident, and everybody can check it."""
    return hashlib.sha256(account.encode() + repr(message).encode()).digest() * 2


def recover(message: SignedMessage, signature: bytes) -> Address | None:
    """Name the one of ACCOUNTS that has made the signature with `sign`."""
    return next((account for account in ACCOUNTS if sign(account, message) == signature), None)


def each_its_own(scores: Sequence[object]) -> tuple[int, ...]:
    """The originals of a round without duplicates."""
    return tuple(range(len(scores)))


class Relay:
    """A ledger with one model, created by OWNER, and staked JUDGES; every command checks conservation."""

    def __init__(self, rules: Rules = RULES, budget: int = 100_000, judges: int = len(JUDGES)) -> None:
        self.now: int = START
        self.state = LedgerState(wallets=dict.fromkeys(ACCOUNTS, WALLET))
        for account in ACCOUNTS:
            self.do(account, Deposit(Wei(WALLET // 2)))
        self.do(OWNER, CreateModel(rules, GENESIS, Wei(budget)))
        self.model = model_id(OWNER, GENESIS, rules)
        for number, judge in enumerate(JUDGES[:judges]):
            self.do(judge, Stake(self.model, Wei(rules.validator_stake + number)))

    # --- looks ------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> ModelState:
        return self.state.models[self.model]

    @property
    def round(self) -> RoundView:
        return self.held.current

    @property
    def number(self) -> int:
        return self.round.number

    def free(self, account: Address) -> int:
        return self.state.free.get(account, Wei(0))

    def seated(self) -> tuple[Address, ...]:
        return tuple(seat.validator for seat in self.round.seats)

    # --- commands ---------------------------------------------------------------------------------------------------

    def do(self, sender: Address, command: Command) -> tuple[Event, ...]:
        self.state, events = apply(self.state, command, sender, Timestamp(self.now), recover)
        assert conserved(self.state, SUPPLY)
        return events

    def refuse(self, reason: Reason, sender: Address, command: Command) -> None:
        before = copy.deepcopy(self.state)
        with pytest.raises(RuleViolation) as refusal:
            apply(self.state, command, sender, Timestamp(self.now), recover)
        assert refusal.value.reason == reason, refusal.value
        assert self.state == before

    def pass_deadline(self) -> None:
        self.now = self.round.deadline

    def bid(self, trainer: Address, amount: int = 100, segment: int = WHOLE_MODEL) -> tuple[Event, ...]:
        return self.do(trainer, PlaceBid(self.model, self.number, segment, Wei(amount)))

    def offer(self, owner: Address, tip: Root) -> tuple[Event, ...]:
        return self.do(owner, OfferTip(self.model, self.number, tip))

    def matching(self) -> MatchRound:
        seed = self.round.seed
        return MatchRound(self.model, self.number, bid_order(seed, self.round.bids), tip_order(seed, self.round.tips))

    def match(self) -> tuple[Event, ...]:
        self.pass_deadline()
        return self.do(STRANGER, self.matching())

    def submit(self, leg: int, child: str | None = None) -> tuple[Event, ...]:
        name = f"round {self.number} leg {leg}" if child is None else child
        return self.do(self.round.legs[leg].trainer, SubmitLeg(self.model, self.number, leg, root(name)))

    def commit(
        self, judge: Address, scores: tuple[int, ...], originals: tuple[int, ...] | None = None
    ) -> tuple[Event, ...]:
        return self.do(judge, CommitScores(self.model, self.number, self.seal(judge, scores, originals)))

    def reveal(
        self, judge: Address, scores: tuple[int, ...], originals: tuple[int, ...] | None = None
    ) -> tuple[Event, ...]:
        return self.do(judge, self.opening(scores, originals))

    def opening(self, scores: tuple[int, ...], originals: tuple[int, ...] | None = None) -> RevealScores:
        """The reveal of these scores; without originals each leg is its own."""
        named = each_its_own(scores) if originals is None else originals
        return RevealScores(self.model, self.number, tuple(map(Ppm, scores)), named, SALT)

    def seal(self, judge: Address, scores: tuple[int, ...], originals: tuple[int, ...] | None = None) -> bytes:
        named = each_its_own(scores) if originals is None else originals
        return commitment(self.model, self.number, judge, SALT, tuple(map(Ppm, scores)), named)

    def signed_bid(
        self, trainer: Address, amount: int = 100, segment: int = WHOLE_MODEL, expiry: int = 2**40
    ) -> SignedBid:
        fields = (segment, Wei(amount), Timestamp(expiry))
        return SignedBid(trainer, *fields, sign(trainer, BidMessage(self.model, self.number, *fields)))

    def signed_child(self, leg: int, child: Root) -> SignedChild:
        lease = self.round.legs[leg]
        return SignedChild(
            leg, child, sign(lease.trainer, HandOverMessage(self.model, self.number, lease.parent, child))
        )

    def signed_commit(self, judge: Address, sealed: bytes) -> SignedCommit:
        return SignedCommit(judge, sealed, sign(judge, CommitMessage(self.model, self.number, sealed)))

    def signed_reveal(
        self,
        judge: Address,
        scores: tuple[int, ...],
        salt: bytes = SALT,
        originals: tuple[int, ...] | None = None,
    ) -> SignedReveal:
        own, named = tuple(map(Ppm, scores)), each_its_own(scores) if originals is None else originals
        message = RevealMessage(self.model, self.number, own, named, salt)
        return SignedReveal(judge, own, named, salt, sign(judge, message))

    def bid_by_sig(self, *bids: SignedBid) -> BidBySig:
        return BidBySig(self.model, self.number, bids)

    def submit_by_sig(self, *children: SignedChild) -> SubmitBySig:
        return SubmitBySig(self.model, self.number, children)

    def commit_by_sig(self, *commits: SignedCommit) -> CommitBySig:
        return CommitBySig(self.model, self.number, commits)

    def reveal_by_sig(self, *reveals: SignedReveal) -> RevealBySig:
        return RevealBySig(self.model, self.number, reveals)

    def two_manifests(self, leg: int, children: tuple[str, str] = ("one", "other")) -> ReportManifests:
        """The proof that a leg's trainer has signed these two children."""
        lease = self.round.legs[leg]
        first, second = (root(child) for child in children)
        signatures = tuple(
            sign(lease.trainer, HandOverMessage(self.model, self.number, lease.parent, child))
            for child in (first, second)
        )
        return ReportManifests(self.model, self.number, leg, (first, second), (signatures[0], signatures[1]))

    def two_reveals(self, judge: Address, number: int = 1) -> ReportReveals:
        """The proof that a validator has signed two reveals for that round."""
        first, second = (Ppm(1),), (Ppm(2),)
        signatures = [sign(judge, RevealMessage(self.model, number, scores, (0,), SALT)) for scores in (first, second)]
        proof = (signatures[0], signatures[1])
        return ReportReveals(self.model, number, judge, (first, second), ((0,), (0,)), (SALT, SALT), proof)

    def advance(self) -> tuple[Event, ...]:
        self.pass_deadline()
        return self.do(STRANGER, Advance(self.model, self.number))

    def settling(self) -> SettleRound:
        order = leg_order(self.round.legs, self.round.seats)
        return SettleRound(self.model, self.number, order, seat_order(order, self.round.seats))

    def settle(self) -> tuple[Event, ...]:
        return self.do(STRANGER, self.settling())

    # --- stretches of a round ---------------------------------------------------------------------------------------

    def lease(self, *amounts: int, offered: bool = True) -> tuple[Event, ...]:
        """Offer OWNER's tips, let the first trainers bid these amounts, and match."""
        for tip in self.round.tips if offered else ():
            if tip.owner == OWNER:
                self.offer(OWNER, tip.root)
        for trainer, amount in zip(TRAINERS, amounts, strict=False):
            self.bid(trainer, amount)
        return self.match()

    def train(self, *missing: int) -> None:
        """Submit all legs, except the missing ones, and reach COMMIT."""
        for leg in range(len(self.round.legs)):
            if leg not in missing:
                self.submit(leg)
        if missing:
            self.advance()

    def judge(self, *scores: tuple[int, ...] | None, originals: tuple[int, ...] | None = None) -> None:
        """Let each seat in seat order commit and reveal its scores; a seat with None commits and stays silent.

        All seats name the same originals; without them each leg is its own.
        """
        seats = self.seated()
        for seat, sealed in zip(seats, scores, strict=True):
            self.commit(seat, sealed if sealed is not None else (0,), None if sealed is None else originals)
        for seat, sealed in zip(seats, scores, strict=True):
            if sealed is not None:
                self.reveal(seat, sealed, originals)
        if None in scores:
            self.advance()

    def whole_round(self, amounts: tuple[int, ...], scores: tuple[int, ...]) -> tuple[Event, ...]:
        """Play a round in which everybody does its part and all seats agree."""
        self.lease(*amounts)
        self.train()
        self.judge(*[scores] * len(self.round.seats))
        return self.settle()


def in_phase(phase: Phase) -> Relay:
    """A relay whose first round, of two legs, has just entered `phase`."""
    relay = Relay()
    if phase == Phase.BID:
        relay.bid(TRAINERS[0])
        return relay
    relay.lease(200, 100)
    if phase >= Phase.COMMIT:
        relay.train()
    if phase >= Phase.REVEAL:
        for judge in relay.seated():
            relay.commit(judge, (3_000, 2_000))
    if phase >= Phase.SETTLE:
        for judge in relay.seated():
            relay.reveal(judge, (3_000, 2_000))
    assert relay.round.phase == phase
    return relay


def of(kind: type[E], events: tuple[Event, ...]) -> list[E]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def with_rules(**changes: int) -> Rules:
    return replace(RULES, **changes)  # type: ignore[arg-type]


NO_SCORE = UNAVAILABLE
