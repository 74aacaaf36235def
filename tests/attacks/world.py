"""A small relay in which the truth is known, played on the reference: what each kind of conduct earns.

Every child has a true level, in millionths of ln(loss of genesis / loss of the child). An honest validator measures
how far it is above the bar, the best that anyone can make of the round's tips, with an error of its own that is
bounded. All luck is drawn from the history's seed and
from what it is for (gain of trainer T in round R, error of validator V about T's leg, …), so two histories with the
same seed differ in nothing but the conduct.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.presets import STANDARD
from derelayl_protocol.ledger.rules import Rules, model_id
from derelayl_protocol.ledger.settlement import leg_order, seat_order
from derelayl_protocol.ledger.signed import SignedMessage
from derelayl_protocol.ledger.state import LedgerState, LegEntry, ModelState, RoundView
from derelayl_protocol.ledger.totals import conserved
from derelayl_protocol.types import NO_ROOT, TOKEN, Address, ModelId, Ppm, Root, Timestamp, Wei

if TYPE_CHECKING:
    from .conduct import Conduct

START = Timestamp(1_800_000_000)
WALLET = Wei(2_000 * TOKEN)
"""What each account has deposited when the history begins."""

ROUNDS = 6
"""Rounds of one history: the first continues genesis, the others have several tips."""


def account(number: int) -> Address:
    return Address(f"0x{number:040x}")


CREATOR = account(1)
TRAINERS = tuple(account(100 + number) for number in range(10))
VALIDATORS = tuple(account(200 + number) for number in range(20))
IDLE = tuple(account(300 + number) for number in range(32))
"""Accounts that do nothing, unless an attack uses them as its other names."""

STRANGER = account(999)
ACCOUNTS = (CREATOR, *TRAINERS, *VALIDATORS, *IDLE, STRANGER)

RULES = replace(
    STANDARD,
    selection_bps=5_000,
    segments=1,
    margin_ppm=Ppm(5_000),
    agreement_ppm=Ppm(200_000),
    slash_bps=1_000,
    min_bid=TOKEN,
    offer_deposit=Wei(TOKEN // 2),
    validator_stake=Wei(100 * TOKEN),
    emission=Wei(20 * TOKEN),
    halving_rounds=1_000,
    unbonding_seconds=86_400,
    access_fee=Wei(5 * TOKEN),
)
"""Those that SECURITY.md measures attacks under."""

MEAN_GAIN_PPM = 100_000
GAIN_SPREAD_PPM = 60_000
"""Standard deviation of a leg's true gain around its trainer's mean."""
SKILL_SPREAD_PPM = 20_000
"""Standard deviation of a trainer's mean gain around MEAN_GAIN_PPM."""
ERROR_PPM = 20_000
"""Standard deviation of a validator's error about a trained child: a third of what tells legs apart."""
STILL_ERROR_PPM = 500
"""The same about a child that hardly differs from its parent: both are measured on the same data."""


AVERAGING_PPM = 20_000
"""How far the plain average of tips stands above the best of them."""
HALF_FOUND = 5
"""A child that shares half of its training with another is taken for its copy once in so many rounds."""


@dataclass(frozen=True, slots=True)
class Child:
    """What stands behind a root. `signer` and `parent` are what its signed manifest says.

    Children of one `training` do the same to each sample; NO_ROOT: a training of its own.
    """

    root: Root
    level: int
    signer: Address
    parent: Root
    error: int
    served: bool = True
    training: Root = NO_ROOT


@cache
def draw(deviation: int, *what: object) -> int:
    """Draw the integer that `what` names: mean 0, that standard deviation, never beyond three of them."""
    chance = Random("/".join(map(str, what)))
    return sum(chance.randint(-deviation, deviation) for _ in range(3))


def name(*parts: object) -> Root:
    return Root(hashlib.sha256("/".join(map(str, parts)).encode()).digest())


def fake_signature(signer: Address, message: SignedMessage) -> bytes:
    """Stand in for a signature: who, and a digest of what."""
    return bytes.fromhex(signer[2:]) + hashlib.sha256(repr(message).encode()).digest() + bytes(12)


def fake_recover(message: SignedMessage, signature: bytes) -> Address | None:
    signer = Address("0x" + signature[:20].hex())
    return signer if signature == fake_signature(signer, message) else None


@cache
def founded(rules: Rules) -> tuple[LedgerState, ModelId, Child]:
    """Return a ledger with one model, funded accounts and staked validators, its id, and its genesis."""
    genesis = Child(name("genesis"), 0, CREATOR, NO_ROOT, ERROR_PPM)
    model = model_id(CREATOR, genesis.root, rules)
    state = LedgerState(wallets=dict.fromkeys(ACCOUNTS, WALLET))
    steps: list[tuple[Address, commands.Command]] = [(one, commands.Deposit(WALLET)) for one in ACCOUNTS]
    steps.append((CREATOR, commands.CreateModel(rules, genesis.root, Wei(1_500 * TOKEN))))
    steps += [(one, commands.Stake(model, rules.validator_stake)) for one in VALIDATORS]
    for sender, command in steps:
        state, _ = apply(state, command, sender, START, fake_recover)
    return state, model, genesis


