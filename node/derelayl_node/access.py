"""Who gets the chunks of a paid model: whoever the ledger lets, and those who work on the running round.

Which account asks is known from the connection: the identity key of a libp2p host is its ledger key, and the Noise
handshake proves that the host has it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

import trio

from derelayl_protocol.checkpoint.manifest import parse_manifest
from derelayl_protocol.errors import PeerFault
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import Address, Digest, ModelId, Root

from .ports import Clock, Inventory, Ledger, Registry, StoreDamaged

log = logging.getLogger(__name__)

MAX_REMEMBERED = 4096
"""Accounts with access, and accounts refused, that are remembered; the longest known goes first."""

REFUSED_SECONDS = 1.5
"""How long a refused account is refused unasked: bounds what it costs the ledger; over before a fetch asks again."""

Key = TypeVar("Key", bound=Hashable)
Known = TypeVar("Known")


def works_on(view: RoundView, account: Address) -> bool:
    """Whether the account trains a leg of the round or judges it, and so needs its checkpoints."""
    return any(leg.trainer == account for leg in view.legs) or any(seat.validator == account for seat in view.seats)


def participants(view: RoundView) -> frozenset[Address]:
    """The accounts that bid in the round, train a leg of it or judge it."""
    return frozenset(
        [bid.trainer for bid in view.bids]
        + [leg.trainer for leg in view.legs]
        + [seat.validator for seat in view.seats]
    )


class Holdings:
    """Which checkpoints of the store a chunk belongs to; each manifest is read once."""

    def __init__(self, store: Inventory) -> None:
        self._store = store
        self._known: set[Root] = set()
        self._roots: dict[Digest, set[Root]] = {}

    def roots_with(self, digest: Digest) -> frozenset[Root]:
        """The checkpoints with the chunk that were complete here at the last refresh."""
        return frozenset(self._roots.get(digest, ()))

    def refresh(self) -> None:
        """Read the manifests that came since the last time. Blocking: use a thread, one at a time."""
        for root in set(self._store.roots()) - self._known:
            self._read(root)

    def _read(self, root: Root) -> None:
        try:
            wire = self._store.manifest(root)
            if wire is None:
                return
            manifest = parse_manifest(wire)
        except (StoreDamaged, PeerFault) as error:
            log.warning("the chunks of %s are not served: %s", short(root), error)
            return
        self._known.add(root)
        for chunk in manifest.chunks:
            self._roots.setdefault(chunk.digest, set()).add(root)


class Doorkeeper:
    """Decides for one paid model which account may have which chunk."""

    def __init__(
        self,
        model: ModelId,
        ledger: Ledger,
        registry: Registry,
        latest: Callable[[], RoundView | None],
        store: Inventory,
        clock: Clock,
    ) -> None:
        """`latest` is this node's last look at the running round, None before the first."""
        self._model = model
        self._ledger = ledger
        self._registry = registry
        self._latest = latest
        self._holdings = Holdings(store)
        self._clock = clock
        self._refreshing = trio.Lock()
        self._open: OrderedDict[tuple[Root, Address], None] = OrderedDict()
        self._refused: OrderedDict[Address, float] = OrderedDict()

    async def admits(self, account: Address | None, digest: Digest) -> bool:
        """Whether the account may have the chunk: with one of its checkpoints, for the round, or as this node's own.

        A peer without an account may not. Raises LedgerUnavailable.
        """
        if account is None:
            return False
        if account == self._ledger.account or self._is_known_to_have_access(account, digest):
            return True
        if self._clock.now() < self._refused.get(account, 0.0):
            return False
        # Before a refusal, look again: the round and the store may have gone on.
        if works_on(await self._ledger.round(self._model), account) or await self._has_access(account, digest):
            return True
        _remember(self._refused, account, self._clock.now() + REFUSED_SECONDS)
        return False

    def _is_known_to_have_access(self, account: Address, digest: Digest) -> bool:
        view = self._latest()
        if view is not None and works_on(view, account):
            return True
        return any((root, account) in self._open for root in self._holdings.roots_with(digest))

    async def _has_access(self, account: Address, digest: Digest) -> bool:
        async with self._refreshing:
            await trio.to_thread.run_sync(self._holdings.refresh)
        for root in sorted(self._holdings.roots_with(digest)):
            if await self._registry.access(self._model, root, account):
                _remember(self._open, (root, account), None)  # access is never taken back
                return True
        return False


def _remember(memory: OrderedDict[Key, Known], key: Key, value: Known) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)
