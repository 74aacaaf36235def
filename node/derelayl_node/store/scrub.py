"""Reading a whole store back, a little at a time: what a disk has damaged shows while other peers still have it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from derelayl_protocol.checkpoint.manifest import Chunk, parse_manifest
from derelayl_protocol.errors import PeerFault
from derelayl_protocol.limits import MIB
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import Digest, Root

from ..ports import Inventory, StoreDamaged

BYTES_PER_SECOND = 1 * MIB
"""Read and hashed: about a thousandth of a core, and 86 GB a day."""

MOST_BYTES = 4 * MIB
"""At once, however long ago the last time was: a few milliseconds of a thread."""

PAUSE_SECONDS = 30.0
"""Between the end of one pass and the next, so that a small store is not read all the time."""

FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 6 * 3600.0
"""Before a checkpoint that could not be repaired is told of again; each pause is twice the last one. Trying takes
seconds, in which a seeder takes over nothing else: a thousand lost checkpoints may take a quarter of its time."""

MIN_BYTES = 4096
"""A file counts as at least this much: opening it costs as much as reading a page."""

log = logging.getLogger(__name__)


class Scrub:
    """Passes over the checkpoints of a store. Blocking: use a thread, one at a time."""

    def __init__(self, store: Inventory) -> None:
        self._store = store
        self._seen: set[Root] = set()
        self._pauses: dict[Root, tuple[float, float]] = {}  # how long, and until when
        self._pass = self._read_all()
        self._resting_until = 0.0
        self._due: float = MOST_BYTES
        self._last: float | None = None

    def go_on(self, now: float) -> Root | None:
        """Read on for as many bytes as are due at `now` (monotonic seconds), or until a checkpoint is found wanting.

        Each is returned once a pass, one that could not be repaired only after its pause. Raises StoreDamaged for an
        unreadable folder.
        """
        elapsed = 0.0 if self._last is None else now - self._last
        self._last = now
        if now < self._resting_until:
            return None
        self._due = min(self._due + elapsed * BYTES_PER_SECOND, MOST_BYTES)
        while self._due >= 0:
            found = next(self._pass, None)
            if found is None:
                self._pass, self._resting_until = self._read_all(), now + PAUSE_SECONDS
                return None
            if not isinstance(found, int):
                if now >= self._pauses.get(found, (0.0, now))[1]:
                    return found
                found = 0
            self._due -= max(found, MIN_BYTES)
        return None

    def failed(self, root: Root, now: float) -> None:
        """Note that a checkpoint could not be repaired."""
        last, _ = self._pauses.get(root, (0.0, now))
        pause = min(max(FIRST_PAUSE_SECONDS, 2 * last), LONGEST_PAUSE_SECONDS)
        self._pauses[root] = (pause, now + pause)

    def _read_all(self) -> Iterator[Root | int]:
        """Yield how many bytes were read, after each file, and the root of each checkpoint that is not whole."""
        good: set[Digest] = set()
        self._seen.update(self._store.roots())  # one whose manifest was moved aside since is no longer listed
        for root in sorted(self._seen):
            try:
                wire = self._store.manifest(root)
            except StoreDamaged as damage:
                log.warning("%s", damage)
                yield root
                continue
            if wire is None:
                yield root
                continue
            yield len(wire)
            whole = True
            for chunk in _chunks(root, wire):
                if chunk.digest not in good:
                    if self._is_good(chunk):
                        good.add(chunk.digest)
                    else:
                        whole = False
                    yield chunk.length
            if whole:
                self._pauses.pop(root, None)
            else:
                yield root

    def _is_good(self, chunk: Chunk) -> bool:
        try:
            return self._store.chunk(chunk.digest) is not None
        except StoreDamaged as damage:
            log.warning("%s", damage)
            return False


def _chunks(root: Root, wire: bytes) -> tuple[Chunk, ...]:
    try:
        return parse_manifest(wire).chunks
    except PeerFault as fault:
        log.warning("the manifest of %s in the store is none: %s", short(root), fault)
        return ()
