"""The seeder: keeps the live tips and the legs under judgement, so that a checkpoint outlives the peer that made it."""

from __future__ import annotations

import logging

from derelayl_protocol.errors import PeerFault
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.statement.words import short

from ..handoff import FetchFailed
from .kit import Kit

log = logging.getLogger(__name__)

SEED_DEADLINE_SECONDS = 15.0
"""How long one checkpoint may take; a slower one is tried again at the next look."""

SCRUB_REPAIR_SECONDS = 5.0
"""How long it may take to repair an older one: nobody waits for it, and the scrub will remind us."""


class SeederRole:
    """Replicates what the round is about."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def step(self, view: RoundView) -> None:
        """Take over what is missing here, and mend what was damaged. Raises the store's errors."""
        for tip in view.tips:
            try:
                await self._kit.handoff.take(tip.root, SEED_DEADLINE_SECONDS)
            except FetchFailed as error:
                log.info("tip %s: %s", short(tip.root), error)
        for number, leg in enumerate(view.legs):
            if not leg.submitted:
                continue
            try:
                parent = await self._kit.handoff.take(leg.parent, SEED_DEADLINE_SECONDS)
                await self._kit.handoff.take_child(
                    self._kit.model, view.number, leg, parent.manifest, SEED_DEADLINE_SECONDS
                )
            except (PeerFault, FetchFailed) as error:
                log.info("round %d leg %d: %s", view.number, number, error)
        await self._kit.handoff.repair(SCRUB_REPAIR_SECONDS)
