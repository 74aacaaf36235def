"""The contract equals the Python reference: same commands, same times; same events, refusals and state.

Hypothesis plays random histories on both. Each seed plays at least STEPS_OF_A_SEED commands. More seeds than one, here
100 of them from 7 on, say, to go on where another run has ended or beside one in another process:

    DERELAYL_DIFFERENTIAL_STEPS=200000 DERELAYL_DIFFERENTIAL_SEED=7 pytest tests/contracts/test_equals_reference.py -v
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, get_args

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from derelayl_node.evm.typed_data import recoverer
from derelayl_protocol import limits
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger import commands, events
from derelayl_protocol.ledger.access import has_access
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.state import LedgerState, ModelState
from derelayl_protocol.types import Address, ModelId, Root, Timestamp, Wei

from .driver import ACCOUNTS, Driver, Kind
from .envelopes import Signer
from .evm import START
from .relay import RULES, TRAINERS, VALIDATORS, WALLET, Relay, root

STEPS_OF_A_SEED = 2_000
"""Commands that are played for each seed: enough for every kind of event, and about a minute."""

STEPS_OF_A_HISTORY = 100
"""Commands of one history, besides those that found its models: some ten rounds of either."""

SPARE_HISTORIES = 2
"""Hypothesis ends a history early now and then: of 100 seeds, one fell 42 commands short without these."""

FIRST_SEED = int(os.environ.get("DERELAYL_DIFFERENTIAL_SEED", "1"))
STEPS = int(os.environ.get("DERELAYL_DIFFERENTIAL_STEPS", str(STEPS_OF_A_SEED)))
SEEDS = range(FIRST_SEED, FIRST_SEED - (-STEPS // STEPS_OF_A_SEED))

KINDS = [Kind.GO_ON] * 13 + [Kind.BATCH] * 3 + [Kind.ASIDE] * 3 + [Kind.MISTAKE] * 4 + [Kind.REPORT]

SEEN: Counter[Any] = Counter()
"""What the histories of all seeds have shown, see `Histories.outcomes`."""

Outcome = tuple[events.Event, ...] | Reason


@lru_cache
def prepared() -> Relay:
    """A ledger on which every account has some free balance; never used itself, only forked."""
    relay = Relay()
    for owner in ACCOUNTS:
        relay.fund_wallet(owner)
        relay.send(owner, commands.Deposit(Wei(10**6)))
    return relay


@dataclass
class Pair:
    """The reference and the contract, side by side."""

    relay: Relay = field(default_factory=lambda: prepared().fork())
    state: LedgerState = field(
        default_factory=lambda: LedgerState(
            wallets=dict.fromkeys(ACCOUNTS, Wei(WALLET - 10**6)), free=dict.fromkeys(ACCOUNTS, Wei(10**6))
        )
    )
    now: Timestamp = START
    owners: tuple[Address, ...] = ACCOUNTS

    def __post_init__(self) -> None:
        self.recover = recoverer(self.relay.ledger_id)
        self.storage = self.relay.storage()

    def execute(self, sender: Address, command: commands.Command) -> Outcome:
        """Send the command to both, compare what they say and what they then are."""
        expected = self._reference(sender, command)
        assert self._contract(sender, command) == expected
        self.compare()
        return expected

    def compare(self) -> None:
        """Compare every balance and everything of every model, as the contract has stored it."""
        storage = self.storage
        storage.refresh()
        for owner in self.owners:
            assert storage.free(owner) == self.state.free.get(owner, 0), owner
            assert storage.wallet(owner) == self.state.wallets.get(owner, 0), owner
        for model, expected in self.state.models.items():
            assert_same(storage.model(model, expected.checkpoints, self.owners), expected)

    def compare_views(self) -> None:
        """Compare what the contract's views say, too."""
        for owner in ACCOUNTS:
            assert self.relay.free(owner) == self.state.free.get(owner, 0), owner
        for model, expected in self.state.models.items():
            self._compare_model_views(model, expected)

    def _compare_model_views(self, model: ModelId, expected: ModelState) -> None:
        found = self.relay.model(model, list(expected.checkpoints))
        assert_same(replace(found, unbonding=expected.unbonding, buyers=expected.buyers), expected)
        for owner in ACCOUNTS:
            leaving = expected.unbonding.get(owner)
            assert self.relay.view("unbondingOf", model, owner) == (
                (leaving.amount, leaving.release_time) if leaving else (0, 0)
            )
            root = Root(max(expected.checkpoints))
            assert self.relay.view("accessOf", model, root, owner) == has_access(expected, root, owner)

    def _reference(self, sender: Address, command: commands.Command) -> Outcome:
        try:
            self.state, recorded = apply(self.state, command, sender, self.now, self.recover)
        except RuleViolation as violation:
            return violation.reason
        return recorded

    def _contract(self, sender: Address, command: commands.Command) -> Outcome:
        self.relay.evm.now = self.now
        try:
            return self.relay.send(sender, command)
        except RuleViolation as violation:
            return violation.reason


