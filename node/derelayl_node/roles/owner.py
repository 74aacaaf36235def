"""The owner: collects the royalties that wait at the account's own checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from derelayl_protocol.errors import RuleViolation
from derelayl_protocol.ledger.commands import CollectRoyalty
from derelayl_protocol.ledger.state import ModelState, RoundView
from derelayl_protocol.types import ModelId, Root

from ..ports import Ledger

log = logging.getLogger(__name__)

COLLECT_STEPS = 8
"""Steps towards genesis in one call: at gamma = 1/2 they move more than 99 % of what came in."""


class OwnerRole:
    """Collects once a round, from the parents of the round that has just been settled."""

    def __init__(self, ledger: Ledger, model: ModelId) -> None:
        self._ledger = ledger
        self._model = model
        self._round = 0
        self._continued: set[Root] = set()

    async def join(self, state: ModelState) -> None:
        """Collect what came in while this node was away."""
        own = (root for root, record in state.checkpoints.items() if record.owner == self._ledger.account)
        await self._collect(root for root in own if state.checkpoints[root].pending > 0)

    async def step(self, view: RoundView) -> None:
        """Act on one look at the round. Raises LedgerUnavailable."""
        if view.number != self._round:
            await self._collect(self._continued)
            self._round, self._continued = view.number, set()
        self._continued |= {leg.parent for leg in view.legs if leg.owner == self._ledger.account}

    async def _collect(self, roots: Iterable[Root]) -> None:
        for root in sorted(roots):
            try:
                await self._ledger.send(CollectRoyalty(self._model, root, COLLECT_STEPS))
            except RuleViolation as refusal:
                log.warning("royalties of 0x%s not collected: %s", root.hex()[:8], refusal)
