"""Random histories, of commands that make sense and of those that do not: what holds after every single step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.access import has_access
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import (
    Advance,
    BidBySig,
    BuyAccess,
    CollectRoyalty,
    Command,
    CommitBySig,
    CommitScores,
    CreateModel,
    Deposit,
    Fund,
    MatchRound,
    OfferTip,
    PlaceBid,
    Release,
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
    Unstake,
    Withdraw,
)
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.settlement import leg_order, seat_order
from derelayl_protocol.ledger.state import LegEntry, RoundView
from derelayl_protocol.ledger.totals import conserved
from derelayl_protocol.limits import MAX_SCORE_PPM
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
    recover,
    root,
    with_rules,
)

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
        with_rules(offer_deposit=0, gamma_bps=10_000, trainer_bps=0, royalty_bps=10_000, validator_bps=0, access_fee=0),
        with_rules(committee_size=2, quorum=2, halving_rounds=1, emission=3, selection_bps=10_000, min_bid=1),
        with_rules(committee_size=4, trainer_bps=0, royalty_bps=0, validator_bps=10_000, unbonding_seconds=0),
    ]
)


BIDDERS = (*TRAINERS[:5], JUDGES[0])
SCORES = (2_000, 2_000, 9_999, MAX_SCORE_PPM, 1_400, 999, 0, -5, UNAVAILABLE)

MONEY = st.one_of(
    st.tuples(st.sampled_from([Deposit, Withdraw]), st.tuples(wei)),
    st.tuples(st.sampled_from([Fund, Stake]), st.tuples(wei)),
    st.tuples(st.sampled_from([Unstake, Release]), st.just(())),
    st.tuples(st.just(BuyAccess), st.tuples(roots)),
    st.tuples(st.just(CreateModel), st.tuples(st.just(RULES), roots, wei)),
)
"""Commands and their arguments; those about the model lack its id."""

NOISE = st.one_of(
    st.tuples(st.just(PlaceBid), st.tuples(small, wei)),
    st.tuples(st.just(OfferTip), st.tuples(roots)),
    st.tuples(st.just(MatchRound), st.tuples(orders, orders)),
    st.tuples(st.just(SubmitLeg), st.tuples(small, roots)),
    st.tuples(st.just(CommitScores), st.tuples(roots)),
    st.tuples(st.just(RevealScores), st.tuples(orders, orders, st.just(SALT))),
    st.tuples(st.just(SettleRound), st.tuples(orders, orders)),
    st.tuples(st.just(Advance), st.just(())),
    st.tuples(
        st.just(BidBySig),
        st.tuples(st.tuples(st.builds(SignedBid, accounts, small, wei, st.just(Timestamp(0)), st.just(bytes(64))))),
    ),
    st.tuples(st.just(SubmitBySig), st.tuples(st.tuples(st.builds(SignedChild, small, roots, st.just(bytes(64)))))),
    st.tuples(st.just(CommitBySig), st.tuples(st.tuples(st.builds(SignedCommit, accounts, roots, st.just(bytes(64)))))),
    st.tuples(
        st.just(RevealBySig),
        st.tuples(st.tuples(st.builds(SignedReveal, accounts, orders, orders, st.just(SALT), st.just(bytes(64))))),
    ),
)
"""Commands and the arguments that follow the model's id and the round's number."""

Arguments = tuple[Any, ...]
Sealed = tuple[tuple[Ppm, ...], tuple[int, ...]]  # scores and originals


class LedgerMachine(RuleBasedStateMachine):
    """One relay in the hands of everybody at once."""

    @initialize(
        rules=variants,
        budget=st.sampled_from([100_000, 7, 0]),
        seed=st.integers(0, 2**32 - 1),
        phases=st.sampled_from([12, 7, 2, 0]),
    )
    def begin(self, rules: Rules, budget: int, seed: int, phases: int) -> None:
        """Create the relay; give it a history, since Hypothesis by itself seldom gets through a whole round."""
        self.relay = Relay(rules, budget)
        self.sealed: dict[tuple[int, Address], Sealed] = {}
        self.proceed(seed, STRANGER, phases)

    # --- what participants do ---------------------------------------------------------------------------------------

    def attempt(self, sender: Address, command: Command) -> bool:
        """Send a command; a refused one changes nothing."""
        before = repr(self.relay.state)
        state = self.relay.state
        try:
            self.relay.state, _ = apply(state, command, sender, Timestamp(self.relay.now), recover)
        except RuleViolation:
            assert self.relay.state is state
        assert repr(state) == before, "the input state is never changed"
        check_marks(state.models[self.relay.model].current, self.relay.round)
        return self.relay.state is not state

    @rule(seed=st.integers(0, 2**32 - 1), sender=accounts, phases=st.sampled_from([5, 1]))
    def play(self, seed: int, sender: Address, phases: int) -> None:
        self.proceed(seed, sender, phases)

    def proceed(self, seed: int, sender: Address, phases: int) -> None:
        """Do what several phases in a row ask for, with gaps; where somebody is missing, enforce the deadline.

        One seed stands for all the choices: drawn one by one they would exhaust what Hypothesis allows an example.
        """
        chance = Random(seed)
        for _ in range(phases):
            phase, number = self.relay.round.phase, self.relay.number
            self.participate(chance)
            round = self.relay.round
            if (round.phase, round.number) == (phase, number) and (phase != Phase.BID or round.bids):
                self.relay.now = max(self.relay.now, round.deadline)
                assert self.attempt(sender, enforcing(self.relay, round))

    @rule(seed=st.integers(0, 2**32 - 1))
    def linger(self, seed: int) -> None:
        """Do what the phase asks for, with gaps, and leave it there."""
        self.participate(Random(seed))

    def participate(self, chance: Random) -> None:
        play = {Phase.BID: self.bid, Phase.TRAIN: self.train, Phase.COMMIT: self.commit, Phase.REVEAL: self.reveal}
        if self.relay.round.phase in play:
            play[self.relay.round.phase](chance)

    def bid(self, chance: Random) -> None:
        for judge in JUDGES:
            stake = self.relay.held.stakes.get(judge, 0)
            if stake < self.relay.held.rules.validator_stake and chance.random() < 0.7:  # slashed, or gone
                self.attempt(judge, Stake(self.relay.model, Wei(self.relay.held.rules.validator_stake)))
        for tip in self.relay.round.tips:
            if chance.random() < 0.6:
                self.attempt(tip.owner, OfferTip(self.relay.model, self.relay.number, tip.root))
        signed: list[SignedBid] = []
        for trainer in chance.sample(BIDDERS, chance.randint(1, len(BIDDERS))):
            amount = chance.choice([10, 11, 100, 4_000])
            if chance.random() < 0.4:
                signed.append(self.relay.signed_bid(trainer, amount, expiry=self.relay.now + chance.choice([0, 1, 99])))
            else:
                self.attempt(trainer, PlaceBid(self.relay.model, self.relay.number, WHOLE_MODEL, Wei(amount)))
        self.relay_for_others(self.relay.bid_by_sig(*signed, *signed[:1]))

    def relay_for_others(self, command: BidBySig | SubmitBySig | CommitBySig | RevealBySig) -> None:
        """Send what others have signed: possible at this time, and at nobody's cost but theirs."""
        free = self.relay.free(STRANGER)
        self.attempt(STRANGER, command)
        assert self.relay.free(STRANGER) == free

    def train(self, chance: Random) -> None:
        signed: list[SignedChild] = []
        for leg, lease in enumerate(self.relay.round.legs):
            own = root(f"{self.relay.number} {leg}")
            child = chance.choice([own, own, own, own, *TWINS, None])
            if child is None:
                continue
            if chance.random() < 0.4:
                signed.append(self.relay.signed_child(leg, child))
            else:
                self.attempt(lease.trainer, SubmitLeg(self.relay.model, self.relay.number, leg, child))
        if self.relay.round.phase is Phase.TRAIN:
            self.relay_for_others(self.relay.submit_by_sig(*signed, *signed[:1]))

    def commit(self, chance: Random) -> None:
        common = [chance.choice(SCORES) for _ in self.relay.round.legs]
        originals = some_originals(chance, self.relay.round.legs)
        commits: list[SignedCommit] = []
        for judge in self.relay.seated():
            stray = chance.choice([0, 0, 0, 0, 400, 600, None])
            if stray is None:
                continue
            if chance.random() < 0.2:
                chance.shuffle(common)  # from here on the committee is of another opinion about which leg is which
            own = tuple(
                Ppm(min(score + stray, MAX_SCORE_PPM) if leg.submitted and score != UNAVAILABLE else UNAVAILABLE)
                for leg, score in zip(self.relay.round.legs, common, strict=True)
            )
            named = originals if chance.random() < 0.8 else some_originals(chance, self.relay.round.legs)
            self.sealed[self.relay.number, judge] = own, named
            seal = self.relay.seal(judge, own, named)
            if chance.random() < 0.4:
                commits.append(self.relay.signed_commit(judge, seal))
            else:
                self.attempt(judge, CommitScores(self.relay.model, self.relay.number, seal))
        self.relay_for_others(self.relay.commit_by_sig(*commits, *commits[:1]))

    def reveal(self, chance: Random) -> None:
        reveals: list[SignedReveal] = []
        for judge in self.relay.seated():
            own, named = self.sealed.get((self.relay.number, judge), ((), ()))
            if own and chance.random() < 0.4:
                reveals.append(self.relay.signed_reveal(judge, own, originals=named))
            elif chance.random() < 0.75:
                self.attempt(judge, self.relay.opening(own, named))
        self.relay_for_others(self.relay.reveal_by_sig(*reveals, *reveals[:1]))

    @rule(sender=accounts, money=MONEY)
    def mind_money(self, sender: Address, money: tuple[type[Command], Arguments]) -> None:
        kind, arguments = money
        about_the_model = (self.relay.model,) if kind in (Fund, Stake, Unstake, Release, BuyAccess) else ()
        self.attempt(sender, kind(*about_the_model, *arguments))

    @rule(pick=st.integers(0, 5), steps=st.sampled_from([1, 3, 32, 0, 33]))
    def collect(self, pick: int, steps: int) -> None:
        checkpoints = [*self.relay.held.checkpoints, NO_ROOT]
        self.attempt(STRANGER, CollectRoyalty(self.relay.model, checkpoints[pick % len(checkpoints)], steps))

    @rule(sender=accounts, account=accounts, pick=st.integers(0, 5))
    def buy(self, sender: Address, account: Address, pick: int) -> None:
        """Buy access, and leave that of everybody else as it was."""
        held, roots = self.relay.held, list(self.relay.held.checkpoints)
        before = {(at, who): has_access(held, at, who) for at in roots for who in ACCOUNTS}
        bought = self.attempt(sender, BuyAccess(self.relay.model, roots[pick % len(roots)]))
        after = {(at, who): has_access(self.relay.held, at, who) for at in roots for who in ACCOUNTS}
        changes = {key for key in before if before[key] != after[key]}
        assert changes <= ({(roots[pick % len(roots)], sender)} if bought else set())

    @rule(reporter=accounts, leg=st.integers(0, 3))
    def report_trainer(self, reporter: Address, leg: int) -> None:
        """Prove that a trainer has signed two children; whoever does not belong to the proof loses nothing."""
        if leg < len(self.relay.round.legs):
            lease, free = self.relay.round.legs[leg], dict(self.relay.state.free)
            self.attempt(reporter, self.relay.two_manifests(leg))
            assert self.relay.round.legs[leg] == replace(lease, bid=Wei(0))
            assert all(self.relay.free(account) >= free.get(account, 0) for account in ACCOUNTS)

    @rule(reporter=accounts, judge=st.sampled_from(JUDGES), number=st.integers(0, 9))
    def report_validator(self, reporter: Address, judge: Address, number: int) -> None:
        """Prove that a validator has signed two reveals: its stake is gone wherever it was."""
        self.attempt(reporter, self.relay.two_reveals(judge, number))
        assert self.relay.held.stakes.get(judge, 0) == 0
        assert judge not in self.relay.held.unbonding

    @rule(judge=st.sampled_from(JUDGES), seconds=st.sampled_from([0, 999, 1_000]))
    def leave(self, judge: Address, seconds: int) -> None:
        """Unstake and release: never before the time is up, and then everything at once."""
        left = self.attempt(judge, Unstake(self.relay.model))
        leaving, free = self.relay.held.unbonding.get(judge), self.relay.free(judge)
        self.relay.now += seconds
        released = self.attempt(judge, Release(self.relay.model))
        assert released == (leaving is not None and self.relay.now >= leaving.release_time)
        if leaving is not None and released:
            assert self.relay.free(judge) - free == leaving.amount
            assert not left or seconds >= self.relay.held.rules.unbonding_seconds

    @rule(sender=accounts, noise=NOISE, off=st.sampled_from([0, 0, 0, 1, -1]), seconds=st.sampled_from([0, 1, 25]))
    def disturb(self, sender: Address, noise: tuple[type[Command], Arguments], off: int, seconds: int) -> None:
        """Send a command about the round that makes sense only by luck."""
        kind: Any = noise[0]
        arguments = noise[1]
        self.relay.now += seconds
        self.attempt(sender, kind(self.relay.model, self.relay.number + off, *arguments))

    # --- what holds -------------------------------------------------------------------------------------------------

    @invariant()
    def no_wei_is_made_or_lost(self) -> None:
        assert conserved(self.relay.state, SUPPLY)

    @invariant()
    def all_legs_have_one_bond_and_the_lowest_of_their_bids(self) -> None:
        round = self.relay.round
        amounts = {bid.trainer: bid.amount for bid in round.bids}
        bonds = {leg.bid for leg in round.legs if not leg.disqualified}
        assert bonds <= {min((amounts[leg.trainer] for leg in round.legs), default=0)}

    @invariant()
    def every_validator_has_a_stake_entry(self) -> None:
        held = self.relay.held
        assert len(set(held.validators)) == len(held.validators)
        assert set(held.stakes) == set(held.validators)
        assert all(entry.amount > 0 for entry in held.unbonding.values())

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


