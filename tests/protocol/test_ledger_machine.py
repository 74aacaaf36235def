"""Random histories, of commands that make sense and of those that do not: what holds after every single step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import (
    Advance,
    CollectRoyalty,
    Command,
    CommitScores,
    CreateModel,
    Deposit,
    Fund,
    MatchRound,
    OfferTip,
    PlaceBid,
    RevealScores,
    SettleRound,
    Stake,
    SubmitLeg,
    Unstake,
    Withdraw,
)
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.ledger.totals import conserved
from derelayl_protocol.limits import MAX_SCORE_PPM
from derelayl_protocol.matching import bid_order, tip_order
from derelayl_protocol.rules import Rules
from derelayl_protocol.scoring import commitment
from derelayl_protocol.settlement import leg_order, median_seats
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, WHOLE_MODEL, Address, Ppm, Timestamp, Wei

from .relay import (
    ACCOUNTS,
    GENESIS,
    JUDGES,
    RULES,
    SALT,
    STRANGER,
    SUPPLY,
    TRAINERS,
    Relay,
    root,
    with_rules,
)

T = TypeVar("T")

MAX_BIDDERS = 6
TWINS = (root("twin"), root("other twin"))
accounts = st.sampled_from(ACCOUNTS)
wei = st.sampled_from([0, 1, 10, 11, 100, 999, 1_000, 40_000, 10**7, 2**96, -1]).map(Wei)
small = st.integers(-1, 4)
roots = st.sampled_from([NO_ROOT, GENESIS, *TWINS])
orders = st.lists(small, max_size=4).map(tuple)
variants = st.sampled_from(
    [
        RULES,
        with_rules(legs_per_tip=1, committee_size=1, quorum=1, slash_bps=10_000, selection_bps=10_000),
        with_rules(offer_deposit=0, gamma_bps=10_000, trainer_bps=0, royalty_bps=10_000, validator_bps=0),
        with_rules(committee_size=2, quorum=2, halving_rounds=1, emission=3, selection_bps=10_000, min_bid=1),
    ]
)


def several(choices: Sequence[T]) -> st.SearchStrategy[list[T]]:
    """One choice for each leg or seat that a round can have."""
    return st.lists(st.sampled_from(choices), min_size=MAX_BIDDERS, max_size=MAX_BIDDERS)


bidders = st.lists(st.sampled_from((*TRAINERS[:5], JUDGES[0])), min_size=1, max_size=MAX_BIDDERS, unique=True)
bid_amounts = several([10, 11, 100, 4_000])
offers = several([True, False])
children = several(["own", "own", "own", "own", *TWINS, None])
scores = several([2_000, 2_000, 9_999, MAX_SCORE_PPM, 1_400, 999, 0, -5, UNAVAILABLE])
strays = several([0, 0, 0, 0, 400, 600, None])
reveals = several([True, True, True, True, False])

MONEY = st.one_of(
    st.tuples(st.sampled_from([Deposit, Withdraw]), st.tuples(wei)),
    st.tuples(st.just(CreateModel), st.tuples(st.just(RULES), roots, wei)),
)
LOCKS = st.one_of(
    st.tuples(st.sampled_from([Fund, Stake]), st.tuples(wei)),
    st.tuples(st.just(Unstake), st.just(())),
)
NOISE = st.one_of(
    st.tuples(st.just(PlaceBid), st.tuples(small, wei)),
    st.tuples(st.just(OfferTip), st.tuples(roots)),
    st.tuples(st.just(MatchRound), st.tuples(orders, orders)),
    st.tuples(st.just(SubmitLeg), st.tuples(small, roots)),
    st.tuples(st.just(CommitScores), st.tuples(roots)),
    st.tuples(st.just(RevealScores), st.tuples(orders, st.just(SALT))),
    st.tuples(st.just(SettleRound), st.tuples(orders, orders)),
    st.tuples(st.just(Advance), st.just(())),
)
"""Commands and the arguments that follow the model's id and the round's number."""

Arguments = tuple[Any, ...]


class LedgerMachine(RuleBasedStateMachine):
    """One relay in the hands of everybody at once."""

    @initialize(rules=variants, budget=st.sampled_from([0, 7, 100_000]))
    def create(self, rules: Rules, budget: int) -> None:
        self.relay = Relay(rules, budget)
        self.sealed: dict[tuple[int, Address], tuple[Ppm, ...]] = {}

    # --- what participants do ---------------------------------------------------------------------------------------

    def attempt(self, sender: Address, command: Command) -> bool:
        """Send a command; a refused one changes nothing."""
        before = repr(self.relay.state)
        state = self.relay.state
        try:
            self.relay.state, _ = apply(state, command, sender, Timestamp(self.relay.now))
        except RuleViolation:
            assert self.relay.state is state
        assert repr(state) == before, "the input state is never changed"
        return self.relay.state is not state

    @rule(data=st.data(), sender=accounts, phases=st.sampled_from([1, 2, 5, 10]))
    def proceed(self, data: st.DataObject, sender: Address, phases: int) -> None:
        """Do what several phases in a row ask for, with gaps; where somebody is missing, enforce the deadline."""
        for _ in range(phases):
            phase, number = self.relay.round.phase, self.relay.number
            self.participate(data)
            round = self.relay.round
            if (round.phase, round.number) == (phase, number) and (phase != Phase.BID or round.bids):
                self.relay.now = max(self.relay.now, round.deadline)
                assert self.attempt(sender, enforcing(self.relay, round))

    @rule(data=st.data())
    def participate(self, data: st.DataObject) -> None:
        play = {Phase.BID: self.bid, Phase.TRAIN: self.train, Phase.COMMIT: self.commit, Phase.REVEAL: self.reveal}
        if self.relay.round.phase in play:
            play[self.relay.round.phase](data)

    def bid(self, data: st.DataObject) -> None:
        for tip, offered in zip(self.relay.round.tips, data.draw(offers), strict=False):
            if offered:
                self.attempt(tip.owner, OfferTip(self.relay.model, self.relay.number, tip.root))
        for trainer, amount in zip(data.draw(bidders), data.draw(bid_amounts), strict=False):
            self.attempt(trainer, PlaceBid(self.relay.model, self.relay.number, WHOLE_MODEL, Wei(amount)))

    def train(self, data: st.DataObject) -> None:
        for leg, (lease, child) in enumerate(zip(self.relay.round.legs, data.draw(children), strict=False)):
            if child is not None:
                made = root(f"{self.relay.number} {leg}") if isinstance(child, str) else child
                self.attempt(lease.trainer, SubmitLeg(self.relay.model, self.relay.number, leg, made))

    def commit(self, data: st.DataObject) -> None:
        common = data.draw(scores)
        for judge, stray in zip(self.relay.seated(), data.draw(strays), strict=False):
            if stray is None:
                continue
            own = tuple(
                Ppm(min(score + stray, MAX_SCORE_PPM) if leg.submitted and score != UNAVAILABLE else UNAVAILABLE)
                for leg, score in zip(self.relay.round.legs, common, strict=False)
            )
            self.sealed[self.relay.number, judge] = own
            seal = commitment(self.relay.model, self.relay.number, judge, SALT, own)
            self.attempt(judge, CommitScores(self.relay.model, self.relay.number, seal))

    def reveal(self, data: st.DataObject) -> None:
        for judge, speaks in zip(self.relay.seated(), data.draw(reveals), strict=False):
            if speaks:
                own = self.sealed.get((self.relay.number, judge), ())
                self.attempt(judge, RevealScores(self.relay.model, self.relay.number, own, SALT))

    @rule(sender=accounts, money=MONEY)
    def move(self, sender: Address, money: tuple[type[Command], Arguments]) -> None:
        kind, arguments = money
        self.attempt(sender, kind(*arguments))

    @rule(sender=accounts, lock=LOCKS)
    def lock(self, sender: Address, lock: tuple[type[Command], Arguments]) -> None:
        kind, arguments = lock
        self.attempt(sender, kind(self.relay.model, *arguments))

    @rule(pick=st.integers(0, 5), steps=st.sampled_from([1, 3, 32, 0, 33]))
    def collect(self, pick: int, steps: int) -> None:
        checkpoints = [*self.relay.held.checkpoints, NO_ROOT]
        self.attempt(STRANGER, CollectRoyalty(self.relay.model, checkpoints[pick % len(checkpoints)], steps))

    @rule(sender=accounts, noise=NOISE, off=st.sampled_from([0, 0, 0, 1, -1]), seconds=st.sampled_from([0, 1, 25]))
    def disturb(self, sender: Address, noise: tuple[type[Command], Arguments], off: int, seconds: int) -> None:
        """Send a command about the round that makes sense only by luck."""
        kind, arguments = noise
        self.relay.now += seconds
        self.attempt(sender, kind(self.relay.model, self.relay.number + off, *arguments))

    # --- what holds -------------------------------------------------------------------------------------------------

    @invariant()
    def no_wei_is_made_or_lost(self) -> None:
        assert conserved(self.relay.state, SUPPLY)

    @invariant()
    def every_validator_has_a_stake_entry(self) -> None:
        held = self.relay.held
        assert len(set(held.validators)) == len(held.validators)
        assert set(held.stakes) == set(held.validators)

    @invariant()
    def every_tip_is_a_checkpoint_of_a_finite_lineage(self) -> None:
        checkpoints = self.relay.held.checkpoints
        for tip in self.relay.round.tips:
            record, at = checkpoints[tip.root], tip.root
            assert (tip.owner, tip.score) == (record.owner, record.score)
            for _ in checkpoints:
                at = checkpoints[at].parent
                if at == NO_ROOT:
                    break
            assert at == NO_ROOT

    @invariant()
    def a_stranger_can_bring_the_round_to_its_end_alone(self) -> None:
        """Whatever the others did: at each deadline, someone with no part in the round gets it one phase further."""
        state, now, number = self.relay.state, self.relay.now, self.relay.number
        if self.relay.round.phase == Phase.BID and not self.relay.round.bids:
            return  # nothing is locked but offers, and any bid starts the clock
        for _ in Phase:
            round = state.models[self.relay.model].current
            if round.number != number:
                break
            now = max(now, round.deadline)
            state, _ = apply(state, enforcing(self.relay, round), STRANGER, Timestamp(now))
        assert state.models[self.relay.model].current.number == number + 1
        assert conserved(state, SUPPLY)


def enforcing(relay: Relay, round: RoundView) -> Command:
    """What anyone may send once the round's deadline has passed."""
    if round.phase == Phase.BID:
        return MatchRound(
            relay.model, round.number, bid_order(round.seed, round.bids), tip_order(round.seed, round.tips)
        )
    if round.phase == Phase.SETTLE:
        order = leg_order(round.legs, round.seats)
        return SettleRound(relay.model, round.number, order, median_seats(order, round.seats))
    return Advance(relay.model, round.number)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=settings.default.max_examples // 2, stateful_step_count=15)
