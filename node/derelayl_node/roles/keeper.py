"""The keeper: moves a round on when its time is over. Every peer is one: a stranger may enforce any deadline."""

from __future__ import annotations

import logging

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.spelling import to_hex

from ..refusals import sentence_of
from .duties import overdue, patience
from .kit import Kit

log = logging.getLogger(__name__)


class Keeper:
    """Sends the overdue command of the running round, when it is this account's turn and nobody else has."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._due: tuple[int, Phase] | None = None
        self._due_since = 0.0

    async def step(self, view: RoundView) -> None:
        """Act on one look at the round. Raises LedgerUnavailable."""
        now = self._kit.clock.now()
        if overdue(self._kit.model, view, now) is None:
            self._due = None
            return
        if self._due != (view.number, view.phase):
            self._due, self._due_since = (view.number, view.phase), now
        if now - self._due_since >= patience(view, self._kit.rules, self._kit.ledger.account):
            await self._act(view.number, view.phase)

    async def _act(self, number: int, phase: Phase) -> None:
        """Send what a fresh look still finds overdue: another keeper's transaction may have come in meanwhile."""
        view = await self._kit.ledger.round(self._kit.model)
        command = overdue(self._kit.model, view, self._kit.clock.now())
        if command is None or (view.number, view.phase) != (number, phase):
            return
        try:
            await self._kit.ledger.send(command, f"end of {phase.name} in round {number} of {to_hex(self._kit.model)}")
        except RuleViolation as refusal:
            # Another peer was faster, or the chain's clock is a little behind ours: the next look tells.
            log.info("round %d: %s was not needed: %s", number, type(command).__name__, sentence_of(refusal))
