"""Fetching one checkpoint from many peers at once, by its root, into the store.

Works through the ports `PeerNetwork` and `CheckpointStore` only. Every chunk is stored as it comes and the manifest
last, so a fetch that was killed goes on where it was: only what is not in the store is asked for.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.fetching import FetchPlan
from derelayl_protocol.checkpoint.manifest import Manifest, ManifestRejected, parse_manifest, root_of
from derelayl_protocol.errors import Ignored, PeerFault
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.types import Digest, Root

from ..failures import Failure
from ..groups import ungrouped
from ..ports import CheckpointStore, NotForYou, PeerId, PeerNetwork, PeerUnreachable, StoreDamaged

CHUNKS_PER_REQUEST = 4
"""Chunks asked of one peer at once: what is lost with a peer, and small enough that progress shows on a slow line."""

MAX_SOURCES = 8
"""Peers asked at once."""

HEAD_START_SECONDS = 1.0
"""Before one more peer is asked for the manifest while the first has not answered: one answer is enough."""

RETRY_SECONDS = 2.0
"""Before a peer that did not answer, or lacked something, is asked again."""

REFUSALS = 2
"""How often a peer may refuse the chunks before it is not asked again: its view of the ledger may be a little old."""

SLOW_SECONDS = 2.0
"""Before idle peers are asked, too, for what another has not sent; twice as long after each time, so that a slow line
is not filled with copies."""

STALL_SECONDS = 90.0
"""A fetch that gets nothing for this long has failed; longer than one peer may stall within its own deadlines."""

CHECKED_AT_ONCE = 64
"""Chunks read back from the store in one turn of a thread, so that a fetch can be cancelled between them."""

MAX_NAMED = 5
"""Peers or chunks that an error message names."""

_log = logging.getLogger(__name__)

in_thread = trio.to_thread.run_sync
"""How the store is used; under a clock that jumps while threads work, tests use it in line."""


class FetchFailed(Failure):
    """The checkpoint is not complete; the message says what is missing and who was asked. What came is kept.

    `answered` says whether any peer said a word: if none did, this node may be the one that is cut off.
    """

    def __init__(self, message: str, *, answered: bool = True) -> None:
        super().__init__(message)
        self.answered = answered


@dataclass(frozen=True, slots=True)
class FetchResult:
    """A checkpoint that is now complete in the store, and what it took.

    `peers` sent chunks or the manifest, `bad_peers` sent something wrong; `chunks` and `bytes_fetched` are what came
    now.
    """

    manifest: Manifest
    bytes_fetched: int
    chunks: int
    peers: tuple[PeerId, ...]
    bad_peers: tuple[PeerId, ...]


async def fetch_checkpoint(
    network: PeerNetwork,
    store: CheckpointStore,
    root: Root,
    *,
    hints: Sequence[PeerId] = (),
    deadline_seconds: float,
    verify: Callable[[Manifest], None],
    authenticate: Callable[[Manifest], None] = lambda manifest: None,
) -> FetchResult:
    """Bring a checkpoint into the store.

    `hints` are asked first, then all connected peers. `verify` sees the manifest, whose root is checked, before any
    chunk is asked for, and raises what it likes. `authenticate` checks what the root does not cover, the signature: its
    PeerFault is the fault of the peer that sent the manifest, and the next peer is asked. It is called in a thread.
    Raises FetchFailed, StoreFull, and what `verify` raises.
    """
    fetch = _Fetch(network, store, root, hints, authenticate)
    with _explained(fetch, deadline_seconds):
        return await fetch.run(verify)


async def fetch_manifest(
    network: PeerNetwork,
    store: CheckpointStore,
    root: Root,
    *,
    deadline_seconds: float,
    authenticate: Callable[[Manifest], None],
) -> Manifest:
    """A checkpoint's manifest alone, from the store or from a peer; it is not kept. Raises FetchFailed."""
    fetch = _Fetch(network, store, root, (), authenticate)
    with _explained(fetch, deadline_seconds):
        return (await fetch.manifest())[1]


@contextmanager
def _explained(fetch: _Fetch, deadline_seconds: float) -> Iterator[None]:
    """Turn what ends a fetch into FetchFailed, with what is missing."""
    try:
        with ungrouped(), trio.fail_after(deadline_seconds):
            yield
    except trio.TooSlowError:
        raise fetch.failed(f"it took longer than {deadline_seconds:g} s") from None
    except _AllRefuse:
        raise fetch.failed("every peer refuses it") from None
    except _Stalled:
        raise fetch.failed(f"nothing arrived for {STALL_SECONDS:g} s") from None


class _Stalled(Exception):
    """Nothing came for STALL_SECONDS."""


class _AllRefuse(Exception):
    """Every peer there is gives the chunks to others only."""


