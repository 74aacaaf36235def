"""The owner: collects the royalties that wait at the account's own checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.commands import CollectRoyalty
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import Root

from ..refusals import sentence_of
from .kit import Kit

log = logging.getLogger(__name__)

COLLECT_STEPS = 8
"""Steps towards genesis in one call: at gamma = 1/2 they move more than 99 % of what came in."""


Waiting = Callable[[], Awaitable[Iterable[Root] | None]]
"""Finds those of the account's checkpoints where royalties wait; None while the log is not read to its end."""


class OwnerRole:
    """Collects once a round, from the parents of the round that has just been settled."""

    def __init__(self, kit: Kit, waiting: Waiting) -> None:
        """`waiting` is asked until it knows, once: for what came in while this node was away."""
        self._kit = kit
        self._waiting: Waiting | None = waiting
        self._round = 0
        self._continued: set[Root] = set()

    async def step(self, view: RoundView) -> None:
        """Act on one look at the round. Raises LedgerUnavailable, and what `waiting` raises."""
        if view.number != self._round:
            await self._collect(self._continued)
            self._round, self._continued = view.number, set()
        self._continued |= {leg.parent for leg in view.legs if leg.owner == self._kit.ledger.account}
        if self._waiting is not None and (roots := await self._waiting()) is not None:
            await self._collect(roots)
            self._waiting = None

    async def _collect(self, roots: Iterable[Root]) -> None:
        for root in sorted(roots):
            try:
                await self._kit.ledger.send(CollectRoyalty(self._kit.model, root, COLLECT_STEPS))
            except RuleViolation as refusal:
                log.warning("royalties of %s not collected: %s", short(root), sentence_of(refusal))
