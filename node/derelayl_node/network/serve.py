"""Answers to strangers: manifests and chunks out of the store."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable

import trio
from libp2p.abc import INetStream

from derelayl_protocol.checkpoint.messages import (
    COUNT_BYTES,
    encode_answer_length,
    encode_refusal,
    parse_chunks_count,
    parse_digests,
    parse_manifest_request,
)
from derelayl_protocol.errors import LocalFault, PeerFault
from derelayl_protocol.limits import MAX_CHUNK_BYTES, MAX_MANIFEST_BYTES
from derelayl_protocol.types import HASH_BYTES, Address, Digest

from ..ports import CheckpointStore, LedgerUnavailable, PeerId, StoreDamaged
from .identity import address_of
from .wire import StreamFailed, closing, read_exactly, write

MAX_STREAMS_PER_PEER = 8
"""Streams that one peer may hold open here; our own client opens at most four to a peer."""

MAX_STREAMS = 256
"""Streams of all peers together; each holds at most one chunk in memory."""

MAX_DISK_READS = 4
"""Threads that read the store for strangers."""

Admit = Callable[[Address | None, Digest], Awaitable[bool]]
"""Whether an account, or a peer without one, may have a chunk. Raises LedgerUnavailable if that cannot be told now."""


async def everybody(account: Address | None, digest: Digest) -> bool:
    """An `Admit` for open models."""
    return True


_log = logging.getLogger(__name__)


class Server:
    """The stream handlers of the two request protocols. A handler ends within its deadlines and raises for no peer."""

    def __init__(
        self,
        store: CheckpointStore,
        is_refused: Callable[[PeerId], bool],
        blame: Callable[[PeerId, str], None],
        admit: Admit = everybody,
    ) -> None:
        self._store = store
        self._admit = admit
        self._is_refused = is_refused
        self._blame = blame
        self._open: Counter[PeerId] = Counter()
        self._disk = trio.CapacityLimiter(MAX_DISK_READS)
        self.bytes_served = 0

    async def handle_manifest(self, stream: INetStream) -> None:
        """Answer one request for a manifest."""
        await self._handle(stream, self._answer_manifest)

    async def handle_chunks(self, stream: INetStream) -> None:
        """Answer requests for chunks until the client closes."""
        await self._handle(stream, self._answer_chunks)

    async def _handle(self, stream: INetStream, answer: Callable[[INetStream], Awaitable[None]]) -> None:
        peer = str(stream.muxed_conn.peer_id)
        if self._is_refused(peer) or self._open[peer] >= MAX_STREAMS_PER_PEER or self._open.total() >= MAX_STREAMS:
            await stream.reset()
            return
        self._open[peer] += 1
        try:
            async with closing(stream):
                await answer(stream)
        except StreamFailed as error:
            _log.debug("peer %s was not served: %s", peer, error)
        except PeerFault as error:
            self._blame(peer, str(error))
        except (LocalFault, LedgerUnavailable) as error:
            _log.warning("peer %s was not served: %s", peer, error)
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]

    async def _answer_manifest(self, stream: INetStream) -> None:
        root = parse_manifest_request(await read_exactly(stream, HASH_BYTES))
        await self._send(stream, await self._read(lambda: self._store.manifest(root)), MAX_MANIFEST_BYTES)

    async def _answer_chunks(self, stream: INetStream) -> None:
        while prefix := await read_exactly(stream, COUNT_BYTES, or_end=True):
            count = parse_chunks_count(prefix)
            account = address_of(str(stream.muxed_conn.peer_id))  # proven by the handshake of the connection
            for digest in parse_digests(await read_exactly(stream, count * HASH_BYTES), count):
                data = await self._read(lambda digest=digest: self._store.chunk(digest))  # type: ignore[misc]
                if data is not None and not await self._admit(account, digest):
                    await write(stream, encode_refusal())
                else:
                    await self._send(stream, data, MAX_CHUNK_BYTES)

    async def _read(self, read: Callable[[], bytes | None]) -> bytes | None:
        """Read the store in a thread; what our disk has damaged is simply not here, the store keeps the details."""
        try:
            return await trio.to_thread.run_sync(read, limiter=self._disk)
        except (StoreDamaged, LocalFault) as error:
            _log.warning("a stranger's request met a fault of our store: %s", error)
            return None

    async def _send(self, stream: INetStream, data: bytes | None, most: int) -> None:
        await write(stream, encode_answer_length(None if data is None else len(data), most) + (data or b""))
        self.bytes_served += len(data or b"")
