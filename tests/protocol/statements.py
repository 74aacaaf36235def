"""Statements of a small relay: every command's events are told and booked, and checked against the ledger's state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from derelayl_protocol.ledger.commands import Command
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.state import LedgerState
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.places import amounts
from derelayl_protocol.statement.teller import Line, Teller
from derelayl_protocol.statement.transfers import Kind
from derelayl_protocol.types import Address

from .relay import JUDGES, RULES, Relay


@dataclass
class Audit:
    """Books that only add up, and others that a teller reads: from events alone."""

    books: Books = field(default_factory=Books)
    desk: Books = field(default_factory=Books)
    lines: list[Line] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.teller = Teller(self.desk)

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            self.books.add(event)
            self.desk.note(event)
            self.lines += self.teller.tell(event, len(self.events))
            self.events.append(event)

    def check(self, state: LedgerState) -> None:
        """Books and statements equal the state, to the wei."""
        held = amounts(state)
        assert self.books.held() == held
        assert self.desk.held() == held
        assert self.books.total() == sum(held.values())
        for model, entry in state.models.items():
            for account, leaving in entry.unbonding.items():
                assert self.books.release_times[model, account] == leaving.release_time
        balances: dict[Address | None, int] = {}
        for line in self.lines:
            balances[line.account] = balances.get(line.account, 0) + line.amount
            assert line.balance == balances[line.account], line
        assert {account: free for account, free in balances.items() if free} == dict(state.free)
        assert [line.event for line in self.lines] == sorted(line.event for line in self.lines)


class AuditedRelay(Relay):
    """A relay whose every command is audited."""

    def __init__(self, rules: Rules = RULES, budget: int = 100_000, judges: int = len(JUDGES)) -> None:
        self.audit = Audit()
        super().__init__(rules, budget, judges)

    def do(self, sender: Address, command: Command) -> tuple[Event, ...]:
        events = super().do(sender, command)
        self.audit.take(events)
        self.audit.check(self.state)
        return events

    def told(self, account: Address | None, *kinds: Kind) -> list[str]:
        """The sentences of an account of these kinds, of all kinds if none is named."""
        found = (line for line in self.audit.lines if line.account == account and (not kinds or line.kind in kinds))
        return [line.sentence for line in found]
