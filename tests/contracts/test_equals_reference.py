"""The contract equals the Python reference: same commands, same times; same events, refusals and state.

More than the default number of steps: DERELAYL_DIFFERENTIAL_STEPS=3000.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger import commands, events
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.state import LedgerState
from derelayl_protocol.types import Address, ModelId, Timestamp, Wei

from .driver import ACCOUNTS, MODELS, Driver
from .evm import START
from .relay import WALLET, Relay

SEEDS = (38, 135, 150)
"""Chosen because even their short histories have settlements, every kind of void and most refusals."""
STEPS = int(os.environ.get("DERELAYL_DIFFERENTIAL_STEPS", "360")) // len(SEEDS)

Outcome = tuple[events.Event, ...] | Reason


@dataclass
class Pair:
    """The reference and the contract, side by side."""

    relay: Relay = field(default_factory=Relay)
    state: LedgerState = field(default_factory=lambda: LedgerState(wallets=dict.fromkeys(ACCOUNTS, WALLET)))
    now: Timestamp = START

    def __post_init__(self) -> None:
        for owner in ACCOUNTS:
            self.relay.fund_wallet(owner)
            self.execute(owner, commands.Deposit(Wei(10**6)))

    def execute(self, sender: Address, command: commands.Command) -> Outcome:
        """Send the command to both, compare what they say and what they then are."""
        before = self.state
        expected = self._reference(sender, command)
        assert self._contract(sender, command) == expected
        for model in self.state.models:
            if self.state.models[model] is not before.models.get(model):
                self.compare_model(model, before)
        for owner in ACCOUNTS:
            if owner == sender or self.state.free.get(owner) != before.free.get(owner):
                assert self.relay.free(owner) == self.state.free.get(owner, 0), owner
        return expected

    def compare_model(self, model: ModelId, before: LedgerState) -> None:
        """Compare everything of a model, of the checkpoints those that changed."""
        old = before.models[model].checkpoints if model in before.models else {}
        expected = self.state.models[model]
        changed = [name for name, record in expected.checkpoints.items() if old.get(name) != record]
        found = self.relay.model(model, changed)
        assert found.current == expected.current
        assert {name: expected.checkpoints[name] for name in changed} == found.checkpoints
        for name in ("rules", "creator", "genesis", "budget", "carry", "settled_rounds", "next_seed", "validators"):
            assert getattr(found, name) == getattr(expected, name), name
        assert found.stakes == expected.stakes

    def compare_everything(self) -> None:
        """Compare all models with all checkpoints, all balances and wallets."""
        for model in self.state.models:
            self.compare_model(model, LedgerState())
        for owner in ACCOUNTS:
            assert self.relay.free(owner) == self.state.free.get(owner, 0)
            assert self.relay.wallet(owner) == self.state.wallets.get(owner, 0)

    def _reference(self, sender: Address, command: commands.Command) -> Outcome:
        try:
            self.state, recorded = apply(self.state, command, sender, self.now)
        except RuleViolation as violation:
            return violation.reason
        return recorded

    def _contract(self, sender: Address, command: commands.Command) -> Outcome:
        self.relay.evm.now = self.now
        try:
            return self.relay.send(sender, command)
        except RuleViolation as violation:
            return violation.reason


@pytest.mark.parametrize("seed", SEEDS)
def test_random_histories(seed: int) -> None:
    pair, driver = Pair(), Driver(seed)
    refused = settled = 0
    for _ in range(STEPS):
        pair.now = driver.tick(pair.state, pair.now)
        outcome = pair.execute(*driver.step(pair.state, pair.now))
        refused += isinstance(outcome, Reason)
        settled += not isinstance(outcome, Reason) and any(isinstance(event, events.RoundSettled) for event in outcome)
    pair.compare_everything()
    assert len(pair.state.models) == MODELS
    assert 0 < refused < STEPS / 3, "most steps do something, some are refused"
    assert settled > 0, "some rounds are settled"
