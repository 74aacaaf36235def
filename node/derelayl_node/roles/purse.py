"""Pay for a command out of the wallet when the free balance on the ledger does not suffice."""

from __future__ import annotations

from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.commands import Command, Deposit
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.types import Wei

from ..ports import Ledger


async def send_paid(ledger: Ledger, command: Command, cost: Wei) -> tuple[Event, ...]:
    """Send a command that locks `cost` wei, after a deposit of as much if the ledger asks for it.

    Raises RuleViolation (also INSUFFICIENT_BALANCE, when the wallet is empty too) and LedgerUnavailable.
    """
    try:
        return await ledger.send(command)
    except RuleViolation as refusal:
        if refusal.reason is not Reason.INSUFFICIENT_BALANCE or cost == 0:
            raise
    await ledger.send(Deposit(cost))
    return await ledger.send(command)
