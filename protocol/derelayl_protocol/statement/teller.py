"""The teller: one line on an account's statement for each thing that moved its money, or that should have and did not.

An account's lines add up to its free balance after each of them. A settlement tells of a leg before the pot is known,
so its first events are held back until one comes that ends them, and are told then, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..ledger import events as ev
from ..types import Address, ModelId, Wei
from . import sentences
from .places import free
from .remarks import Remark, remarks
from .story import round_of
from .transfers import Desk, Kind, Transfer, transfers

HELD = (
    ev.BidReturned,
    ev.DepositReturned,
    ev.LegSettled,
    ev.ValidatorPaid,
    ev.ValidatorCharged,
    ev.ValidatorSlashed,
)
"""Events whose reason only a later event of the same transaction gives."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `amount` changes the free balance to `balance`; 0 where only a reason is given.

    `event` is the place in the log that the line was told with. `account` is None for a line about a round as a whole.
    """

    event: int
    account: Address | None
    kind: Kind
    amount: Wei
    balance: Wei
    model: ModelId | None
    round: int | None
    sentence: str


class Teller:
    """Reads a log event by event and tells every account's lines; the desk is what it remembers by."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._held: list[tuple[int, ev.Event]] = []

    def tell(self, event: ev.Event, number: int) -> list[Line]:
        """Book the event with this place in the log; what was held back comes first. Raises LogContradiction."""
        if isinstance(event, HELD):
            self._held.append((number, event))
            return []
        return [*self.finish(), *self._lines(event, number, None)]

    def finish(self) -> list[Line]:
        """Tell what is held back: needed only where a log ends in the middle of a transaction."""
        held, self._held = self._held, []
        lines: list[Line] = []
        for place, (number, event) in enumerate(held):
            before = held[place - 1][1] if place else None
            lines += self._lines(event, number, before)
        return lines

    def _lines(self, event: ev.Event, number: int, before: ev.Event | None) -> Iterator[Line]:
        about = round_of(event)
        story = None if about is None or isinstance(event, ev.PhaseChanged) else self._desk.story(*about)
        model, round = getattr(event, "model", None), getattr(event, "round", None)
        for transfer in transfers(event, self._desk):
            self._desk.move(transfer)
            if transfer.account is not None:
                text = sentences.of(transfer, event, story, before)
                amount, balance = _change(transfer), self._desk.amount(free(transfer.account))
                yield Line(number, transfer.account, transfer.kind, amount, balance, model, round, text)
        for remark in remarks(event, story, self._desk):
            yield Line(number, remark.account, remark.kind, Wei(0), self._balance(remark), model, round, remark.text)

    def _balance(self, remark: Remark) -> Wei:
        return Wei(0) if remark.account is None else self._desk.amount(free(remark.account))


# --- Inside -----------------------------------------------------------------------------------------------------------


def _change(transfer: Transfer) -> Wei:
    """What the transfer does to the free balance of the account whose line it is."""
    place = None if transfer.account is None else free(transfer.account)
    return Wei(transfer.amount * ((transfer.target == place) - (transfer.source == place)))