class _Fetch:
    """One fetch: the tasks that ask peers, and what is known of the peers."""

    def __init__(
        self,
        network: PeerNetwork,
        store: CheckpointStore,
        root: Root,
        hints: Sequence[PeerId],
        authenticate: Callable[[Manifest], None],
    ) -> None:
        self._network = network
        self._store = store
        self._root = root
        self._authenticate = authenticate
        self._hints = tuple(dict.fromkeys(hints))
        self._plan: FetchPlan | None = None
        self._failures: dict[PeerId, str] = {}
        self._bad: dict[PeerId, None] = {}
        self._refusals: Counter[PeerId] = Counter()
        self._asking: set[PeerId] = set()
        self._idle = 0  # peers that wait for something to ask them for
        self._requests: dict[PeerId, tuple[float, trio.CancelScope]] = {}
        self._patience = SLOW_SECONDS
        self._answered = False
        self._ask_again: dict[PeerId, float] = {}
        self._changed = trio.Event()
        self._last_progress = trio.current_time()
        self._manifest_from: PeerId | None = None

    async def run(self, verify: Callable[[Manifest], None]) -> FetchResult:
        wire, manifest = await self.manifest()
        verify(manifest)
        present = await self._present(manifest)
        plan = self._plan = FetchPlan(manifest, present, in_flight_per_peer=CHUNKS_PER_REQUEST)
        await self._ask_for_chunks(plan)
        await in_thread(self._store.put_manifest, self._root, wire)
        peers = dict.fromkeys((*plan.bytes_from, *([self._manifest_from] if self._manifest_from else [])))
        fetched = len({chunk.digest for chunk in manifest.chunks} - present)
        return FetchResult(manifest, plan.bytes_fetched, fetched, tuple(peers), tuple(self._bad))

    def failed(self, why: str) -> FetchFailed:
        """What to raise: one sentence on what is missing and who was asked."""
        missing = "its manifest" if self._plan is None else f"{self._plan.bytes_missing} bytes of its chunks"
        asked = [f"{peer} ({reason})" for peer, reason in sorted(self._failures.items())]
        named = "; ".join(asked[:MAX_NAMED]) + (
            f"; and {len(asked) - MAX_NAMED} more" if len(asked) > MAX_NAMED else ""
        )
        tried = f"asked: {named}" if asked else "no peer was connected" if not self._candidates() else "nobody refused"
        hint = f"; buy access with `derelayl model buy {to_hex(self._root)}`" if self._refusals else ""
        message = f"checkpoint {self._root.hex()} is not complete, {missing} is missing: {why}; {tried}{hint}"
        return FetchFailed(message, answered=self._answered)

    async def manifest(self) -> tuple[bytes, Manifest]:
        return await self._local_manifest() or await self._ask_for_manifest()

    # --- manifest -----------------------------------------------------------------------------------------------------

    async def _local_manifest(self) -> tuple[bytes, Manifest] | None:
        try:
            wire = await in_thread(self._store.manifest, self._root)
            return None if wire is None else (wire, await in_thread(self._checked_manifest, wire))
        except (StoreDamaged, PeerFault) as error:
            _log.warning("fetching a manifest again: %s", error)
            return None

    async def _ask_for_manifest(self) -> tuple[bytes, Manifest]:
        found: list[tuple[PeerId, bytes, Manifest]] = []

        async def ask(peer: PeerId) -> None:
            wire = await self._network.request_manifest(peer, self._root)
            self._answered = True
            if wire is None:
                self._failures[peer] = "it has not the manifest"
                return
            manifest = await in_thread(self._checked_manifest, wire)
            found.append((peer, wire, manifest))

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            while not found:
                self._start_asking(nursery, ask, at_once=1 + int((trio.current_time() - began) / HEAD_START_SECONDS))
                await self._wait_for_change()
            nursery.cancel_scope.cancel()
        peer, wire, manifest = found[0]
        self._manifest_from = peer
        self._ask_again.clear()
        return wire, manifest

    def _checked_manifest(self, wire: bytes) -> Manifest:
        """Parse a manifest and compare its root before anything in it is believed. Raises PeerFault."""
        manifest = parse_manifest(wire)
        if (found := root_of(manifest)) != self._root:
            raise ManifestRejected(f"the manifest has the root {found.hex()}, but {self._root.hex()} was asked for")
        self._authenticate(manifest)
        return manifest

    # --- chunks -------------------------------------------------------------------------------------------------------

    async def _present(self, manifest: Manifest) -> set[Digest]:
        """Digests of the chunks that the store has, each read back and checked."""
        digests = tuple(dict.fromkeys(chunk.digest for chunk in manifest.chunks))
        present: set[Digest] = set()
        for start in range(0, len(digests), CHECKED_AT_ONCE):
            present |= await in_thread(self._read_back, digests[start : start + CHECKED_AT_ONCE])
        return present

    def _read_back(self, digests: Sequence[Digest]) -> set[Digest]:
        present = set()
        for digest in digests:
            try:
                if self._store.chunk(digest) is not None:
                    present.add(digest)
            except StoreDamaged as error:
                _log.warning("fetching a chunk again: %s", error)
        return present

    async def _ask_for_chunks(self, plan: FetchPlan) -> None:
        async def ask(peer: PeerId) -> None:
            plan.add_peer(peer)
            try:
                while not plan.done:
                    if asked := plan.next_request(peer):
                        await self._request(plan, peer, asked)
                    elif plan.stuck:
                        self._failures[peer] = "it has not the chunks"
                        return
                    else:
                        self._idle += 1
                        try:
                            await self._changed.wait()
                        finally:
                            self._idle -= 1
            finally:
                plan.lost(peer)

        async with trio.open_nursery() as nursery:
            while not plan.done:
                self._start_asking(nursery, ask)
                self._share(plan)
                await self._wait_for_change()
            for _, request in self._requests.values():  # others have sent what these were asked for
                request.cancel()

    def _share(self, plan: FetchPlan) -> None:
        """Let idle peers be asked for what a peer is slow to send; whoever sends it first counts."""
        late = trio.current_time() - self._patience
        slow = [peer for peer, (since, _) in self._requests.items() if since <= late]
        if self._idle and sum(map(plan.share, slow)):
            self._patience *= 2
            self._progress(advanced=False)

    async def _request(self, plan: FetchPlan, peer: PeerId, asked: Sequence[Digest]) -> None:
        """Ask for chunks and store what comes; nothing comes of it once others have sent them all."""
        with trio.CancelScope() as request:
            self._requests[peer] = trio.current_time(), request
            try:
                chunks = await self._network.request_chunks(peer, asked)
            finally:
                del self._requests[peer]
        if not request.cancelled_caught:
            self._answered = True
            await self._take(plan, peer, asked, chunks)

    async def _take(
        self, plan: FetchPlan, peer: PeerId, asked: Sequence[Digest], chunks: Mapping[Digest, HashedChunk]
    ) -> None:
        """Store what came and was asked for. Raises PeerFault for anything else."""
        for chunk in chunks.values():
            plan.received(peer, chunk)
            await in_thread(self._store.put_chunk, chunk)
            self._progress()
        plan.missing(peer, [digest for digest in asked if digest not in chunks])
        self._progress(advanced=False)

    # --- peers --------------------------------------------------------------------------------------------------------

    def _start_asking(
        self, nursery: trio.Nursery, ask: Callable[[PeerId], Awaitable[None]], *, at_once: int = MAX_SOURCES
    ) -> None:
        now = trio.current_time()
        for peer in self._candidates():
            if len(self._asking) >= min(at_once, MAX_SOURCES):
                return
            if peer not in self._asking and self._ask_again.get(peer, now) <= now:
                self._asking.add(peer)
                nursery.start_soon(self._guard, peer, ask)

    async def _guard(self, peer: PeerId, ask: Callable[[PeerId], Awaitable[None]]) -> None:
        """Ask one peer; its absence and its faults end only its own task."""
        try:
            await ask(peer)
        except PeerUnreachable as error:
            self._failures[peer] = str(error)
        except NotForYou:
            self._answered = True
            self._failures[peer] = "it gives the chunks to accounts with access only"
            self._refusals[peer] += 1
        except PeerFault as error:
            self._answered = True
            _log.warning("peer %s sent something wrong: %s", peer, error)
            self._failures[peer] = f"it sent something wrong: {error}"
            self._bad[peer] = None
        except Ignored as error:
            _log.debug("late answer of peer %s: %s", peer, error)
        finally:
            self._asking.discard(peer)
            self._ask_again[peer] = trio.current_time() + RETRY_SECONDS
            self._progress(advanced=False)

    def _candidates(self) -> tuple[PeerId, ...]:
        every = dict.fromkeys((*self._hints, *self._network.peers()))
        return tuple(
            peer
            for peer in every
            if peer not in self._bad and self._refusals[peer] < REFUSALS and peer != self._network.peer_id
        )

    def _progress(self, *, advanced: bool = True) -> None:
        if advanced:
            self._last_progress = trio.current_time()
        self._changed.set()
        self._changed = trio.Event()

    async def _wait_for_change(self) -> None:
        with trio.move_on_after(RETRY_SECONDS / 2):
            await self._changed.wait()
        if self._refusals and not self._asking and not self._candidates():
            raise _AllRefuse
        if trio.current_time() - self._last_progress > STALL_SECONDS:
            raise _Stalled