def check_marks(before: RoundView, after: RoundView) -> None:
    """Check which tips are stalled: where the round has ended, by what its legs did, else as before."""
    assert not all(tip.stalled for tip in after.tips)
    marks = {tip.root: tip.stalled for tip in before.tips}
    if before.number != after.number and set(marks) == {tip.root for tip in after.tips}:
        submitted = Counter(leg.parent for leg in before.legs if leg.submitted)
        for parent, count in Counter(leg.parent for leg in before.legs).items():
            marks[parent] = submitted[parent] < count / 2
    if not all(marks.values()):
        assert all(tip.stalled == marks.get(tip.root, False) for tip in after.tips)


def some_originals(chance: Random, legs: Sequence[LegEntry]) -> tuple[int, ...]:
    """What a seat may name: itself for each leg, or an earlier one that was submitted as it was."""
    submitted = [number for number, leg in enumerate(legs) if leg.submitted]
    return tuple(
        chance.choice([number, *submitted[: submitted.index(number)]]) if leg.submitted else number
        for number, leg in enumerate(legs)
    )


def enforcing(relay: Relay, round: RoundView) -> Command:
    """What anyone may send once the round's deadline has passed."""
    if round.phase == Phase.BID:
        return MatchRound(
            relay.model, round.number, bid_order(round.seed, round.bids), tip_order(round.seed, round.tips)
        )
    if round.phase == Phase.SETTLE:
        order = leg_order(round.legs, round.seats)
        return SettleRound(relay.model, round.number, order, seat_order(order, round.seats))
    return Advance(relay.model, round.number)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(stateful_step_count=20)
