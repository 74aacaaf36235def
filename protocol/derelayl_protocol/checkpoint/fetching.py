"""The plan of fetching one checkpoint's missing chunks from many peers, without I/O.

The caller moves the bytes; the plan says which peer to ask for what, and whether what came was asked for.
The same calls in the same order give the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeAlias

from .. import limits
from ..errors import Ignored, LocalFault, PeerFault
from ..types import Digest
from .chunk import HashedChunk
from .manifest import Manifest

Peer: TypeAlias = str
"""The name of a peer, as the network has it."""

MAX_IN_FLIGHT = 64
"""Chunks asked for and not yet here, all peers together: at most 64 MiB of memory, and what a killed fetch loses."""

MAX_IN_FLIGHT_PER_PEER = limits.MAX_DIGESTS_PER_REQUEST
"""Chunks asked of one peer: one full request."""


@dataclass(slots=True)
class _Source:
    """What the plan knows of one peer: chunks asked of it, in order, and chunks that it said it lacks.

    `covered` are chunks asked of it that another has sent in the meantime.
    """

    in_flight: dict[Digest, None] = field(default_factory=dict)
    lacks: set[Digest] = field(default_factory=set)
    covered: set[Digest] = field(default_factory=set)


class FetchPlan:
    """Which chunks are missing, who was asked for them and who may be asked next.

    A digest is here, waits, or is in flight at one peer; only what a slow peer was asked for may be asked of a second.
    """

    def __init__(
        self,
        manifest: Manifest,
        have: AbstractSet[Digest],
        *,
        in_flight: int = MAX_IN_FLIGHT,
        in_flight_per_peer: int = MAX_IN_FLIGHT_PER_PEER,
    ) -> None:
        if in_flight < 1 or in_flight_per_peer < 1:
            raise LocalFault(f"{in_flight} chunks in flight, {in_flight_per_peer} per peer: both are at least 1")
        self._lengths = {chunk.digest: chunk.length for chunk in manifest.chunks if chunk.digest not in have}
        self._waiting = dict.fromkeys(self._lengths)  # a dict for its order; what comes back goes to the end
        self._in_flight = 0
        self._most = in_flight
        self._most_per_peer = in_flight_per_peer
        self._sources: dict[Peer, _Source] = {}
        self._refused: set[Peer] = set()
        self._bytes_from: dict[Peer, int] = {}
        self._bytes_missing = sum(self._lengths.values())

    @property
    def done(self) -> bool:
        """Whether every chunk is here."""
        return not self._waiting and not self._in_flight

    @property
    def stuck(self) -> bool:
        """Whether chunks are missing, none is in flight, and every peer lacks all of them."""
        if self.done or self._in_flight:
            return False
        return all(self._waiting.keys() <= source.lacks for source in self._sources.values())

    @property
    def bytes_fetched(self) -> int:
        """Bytes received and found right."""
        return sum(self._bytes_from.values())

    @property
    def bytes_missing(self) -> int:
        """Bytes still to come."""
        return self._bytes_missing

    @property
    def bytes_from(self) -> Mapping[Peer, int]:
        """Bytes received and found right, by the peer that sent them."""
        return dict(self._bytes_from)

    def add_peer(self, peer: Peer) -> bool:
        """Take the peer as a source and return True; False if it sent something wrong earlier.

        Adding a peer again makes the plan ask it anew for what it lacked.
        """
        if peer in self._refused:
            return False
        self._sources.setdefault(peer, _Source()).lacks.clear()
        return True

    def next_request(self, peer: Peer) -> tuple[Digest, ...]:
        """Return what to ask of this peer now, and count it as asked; empty if there is nothing for it now.

        Never more than MAX_DIGESTS_PER_REQUEST, nor what another peer was asked for and did not have to share. What is
        left is shared fairly, so that the first peer to come does not take it all.
        """
        source = self._sources.get(peer)
        if source is None:
            return ()
        fair = -(-(len(self._waiting) + self._in_flight) // len(self._sources))
        room = min(self._most_per_peer, fair, max(1, self._most // len(self._sources))) - len(source.in_flight)
        room = min(room, self._most - self._in_flight, limits.MAX_DIGESTS_PER_REQUEST)
        asked = _first(room, self._waiting, source.lacks | source.in_flight.keys())
        for digest in asked:
            del self._waiting[digest]
        source.in_flight.update(dict.fromkeys(asked))
        self._in_flight += len(asked)
        return asked

    def received(self, peer: Peer, chunk: HashedChunk) -> None:
        """Count a chunk as here; its digest names its bytes, as its type says.

        Raises PeerFault if it is not what was asked for, and drops the peer; Ignored if it is no source any more.
        """
        source, digest, size = self._source(peer), chunk.digest, len(chunk.data)
        if digest in source.covered:
            return
        if digest not in source.in_flight:
            raise self._refuse(peer, f"chunk {digest.hex()}, which it was not asked for")
        if size != self._lengths[digest]:
            raise self._refuse(peer, f"chunk {digest.hex()} of {size} bytes, expected are {self._lengths[digest]}")
        self._waiting.pop(digest, None)
        for name, other in self._sources.items():
            if digest in other.in_flight:
                del other.in_flight[digest]
                self._in_flight -= 1
                if name != peer:
                    other.covered.add(digest)
        self._bytes_from[peer] = self._bytes_from.get(peer, 0) + size
        self._bytes_missing -= size

    def missing(self, peer: Peer, digests: Sequence[Digest]) -> None:
        """Note that the peer lacks chunks it was asked for; others are asked next.

        Raises PeerFault for a chunk it was not asked for, and drops the peer; Ignored if it is no source any more.
        """
        source = self._source(peer)
        for digest in digests:
            if digest in source.covered:
                continue
            if digest not in source.in_flight:
                raise self._refuse(peer, f"word of chunk {digest.hex()}, which it was not asked for")
            source.lacks.add(digest)
            self._return(source, digest)

    def lost(self, peer: Peer) -> None:
        """Forget the peer, which hung up or was too slow; others are asked for what it did not send."""
        source = self._sources.pop(peer, _Source())
        for digest in tuple(source.in_flight):
            self._return(source, digest)

    def share(self, slow: Peer) -> bool:
        """Let others be asked, too, for what a slow peer was asked for; returns whether there is anything new."""
        source = self._sources.get(slow, _Source())
        alone = [digest for digest in source.in_flight if digest not in self._waiting and self._askers(digest) == 1]
        self._waiting.update(dict.fromkeys(alone))
        return bool(alone)

    def _source(self, peer: Peer) -> _Source:
        if peer not in self._sources:
            raise Ignored(f"peer {peer} is no source of this fetch")
        return self._sources[peer]

    def _refuse(self, peer: Peer, sent: str) -> PeerFault:
        """Drop the peer for good and return the fault to raise."""
        self.lost(peer)
        self._refused.add(peer)
        return PeerFault(f"peer {peer} sent {sent}")

    def _return(self, source: _Source, digest: Digest) -> None:
        del source.in_flight[digest]
        self._in_flight -= 1
        if not self._askers(digest):
            self._waiting[digest] = None

    def _askers(self, digest: Digest) -> int:
        return sum(digest in source.in_flight for source in self._sources.values())


def _first(most: int, waiting: Mapping[Digest, None], lacks: AbstractSet[Digest]) -> tuple[Digest, ...]:
    """Return the first `most` of `waiting` that are not in `lacks`."""
    found: list[Digest] = []
    for digest in waiting:
        if len(found) >= most:
            break
        if digest not in lacks:
            found.append(digest)
    return tuple(found)
