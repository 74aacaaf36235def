"""Which names the ledger has heard of: its views answer by name, and only the event log lists the names.

For commands, which open a ledger for one question and have no lineage index. A node follows the log once, in its
index, and asks that for names. What was read is kept in a file, so that the next command reads on from there.
"""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

from derelayl_protocol.ledger import events
from derelayl_protocol.limits import MIB
from derelayl_protocol.spelling import from_hex, to_hex
from derelayl_protocol.types import NO_ROOT, Address, ModelId, Root
from derelayl_training.files import replacing

from .codec import Codec
from .provider import Rpc, TooMuchAsked
from .span import Span

OVERLAP_BLOCKS = 64
"""Blocks that are read again each time, in case a reorg has changed them; names only ever add up."""

SAVE_EVERY_BLOCKS = 10_000
"""Blocks without a new name after which the file is written anyway."""

MAX_FILE_BYTES = 64 * MIB
"""A larger file is not read: it would name half a million checkpoints."""

VERSION = 1

NAMED_IN = (events.ModelCreated, events.Staked, events.LegSettled)
"""The events that bring new names."""

log = logging.getLogger(__name__)


class NameIndex:
    """Models, checkpoints and stakers ever seen. A superset: after a reorg it may hold names the ledger has forgotten,
    so whoever uses a name asks the ledger for what stands behind it. Thread safe, synchronous.
    """

    def __init__(self, rpc: Rpc, codec: Codec, ledger: Address, start: int) -> None:
        """`start` is the ledger's first block."""
        self._rpc, self._codec, self._ledger, self._start = rpc, codec, ledger, start
        self._span = Span()
        self._lock = threading.Lock()
        self._file: Path | None = None
        self._loaded = False
        self._saved_at = self._next = start
        self._new = False
        self._begin()

    def keep_in(self, file: Path) -> None:
        """Go on from what a file has, and write there what is read. One that is damaged, or of another chain, is not
        used, with a word."""
        self._file = file

    def update(self, head: int) -> None:
        """Read the log up to the block `head`, however many ranges that takes. Raises LedgerUnavailable."""
        while self.step(head):
            pass

    def step(self, head: int) -> bool:
        """Read one more range; whether there is more to read up to `head`. Raises LedgerUnavailable."""
        with self._lock:
            self._load()
            first = max(self._start, self._next - min(OVERLAP_BLOCKS, self._span.blocks // 2))
            last = min(head, first + self._span.blocks - 1)
            if first > last:
                return False
            topics = [to_hex(topic) for event in NAMED_IN for topic in self._codec.topics(event)]
            query = {"address": self._ledger, "fromBlock": hex(first), "toBlock": hex(last), "topics": [topics]}
            try:
                found = self._rpc.logs(query)
            except TooMuchAsked:
                self._span.refused(last - first + 1)
                return True
            self._span.answered(last - first + 1)
            for each in found:
                self._note(self._codec.event(each.topics, each.data))
            self._next = max(self._next, last + 1)
            if self._new or self._next - self._saved_at >= SAVE_EVERY_BLOCKS:
                self._save()
            return last < head

    @property
    def next(self) -> int:
        """The first block that has not been read."""
        return self._next

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

    def _begin(self) -> None:
        self._next = self._start
        self._roots: dict[ModelId, dict[Root, None]] = {}
        self._staked: dict[Address, dict[ModelId, None]] = {}

    def _note(self, event: events.Event) -> None:
        if isinstance(event, events.ModelCreated):
            self._add(self._roots.setdefault(event.model, {}), event.genesis)
        elif isinstance(event, events.Staked):
            self._add(self._staked.setdefault(event.account, {}), event.model)
        elif isinstance(event, events.LegSettled) and event.selected and event.child != NO_ROOT:
            self._add(self._roots.setdefault(event.model, {}), event.child)

    def _add(self, names: dict[Any, None], name: Any) -> None:
        self._new = self._new or name not in names
        names[name] = None

    # --- the file -----------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        if self._file is None or not self._file.exists():
            return
        try:
            if self._file.stat().st_size > MAX_FILE_BYTES:
                raise ValueError("it is too large")
            anchor, digest = self._parse(json.loads(self._file.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._begin()
            log.warning("%s is not used (%s): the ledger's names are read from the chain again", self._file, error)
            return
        block = self._rpc.block(anchor)
        if block is None or block.ref.hash != digest:
            self._begin()
            log.warning("%s is of another chain: the ledger's names are read again", self._file)
        self._saved_at = self._next

    def _parse(self, document: Any) -> tuple[int, bytes]:
        """Take a file's names over; the block by which its chain is recognised."""
        if (document["version"], document["ledger"], document["start"]) != (VERSION, self._ledger, self._start):
            raise ValueError("it is of another ledger or version")
        roots = {
            ModelId(from_hex(model)): {Root(from_hex(root)): None for root in named}
            for model, named in document["roots"].items()
        }
        staked = {
            Address(account): {ModelId(from_hex(model)): None for model in named}
            for account, named in document["staked"].items()
        }
        self._next, self._roots, self._staked = int(document["next"]), roots, staked
        return int(document["anchor"]["number"]), from_hex(document["anchor"]["hash"])

    def _save(self) -> None:
        """Write the file, if there is one, with a block far enough back that no reorganisation replaces it."""
        self._new, self._saved_at = False, self._next
        if self._file is None:
            return
        anchor = self._rpc.block(max(self._start, self._next - 1 - OVERLAP_BLOCKS))
        if anchor is None:
            return
        document = {
            "version": VERSION,
            "ledger": self._ledger,
            "start": self._start,
            "next": self._next,
            "anchor": {"number": anchor.ref.number, "hash": to_hex(anchor.ref.hash)},
            "roots": {to_hex(model): [to_hex(root) for root in named] for model, named in self._roots.items()},
            "staked": {account: [to_hex(model) for model in named] for account, named in self._staked.items()},
        }
        try:
            with replacing(self._file, shared=True) as part:
                part.write_text(json.dumps(document), encoding="utf-8")
        except OSError as error:
            log.warning("%s cannot be written (%s): the next command reads the names again", self._file, error)
