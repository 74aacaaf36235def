"""Which names the ledger has heard of: its views answer by name, and only the event log lists the names.

For commands, which open a ledger for one question and have no lineage index. A node follows the log once, in its
index, and asks that for names.
"""

from __future__ import annotations

import threading

from derelayl_protocol.ledger import events
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import NO_ROOT, Address, ModelId, Root

from .codec import Codec
from .provider import Rpc

BLOCKS_PER_QUERY = 2_000
"""Blocks of one eth_getLogs: what public nodes commonly allow."""

OVERLAP_BLOCKS = 64
"""Blocks that are read again each time, in case a reorg has changed them; names only ever add up."""

NAMED_IN = (events.ModelCreated, events.Staked, events.LegSettled)
"""The events that bring new names."""


class NameIndex:
    """Models, checkpoints and stakers ever seen. A superset: after a reorg it may hold names the ledger has forgotten,
    so whoever uses a name asks the ledger for what stands behind it. Thread safe, synchronous.
    """

    def __init__(self, rpc: Rpc, codec: Codec, ledger: Address, start: int) -> None:
        """`start` is the ledger's first block."""
        self._rpc, self._codec, self._ledger, self._start = rpc, codec, ledger, start
        self._next = start
        self._lock = threading.Lock()
        self._roots: dict[ModelId, dict[Root, None]] = {}
        self._staked: dict[Address, dict[ModelId, None]] = {}

    def update(self, head: int) -> None:
        """Read the log up to the block `head`. Raises LedgerUnavailable."""
        with self._lock:
            first = max(self._start, self._next - OVERLAP_BLOCKS)
            topics = [to_hex(self._codec.topic(event)) for event in NAMED_IN]
            while first <= head:
                last = min(head, first + BLOCKS_PER_QUERY - 1)
                query = {"address": self._ledger, "fromBlock": hex(first), "toBlock": hex(last), "topics": [topics]}
                for log in self._rpc.logs(query):
                    self._note(self._codec.event(log.topics, log.data))
                first = self._next = last + 1

    def models(self) -> tuple[ModelId, ...]:
        """Models in the order of their creation."""
        with self._lock:
            return tuple(self._roots)

    def roots(self, model: ModelId) -> tuple[Root, ...]:
        """Checkpoints of a model in the order of their acceptance."""
        with self._lock:
            return tuple(self._roots.get(model, ()))

    def staked(self, account: Address) -> tuple[ModelId, ...]:
        """Models in which the account has ever staked."""
        with self._lock:
            return tuple(self._staked.get(account, ()))

    def _note(self, event: events.Event) -> None:
        if isinstance(event, events.ModelCreated):
            self._roots.setdefault(event.model, {})[event.genesis] = None
        elif isinstance(event, events.Staked):
            self._staked.setdefault(event.account, {})[event.model] = None
        elif isinstance(event, events.LegSettled) and event.selected and event.child != NO_ROOT:
            self._roots.setdefault(event.model, {})[event.child] = None
