"""Random but lawful relays on the fake chain: everything the ledger can do, driven by one random generator."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from dataclasses import replace as changed

from derelayl_node.testing.history import RULES, named, person
from derelayl_node.testing.ledger import FakeChain
from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger import commands as do
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.ledger.settlement import leg_order, seat_order
from derelayl_protocol.ledger.state import LedgerState, RoundView
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, WHOLE_MODEL, Address, ModelId, Ppm, Root, Wei

WALLET = Wei(10**9)
RULES_OF_PLAY = changed(
    RULES,
    min_bid=Wei(7),
    offer_deposit=Wei(3),
    validator_stake=Wei(100),
    emission=Wei(1_001),
    halving_rounds=2,
    unbonding_seconds=0,
    access_fee=Wei(37),
)
OWNER, STRANGER = person("owner"), person("stranger")
TRAINERS = tuple(person(f"trainer {number}") for number in range(4))
JUDGES = tuple(person(f"judge {number}") for number in range(4))
EVERYBODY = (OWNER, STRANGER, *TRAINERS, *JUDGES)
SALT = named("salt")


@dataclass
class TableClock:
    """Time that stands until somebody moves it."""

    time: float = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@dataclass
class Players:
    """Everybody on one chain with two models; `play` makes one random lawful move."""

    rng: random.Random
    blocks_per_batch: int = 256
    clock: TableClock = field(default_factory=TableClock)

    def __post_init__(self) -> None:
        wallets = dict.fromkeys(EVERYBODY, WALLET)
        self.chain = FakeChain(wallets, self.clock, blocks_per_batch=self.blocks_per_batch)
        self.models = tuple(self._create(genesis) for genesis in ("a", "b"))

    @property
    def state(self) -> LedgerState:
        return self.chain.state

    def setup(self) -> None:
        """Deposit for everybody, create two models, stake the judges."""
        for account in EVERYBODY:
            self._try(account, do.Deposit(Wei(WALLET // 2)))
        for genesis in ("a", "b"):
            self._try(OWNER, do.CreateModel(RULES_OF_PLAY, Root(named(genesis)), Wei(5_000)))
        for model in self.models:
            for judge in JUDGES:
                self._try(judge, do.Stake(model, Wei(100 + self.rng.randrange(50))))

    def play(self) -> None:
        """Make one move; sometimes an illegal one, which the ledger refuses."""
        model = self.rng.choice(self.models)
        if model not in self.state.models:
            self.setup()
        elif self.rng.random() < 0.15:
            self._aside(model)
        else:
            self._onward(model, self.state.models[model].current)

    def _create(self, genesis: str) -> ModelId:
        return model_id(OWNER, Root(named(genesis)), RULES_OF_PLAY)

    def _try(self, sender: Address, command: do.Command) -> None:
        try:
            self.chain.execute(sender, command)
        except RuleViolation:
            self.chain.mine()

    def _aside(self, model: ModelId) -> None:
        """Do something that does not belong to the round."""
        rng, account = self.rng, self.rng.choice(EVERYBODY)
        amount = Wei(rng.randrange(1, 300))
        root = rng.choice(list(self.state.models[model].checkpoints))
        commands: list[do.Command] = [
            do.Deposit(amount),
            do.Withdraw(amount),
            do.Fund(model, amount),
            do.Stake(model, amount),
            do.Unstake(model),
            do.Release(model),
            do.BuyAccess(model, root),
            do.CollectRoyalty(model, root, rng.randrange(1, 6)),
            do.CollectRoyalty(model, root, 32),
        ]
        self._try(account, rng.choice(commands))

    def _onward(self, model: ModelId, now: RoundView) -> None:
        step = {
            Phase.BID: self._bid,
            Phase.TRAIN: self._submit,
            Phase.COMMIT: self._commit,
            Phase.REVEAL: self._reveal,
            Phase.SETTLE: self._settle,
        }
        if now.phase in (Phase.TRAIN, Phase.COMMIT, Phase.REVEAL) and self.rng.random() < 0.06:
            self.clock.time = max(self.clock.time, float(now.deadline))
            self._try(STRANGER, do.Advance(model, now.number))
        else:
            step[now.phase](model, now)

    def _bid(self, model: ModelId, now: RoundView) -> None:
        if now.deadline and self.rng.random() < 0.4:
            self.clock.time = max(self.clock.time, float(now.deadline))
            orders = bid_order(now.seed, now.bids), tip_order(now.seed, now.tips)
            self._try(STRANGER, do.MatchRound(model, now.number, *orders))
        elif self.rng.random() < 0.3:
            tip = self.rng.choice(now.tips)
            self._try(tip.owner, do.OfferTip(model, now.number, tip.root))
        else:
            bidder = self.rng.choice(TRAINERS + JUDGES[:1])
            segment = self.rng.choice((0, 1, WHOLE_MODEL))
            self._try(bidder, do.PlaceBid(model, now.number, segment, Wei(self.rng.randrange(7, 99))))

    def _submit(self, model: ModelId, now: RoundView) -> None:
        """Submit the next missing leg; now and then a root that another leg has named too, or one from a past round."""
        leg = next(number for number, entry in enumerate(now.legs) if not entry.submitted)
        name = self.rng.choice([f"{now.number}/{leg}", f"{now.number}/{leg}", f"{now.number}/shared", "everlasting"])
        child = Root(hashlib.sha256(model + name.encode()).digest())
        self._try(now.legs[leg].trainer, do.SubmitLeg(model, now.number, leg, child))
        if self.state.models[model].current == now:
            fresh = Root(hashlib.sha256(model + f"{now.number}/{leg}/again".encode()).digest())
            self._try(now.legs[leg].trainer, do.SubmitLeg(model, now.number, leg, fresh))

    def _scores(self, now: RoundView, validator: Address) -> tuple[Ppm, ...]:
        own = random.Random(f"{now.number} {validator} {now.seed.hex()}")
        return tuple(
            Ppm(own.randrange(-5_000, 60_000)) if leg.child != NO_ROOT and own.random() < 0.9 else UNAVAILABLE
            for leg in now.legs
        )

    def _opening(self, now: RoundView, validator: Address) -> tuple[tuple[Ppm, ...], tuple[int, ...]]:
        """Scores and originals: now and then a leg is taken for the first one, by most of the committee or by some."""
        submitted = [number for number, leg in enumerate(now.legs) if leg.submitted]
        common, own = (random.Random(f"{now.number} {who} {now.seed.hex()} alike") for who in ("all", validator))
        alike = [common.random() < 0.4 and own.random() < 0.8 for _ in now.legs]
        originals = (submitted[0] if leg in submitted and alike[leg] else leg for leg in range(len(now.legs)))
        return self._scores(now, validator), tuple(originals)

    def _commit(self, model: ModelId, now: RoundView) -> None:
        seat = next(seat for seat in now.seats if seat.commitment is None)
        sealed = commitment(model, now.number, seat.validator, SALT, *self._opening(now, seat.validator))
        self._try(seat.validator, do.CommitScores(model, now.number, sealed))

    def _reveal(self, model: ModelId, now: RoundView) -> None:
        seat = next(seat for seat in now.seats if seat.scores is None and seat.commitment is not None)
        self._try(seat.validator, do.RevealScores(model, now.number, *self._opening(now, seat.validator), SALT))

    def _settle(self, model: ModelId, now: RoundView) -> None:
        order = leg_order(now.legs, now.seats)
        self._try(STRANGER, do.SettleRound(model, now.number, order, seat_order(order, now.seats)))
