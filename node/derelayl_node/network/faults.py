"""What is remembered of peers that broke the protocol."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ..ports import PeerId

MAX_FAULTS = 3
"""Faults after which a peer is refused: a flipped bit may happen once, no honest peer is wrong three times."""

REFUSE_SECONDS = 600.0
"""How long it is refused, counted from its last fault; then it starts afresh."""

MAX_REMEMBERED = 1024
"""Peers with a fault that are remembered; the longest-known goes first. New identities are free: more is no help."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Record:
    count: int
    last: float


class FaultLedger:
    """Counts faults of each peer and says who is refused."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` gives monotonic seconds."""
        self._now = now
        self._records: OrderedDict[PeerId, _Record] = OrderedDict()

    def blame(self, peer: PeerId, why: str) -> None:
        """Count one fault of `peer`."""
        _log.warning("peer %s broke the protocol: %s", peer, why)
        record = self._fresh(peer) or self._records.setdefault(peer, _Record(0, 0.0))
        record.count += 1
        record.last = self._now()
        while len(self._records) > MAX_REMEMBERED:
            self._records.popitem(last=False)

    def is_refused(self, peer: PeerId) -> bool:
        """Say whether nothing is exchanged with `peer` now."""
        record = self._fresh(peer)
        return record is not None and record.count >= MAX_FAULTS

    def count(self, peer: PeerId) -> int:
        """Faults of `peer` that are remembered."""
        record = self._fresh(peer)
        return record.count if record else 0

    def _fresh(self, peer: PeerId) -> _Record | None:
        record = self._records.get(peer)
        if record is not None and self._now() - record.last >= REFUSE_SECONDS:
            del self._records[peer]
            return None
        return record