def assert_same(found: ModelState, expected: ModelState) -> None:
    """Name what differs first."""
    for name in ModelState.__dataclass_fields__:
        assert getattr(found, name) == getattr(expected, name), name


class Histories(RuleBasedStateMachine):
    """One random history of both ledgers. All choices of a step come from one number: a step can be left out."""

    outcomes: ClassVar[Counter[Any]]
    """How often each command was executed, each event emitted and each reason given, over all histories."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()
        self.driver = Driver(Signer(self.pair.relay.signature))

    @initialize(number=st.integers(0, 2**32 - 1))
    def found_models(self, number: int) -> None:
        self.driver.reseed(number, self.pair.state)
        while (step := self.driver.found(self.pair.state)) is not None:
            self._execute(*step)

    @rule(kind=st.sampled_from(KINDS), number=st.integers(0, 2**32 - 1))
    def step(self, kind: Kind, number: int) -> None:
        self.driver.reseed(number, self.pair.state)
        self.pair.now = self.driver.tick(self.pair.state, self.pair.now)
        self._execute(*self.driver.step(self.pair.state, self.pair.now, kind))

    def teardown(self) -> None:
        self.pair.compare_views()

    def _execute(self, sender: Address, command: commands.Command) -> None:
        outcome = self.pair.execute(sender, command)
        what: Iterable[Any] = [outcome] if isinstance(outcome, Reason) else map(type, outcome)
        self.outcomes.update([commands.Command, type(command), *what])


@pytest.mark.parametrize("number", SEEDS)
def test_random_histories(number: int) -> None:
    @seed(number)
    class Seeded(Histories):
        pass

    outcomes = Counter[Any]()
    Seeded.outcomes = outcomes
    run_state_machine_as_test(
        Seeded,
        settings=settings(
            max_examples=STEPS_OF_A_SEED // STEPS_OF_A_HISTORY + SPARE_HISTORIES,
            stateful_step_count=STEPS_OF_A_HISTORY,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
    steps, refused = outcomes[commands.Command], sum(outcomes[reason] for reason in Reason)
    assert steps >= STEPS_OF_A_SEED
    assert refused < steps / 3, "most steps do something"
    SEEN.update(outcomes)


def test_bids_in_a_full_round() -> None:
    """Too many accounts for the histories: all places taken, then higher and lower bids, direct and signed."""
    owners, choices = TRAINERS[:33] + VALIDATORS[:20], random.Random(5)
    relay = Relay()
    for owner in owners:
        relay.fund_wallet(owner)
    pair = Pair(relay, LedgerState(wallets=dict.fromkeys(owners, WALLET)), owners=owners)
    for owner in owners:
        pair.execute(owner, commands.Deposit(Wei(60)))
    pair.execute(owners[0], commands.CreateModel(replace(RULES, bid_seconds=10_000), root(0), Wei(0)))
    (model,) = pair.state.models
    sign, outcomes = Signer(relay.signature), Counter[Any]()
    for number in range(120):
        owner, amount, segment = choices.choice(owners), Wei(choices.randint(10, 40)), choices.randrange(3)
        signed = sign.bid(model, 1, owner, segment, amount, Timestamp(pair.now + 1))
        command = commands.BidBySig(model, 1, (signed,)) if number % 3 else commands.PlaceBid(model, 1, segment, amount)
        outcome = pair.execute(owner, command)
        outcomes.update([outcome] if isinstance(outcome, Reason) else map(type, outcome))
    SEEN.update(outcomes)
    assert len(pair.state.models[model].current.bids) == limits.MAX_BIDS
    assert outcomes[events.BidDisplaced] > 0
    assert outcomes[Reason.TOO_MANY_BIDS] > 0


def test_the_histories_show_every_command_and_every_event() -> None:
    assert SEEN, "run it after the histories"
    assert not [kind for kind in get_args(commands.Command) if not SEEN[kind]]
    assert not [kind for kind in get_args(events.Event) if not SEEN[kind]]
