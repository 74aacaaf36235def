"""One model on a fresh ledger, and one method for each step of a round."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from derelayl_protocol.encoding import word
from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger import commands, events, state
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import Rules, model_id
from derelayl_protocol.types import WHOLE_MODEL, Address, ModelId, Ppm, Root, Wei

from .envelopes import Signer
from .orders import bid_order, commitment, own_originals, settlement_order, tip_order
from .relay import CREATOR, RULES, TRAINERS, VALIDATORS, Relay, root

GENESIS = root(0)


@lru_cache(maxsize=8)
def _prepared(rules: Rules, budget: int, validators: int, trainers: int, free: int) -> Relay:
    """A ledger with one model, free balances and stakes; never used itself, only forked."""
    relay = Relay()
    for owner in (CREATOR, *TRAINERS[:trainers], *VALIDATORS[:validators]):
        relay.fund_wallet(owner)
        relay.send(owner, commands.Deposit(Wei(free)))
    relay.send(CREATOR, commands.CreateModel(rules, GENESIS, Wei(budget)))
    model = model_id(CREATOR, GENESIS, rules)
    for number, owner in enumerate(VALIDATORS[:validators]):
        relay.send(owner, commands.Stake(model, Wei(rules.validator_stake + number)))
    return relay


@dataclass
class Game:
    """A model on a fresh ledger with funded trainers and staked validators, and one method for each step of a round."""

    rules: Rules = RULES
    budget: int = 10**8
    validators: int = 4
    trainers: int = 8
    free: int = 10**9
    relay: Relay = field(init=False)
    genesis: Root = field(default=GENESIS, init=False)
    number: int = field(default=1, init=False)  # of the running round

    def __post_init__(self) -> None:
        self.relay = _prepared(self.rules, self.budget, self.validators, self.trainers, self.free).fork()
        self.model: ModelId = model_id(CREATOR, self.genesis, self.rules)

    @property
    def sign(self) -> Signer:
        """Signs for this ledger in the name of any account."""
        return Signer(self.relay.signature)

    @property
    def view(self) -> state.RoundView:
        return self.relay.round(self.model)

    def fork(self) -> Game:
        """Copy the game; the two go on apart."""
        other = copy.copy(self)
        other.relay = self.relay.fork()
        return other

    def send(self, sender: Address, make: Callable[..., commands.Command], *arguments: Any) -> tuple[events.Event, ...]:
        """Send a command about the running round."""
        recorded = self.relay.send(sender, make(self.model, self.number, *arguments))
        for event in recorded:
            if isinstance(event, events.PhaseChanged):
                self.number = event.round
        return recorded

    def refuses(self, reason: Reason, sender: Address, make: Callable[..., commands.Command], *arguments: Any) -> None:
        """Check that the ledger refuses a command about the running round for this reason."""
        self.relay.refuses(reason, sender, make(self.model, self.number, *arguments))

    def pass_deadline(self) -> None:
        self.relay.evm.now = self.view.deadline

    def bid(self, *amounts: int) -> None:
        """The first trainers bid for the whole model."""
        for trainer, amount in zip(TRAINERS, amounts, strict=False):
            self.send(trainer, commands.PlaceBid, WHOLE_MODEL, Wei(amount))

    def match(self) -> tuple[events.Event, ...]:
        self.pass_deadline()
        return self.send(CREATOR, commands.MatchRound, bid_order(self.view), tip_order(self.view))

    def to_train(self, *amounts: int) -> None:
        self.bid(*amounts or (40, 30, 20))
        self.match()

    def child(self, leg: int) -> Root:
        return root(1000 * self.number + leg)

    def submit(self, *legs: int) -> None:
        """Submit these legs, or all; enforce the deadline if some are missing."""
        view = self.view
        for leg in legs or range(len(view.legs)):
            self.send(view.legs[leg].trainer, commands.SubmitLeg, leg, self.child(leg))
        if self.view.phase is Phase.TRAIN:
            self.advance()

    def advance(self) -> tuple[events.Event, ...]:
        self.pass_deadline()
        return self.send(CREATOR, commands.Advance)

    def to_commit(self, *amounts: int) -> None:
        self.to_train(*amounts)
        self.submit()

    def salt(self, seat: int) -> bytes:
        return hashlib.sha256(word(self.number) + word(seat)).digest()

    def commit(self, *rows: Sequence[int] | None, originals: Sequence[Sequence[int]] = ()) -> None:
        """Seat i commits to row i, one score for each leg; None stays silent. Every leg is an original if not named."""
        view = self.view
        for index, row in enumerate(rows):
            if row is not None:
                validator = view.seats[index].validator
                named = originals[index] if originals else None
                scores = [Ppm(item) for item in row]
                seal = commitment(self.model, view.number, validator, self.salt(index), scores, named)
                self.send(validator, commands.CommitScores, seal)

    def reveal(self, *rows: Sequence[int] | None, originals: Sequence[Sequence[int]] = ()) -> None:
        """Seat i reveals row i; None stays silent."""
        view = self.view
        for index, row in enumerate(rows):
            if row is not None:
                named = originals[index] if originals else own_originals([Ppm(item) for item in row])
                validator = view.seats[index].validator
                self.send(validator, commands.RevealScores, tuple(row), tuple(named), self.salt(index))

    def to_reveal(self, *rows: Sequence[int] | None, originals: Sequence[Sequence[int]] = ()) -> None:
        self.commit(*rows, originals=originals)
        if self.view.phase is Phase.COMMIT:
            self.advance()

    def judge(self, *rows: Sequence[int] | None, originals: Sequence[Sequence[int]] = ()) -> None:
        """Commit, reveal and reach SETTLE."""
        self.to_reveal(*rows, originals=originals)
        self.reveal(*rows, originals=originals)
        if self.view.phase is Phase.REVEAL:
            self.advance()

    def settle(self) -> tuple[events.Event, ...]:
        return self.send(CREATOR, commands.SettleRound, *settlement_order(self.view))

    def play(self, *rows: Sequence[int] | None, bids: Sequence[int] = (40, 30, 20)) -> tuple[events.Event, ...]:
        """A whole round in which every leg is submitted."""
        self.to_commit(*bids)
        self.judge(*rows)
        return self.settle()

    def locked(self) -> int:
        """Everything that the ledger holds for this model and that is nobody's free balance."""
        model = self.relay.model(self.model, self.roots())
        view = model.current
        bids = sum(leg.bid + leg.deposit for leg in view.legs) if view.legs else sum(bid.amount for bid in view.bids)
        offers = (
            0
            if view.legs
            else sum(self.rules.offer_deposit * self.rules.legs_per_tip for tip in view.tips if tip.offered)
        )
        pending = sum(record.pending for record in model.checkpoints.values())
        validators = VALIDATORS[: self.validators]
        unbonding = sum(self.relay.unbonding(self.model, owner).amount for owner in validators)
        return bids + offers + pending + model.budget + model.carry + sum(model.stakes.values()) + unbonding

    def roots(self) -> list[Root]:
        """Every root that this game may have made a checkpoint."""
        return [self.genesis, *(root(1000 * number + leg) for number in range(1, self.number) for leg in range(32))]

    def check_money(self) -> None:
        """What the ledger owns in the token is what it owes."""
        owners = (CREATOR, *TRAINERS[: self.trainers], *VALIDATORS[: self.validators])
        assert self.relay.wallet(self.relay.ledger) == self.locked() + sum(map(self.relay.free, owners))
