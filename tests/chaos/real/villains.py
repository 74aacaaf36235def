"""Peers in an adversary's hands, as processes: the node's own code with one part exchanged before it starts.

Only a process that was forked for it is turned; whoever plays and whoever is honest never calls this.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import trio
from tests.chaos import adversaries as bad

from derelayl_node import peer
from derelayl_node.evm.client import EvmLedger
from derelayl_node.keys import NodeKey
from derelayl_node.network.discovery import Discovery
from derelayl_node.network.host import Libp2pNetwork, open_network
from derelayl_node.network.identity import peer_id_of
from derelayl_node.ports import CheckpointStore, PeerId
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.ledger.commands import Command, SubmitLeg
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.types import Digest, ModelId, Root, Wei

FLOOD_SECONDS = 1.0
FLOOD_MESSAGES = 50
"""Announcements each FLOOD_SECONDS, of roots that nobody has."""

REPLAY_SECONDS = 1.0
REMEMBERED = 100
"""Announcements that are said again."""

SYBILS = 8
"""Identities beside its own under which an eclipser dials everybody; each costs this process a whole host."""

INVENTED = 400
"""Peers of its own that it tells of: more than a book takes from one teller, as many as one answer holds."""


def turn(villain: str) -> None:
    """Make this process play the adversary of this name. Raises KeyError for one that only the virtual world has."""
    TURNS[villain]()


def _exchange(owner: object, name: str, part: object) -> None:
    """Put another part in the place of one that this process has not used yet."""
    getattr(owner, name)  # a name that is gone is an error of ours
    setattr(owner, name, part)


class _Instead:
    """A store as the network sees it, one answer of which is another."""

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Corrupt(_Instead):
    def chunk(self, digest: Digest) -> bytes | None:
        data = self._store.chunk(digest)
        return None if data is None else bytes([data[0] ^ 1]) + data[1:]


class _Empty(_Instead):
    def chunk(self, digest: Digest) -> bytes | None:
        return None


def _serve_from(kind: type[_Instead]) -> None:
    @asynccontextmanager
    async def opened(secret: bytes, *, store: CheckpointStore, **more: Any) -> AsyncIterator[Libp2pNetwork]:
        async with open_network(secret, store=kind(store), **more) as network:
            yield network

    _exchange(peer, "open_network", opened)


def _flood() -> None:
    @asynccontextmanager
    async def opened(secret: bytes, *, models: list[ModelId], **more: Any) -> AsyncIterator[Libp2pNetwork]:
        async with open_network(secret, models=models, **more) as network, trio.open_nursery() as nursery:
            nursery.start_soon(_announce_nothing, network, models[0], NodeKey(secret))
            yield network
            nursery.cancel_scope.cancel()

    _exchange(peer, "open_network", opened)


async def _announce_nothing(network: Libp2pNetwork, model: ModelId, key: NodeKey) -> None:
    sent = 0
    while True:
        await trio.sleep(FLOOD_SECONDS)
        for _ in range(FLOOD_MESSAGES):
            sent += 1
            root = Root(hashlib.sha256(b"flood %d" % sent).digest())
            await network.announce(Announcement(model, 1 + sent % 7, root, key.address))


def _replay() -> None:
    heard: list[Announcement] = []
    listen = Libp2pNetwork.next_announcement

    async def next_announcement(network: Libp2pNetwork) -> tuple[PeerId, Announcement]:
        news = await listen(network)
        heard.append(news[1])
        del heard[:-REMEMBERED]
        return news

    @asynccontextmanager
    async def opened(secret: bytes, **more: Any) -> AsyncIterator[Libp2pNetwork]:
        async with open_network(secret, **more) as network, trio.open_nursery() as nursery:
            nursery.start_soon(_say_again, network, heard)
            yield network
            nursery.cancel_scope.cancel()

    _exchange(Libp2pNetwork, "next_announcement", next_announcement)
    _exchange(peer, "open_network", opened)


async def _say_again(network: Libp2pNetwork, heard: list[Announcement]) -> None:
    while True:
        await trio.sleep(REPLAY_SECONDS)
        for news in tuple(heard):
            await network.announce(news)


def _copy() -> None:
    send = EvmLedger.send

    async def copying(
        ledger: EvmLedger, command: Command, key: str | None = None, *, cover: Wei | None = None
    ) -> tuple[Event, ...]:
        if isinstance(command, SubmitLeg):
            view = await ledger.round(command.model)
            others = [leg.child for number, leg in enumerate(view.legs) if leg.submitted and number != command.leg]
            own = view.legs[command.leg] if command.leg < len(view.legs) else None
            if own is not None:
                command = replace(command, child=others[0] if others else own.parent)
        return await send(ledger, command, key, cover=cover)

    _exchange(EvmLedger, "send", copying)


def _eclipse() -> None:
    invented = [peer_id_of(hashlib.sha256(b"eclipse %d" % number).digest()) for number in range(INVENTED)]

    def to_tell(discovery: Discovery, asker: PeerId) -> bytes:
        own = list(discovery._own_addresses())
        at = own[0].rpartition("/p2p/")[0]
        return "\n".join([*own, *(f"{at}/p2p/{name}" for name in invented)]).encode()

    async def dial_as(secret: bytes, bootstrap: list[str]) -> None:
        async with open_network(secret, store=MemoryStore(), bootstrap=bootstrap):
            await trio.sleep_forever()

    @asynccontextmanager
    async def opened(secret: bytes, *, bootstrap: list[str], **more: Any) -> AsyncIterator[Libp2pNetwork]:
        async with open_network(secret, bootstrap=bootstrap, **more) as network, trio.open_nursery() as nursery:
            for number in range(SYBILS):
                nursery.start_soon(dial_as, hashlib.sha256(secret + bytes([number])).digest(), bootstrap)
            yield network
            nursery.cancel_scope.cancel()

    _exchange(Discovery, "_to_tell", to_tell)
    _exchange(peer, "open_network", opened)


TURNS: Mapping[str, Callable[[], None]] = {
    bad.CorruptDonor.__name__: lambda: _serve_from(_Corrupt),
    bad.WithholdingDonor.__name__: lambda: _serve_from(_Empty),
    bad.CopiedChild.__name__: _copy,
    bad.GossipFlood.__name__: _flood,
    bad.Replay.__name__: _replay,
    bad.Eclipse.__name__: _eclipse,
}