class World:
    """One history. `conduct` says what each account does when it is its turn."""

    def __init__(self, seed: int, conduct: Conduct, rules: Rules = RULES) -> None:
        self.seed, self.conduct, self.rules = seed, conduct, rules
        self.state, self.model, genesis = founded(rules)
        # Histories differ in their committees too: the first seed is the model's id, the same for all.
        held = self.state.models[self.model]
        first = replace(held.current, seed=name("first seed", seed))
        self.state = replace(self.state, models={self.model: replace(held, next_seed=first.seed, current=first)})
        self.now = START
        self.children: dict[Root, Child] = {genesis.root: genesis}
        self.settled: list[RoundView] = []
        self.events: list[Event] = []

    # --- looks --------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> ModelState:
        return self.state.models[self.model]

    @property
    def round(self) -> RoundView:
        return self.held.current

    def draw(self, deviation: int, *what: object) -> int:
        """Draw what happens in the running round, see `draw`."""
        return draw(deviation, self.seed, self.round.number, *what)

    def gain(self, trainer: Address) -> int:
        """Return the true gain of what the trainer's honest work yields in the running round."""
        return MEAN_GAIN_PPM + self.skill(trainer) + self.draw(GAIN_SPREAD_PPM, "gain", trainer)

    def skill(self, trainer: Address) -> int:
        """Return how far the trainer's mean gain is above that of all trainers."""
        return draw(SKILL_SPREAD_PPM, self.seed, "skill", trainer)

    def best_tip(self) -> int:
        """Return the level of the best tip of the running round."""
        return max(self.children[tip.root].level for tip in self.round.tips)

    def bar(self) -> int:
        """Return the level of the best that anyone can make of the tips without training."""
        return self.best_tip() + (AVERAGING_PPM if len(self.round.tips) > 1 else 0)

    def salt(self, validator: Address) -> bytes:
        return name(self.seed, self.round.number, "salt", validator)

    def wealth(self, owners: Iterable[Address]) -> int:
        """Add up what the accounts own: free, staked, unbonding. Nothing is locked between rounds."""
        held, total = self.held, 0
        for owner in owners:
            leaving = held.unbonding.get(owner)
            total += self.state.free.get(owner, 0) + held.stakes.get(owner, 0) + (leaving.amount if leaving else 0)
        return total

    # --- play ---------------------------------------------------------------------------------------------------------

    def do(self, sender: Address, command: commands.Command) -> None:
        self.state, events = apply(self.state, command, sender, self.now, fake_recover)
        self.events += events

    def attempt(self, sender: Address, command: commands.Command) -> bool:
        """Send a command that the ledger may refuse; tell whether it took it."""
        try:
            self.do(sender, command)
        except RuleViolation:
            return False
        return True

    def play(self, rounds: int = ROUNDS) -> World:
        """Play the rounds, then collect every royalty, so that all that was earned is in a free balance."""
        for _ in range(rounds):
            number = self.round.number
            for phase in (self._bid, self._train, self._commit, self._reveal, self._settle):
                if self.round.number == number:
                    phase()
            self.conduct.after_round(self)
            assert conserved(self.state, Wei(WALLET * len(ACCOUNTS)))
        for root, _ in sorted(self.held.checkpoints.items(), key=lambda entry: -entry[1].round):
            self.do(STRANGER, commands.CollectRoyalty(self.model, root, 32))
        return self

    def _bid(self) -> None:
        view = self.round
        for tip in view.tips:
            if self.conduct.offers(self, tip.owner):
                self.do(tip.owner, commands.OfferTip(self.model, view.number, tip.root))
        for trainer in self.conduct.bidders(self):
            bid = commands.PlaceBid(self.model, view.number, 0, self.conduct.bid(self, trainer))
            self.attempt(trainer, bid)
        self.now = self.round.deadline
        orders = bid_order(view.seed, self.round.bids), tip_order(view.seed, self.round.tips)
        self.do(STRANGER, commands.MatchRound(self.model, view.number, *orders))

    def _train(self) -> None:
        legs = self.round.legs
        for leg in self.conduct.submission_order(self, legs):
            child = self.conduct.train(self, legs[leg])
            if child is not None:
                self.children.setdefault(child.root, child)
                self.do(legs[leg].trainer, commands.SubmitLeg(self.model, self.round.number, leg, child.root))
        self._advance_if_still(Phase.TRAIN)

    def _commit(self) -> None:
        for seat in self.round.seats:
            self.conduct.commit(self, seat.validator)
        self._advance_if_still(Phase.COMMIT)

    def _reveal(self) -> None:
        sealed = [seat.validator for seat in self.round.seats if seat.commitment is not None]
        for validator in self.conduct.reveal_order(self, sealed):
            self.conduct.reveal(self, validator)
        self._advance_if_still(Phase.REVEAL)

    def _settle(self) -> None:
        view = self.round
        order = leg_order(view.legs, view.seats)
        self.settled.append(view)
        self.do(STRANGER, commands.SettleRound(self.model, view.number, order, seat_order(order, view.seats)))

    def _advance_if_still(self, phase: Phase) -> None:
        if self.round.phase == phase:
            self.now = self.round.deadline
            self.do(STRANGER, commands.Advance(self.model, self.round.number))


def submitted(legs: Iterable[LegEntry]) -> list[int]:
    """The numbers of the legs that have a child."""
    return [number for number, leg in enumerate(legs) if leg.submitted]
