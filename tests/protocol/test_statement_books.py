"""Books from events: they refuse a log that contradicts itself, and equal the ledger to the wei after every command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import Command, Deposit
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.statement import places
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.story import round_of
from derelayl_protocol.statement.transfers import LogContradiction
from derelayl_protocol.types import NO_ROOT, Address, ModelId, Ppm, Timestamp, Wei

from .relay import GENESIS, JUDGES, OWNER, RULES, STRANGER, TRAINERS, recover, root
from .statements import AuditedRelay
from .test_ledger_machine import LedgerMachine

few = settings(max_examples=max(1, settings().max_examples // 4), stateful_step_count=12)  # each step audits all


def settled() -> list[ev.Event]:
    """The log of a relay that has settled a round of two legs."""
    relay = AuditedRelay()
    relay.whole_round((200, 100), (3_000, 2_000))
    return relay.audit.events


def test_a_model_that_was_never_created_is_a_contradiction() -> None:
    with pytest.raises(LogContradiction, match="never created"):
        Books([ev.PhaseChanged(ModelId(root("x")), 1, Phase.BID, Timestamp(0))])


def test_an_event_of_a_round_that_is_not_running_is_a_contradiction() -> None:
    log = settled()
    late = next(event for event in log if isinstance(event, ev.BidPlaced))
    with pytest.raises(LogContradiction, match=r"round 1 of model 0x[0-9a-f]{64}, which is not running"):
        Books([*log, late])


def test_a_settlement_of_a_leg_nobody_leased_is_a_contradiction() -> None:
    log = settled()
    zero = Wei(0)
    about = round_of(log[-1])
    assert about is not None
    with pytest.raises(LogContradiction, match="never leased"):
        Books([*log, ev.LegSettled(*about, 7, GENESIS, Ppm(0), True, zero, zero, zero, zero)])


@pytest.mark.parametrize("change", [{"bid_returned": 999}, {"forfeited": 99}])
def test_a_settlement_that_returns_or_takes_what_was_not_bid_is_a_contradiction(change: dict[str, Any]) -> None:
    log = settled()
    place = max(place for place, event in enumerate(log) if isinstance(event, ev.LegSettled))
    bad = log[place]
    assert isinstance(bad, ev.LegSettled)
    with pytest.raises(LogContradiction, match="more than was bid"):
        Books([*log[:place], replace(bad, **change)])


def test_a_royalty_at_an_unknown_checkpoint_is_a_contradiction() -> None:
    log = settled()
    model = next(event.model for event in log if isinstance(event, ev.ModelCreated))
    with pytest.raises(LogContradiction, match="never accepted"):
        Books([*log, ev.AccessBought(model, root("nowhere"), OWNER, Wei(5), Wei(1))])


def test_money_that_is_not_there_is_a_contradiction_that_names_its_place() -> None:
    log = settled()
    model = next(event.model for event in log if isinstance(event, ev.ModelCreated))
    with pytest.raises(LogContradiction, match=f"free balance of {STRANGER} is overdrawn"):
        Books([*log, ev.Withdrawn(STRANGER, Wei(10**9))])
    with pytest.raises(LogContradiction, match=f"unbonding stake of {STRANGER}, model 0x{model.hex()} is overdrawn"):
        Books([*log, ev.StakeReleased(model, STRANGER, Wei(1))])
    with pytest.raises(LogContradiction, match=f"model 0x{model.hex()}, checkpoint 0x{GENESIS.hex()} is overdrawn"):
        Books([*log, ev.RoyaltyCollected(model, GENESIS, OWNER, Wei(10**9), Wei(0), NO_ROOT)])


def test_a_leg_that_its_score_does_not_select_but_its_event_does_is_a_contradiction() -> None:
    log = settled()
    place = max(place for place, event in enumerate(log) if isinstance(event, ev.LegSettled))
    outranked = log[place]
    assert isinstance(outranked, ev.LegSettled)
    with pytest.raises(LogContradiction, match="leg 1 of round 1 is settled as selected, but it is outranked"):
        Books([*log[:place], replace(outranked, selected=True), *log[place + 1 :]])


def test_a_carry_that_the_events_do_not_add_up_to_is_a_contradiction() -> None:
    log = settled()
    place = next(place for place, event in enumerate(log) if isinstance(event, ev.RoundSettled))
    event = log[place]
    assert isinstance(event, ev.RoundSettled)
    with pytest.raises(LogContradiction, match="its events say otherwise"):
        Books([*log[:place], replace(event, carry=Wei(event.carry + 1))])


def test_books_know_every_place_that_was_ever_used_and_what_is_there_now() -> None:
    relay = AuditedRelay()
    relay.whole_round((200, 100), (3_000, 2_000))
    books = Books(relay.audit.events)
    assert books.models() == (relay.model,)
    assert books.held() == places.amounts(relay.state)
    assert places.bid(relay.model, TRAINERS[0]) in books.names() - frozenset(books.held())
    assert books.amount(places.stake(relay.model, JUDGES[0])) == RULES.validator_stake
    assert books.amount(places.wallet(STRANGER)) == -books.amount(places.free(STRANGER))


class StatementMachine(LedgerMachine):
    """The ledger's random histories, with books and statements beside it that see its events only."""

    audited: AuditedRelay | None = None

    def attempt(self, sender: Address, command: Command) -> bool:
        if self.audited is None:  # the relay of this history was made by commands of its own
            self.audited = AuditedRelay(self.relay.held.rules, self.relay.held.budget)
            assert self.audited.state == self.relay.state
        try:
            self.relay.state, events = apply(self.relay.state, command, sender, Timestamp(self.relay.now), recover)
        except RuleViolation:
            return False
        self.audited.audit.take(events)
        self.audited.audit.check(self.relay.state)
        return True


TestStatementMachine = StatementMachine.TestCase
TestStatementMachine.settings = few


def test_an_audit_notices_a_command_whose_events_it_has_not_seen() -> None:
    relay = AuditedRelay()
    with pytest.raises(AssertionError):
        relay.audit.check(apply(relay.state, Deposit(Wei(1)), OWNER, Timestamp(relay.now))[0])
