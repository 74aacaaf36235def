"""Who keeps a place when strangers want them all: identities cost nothing, so their number must count for nothing."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from derelayl_protocol.types import Address

from ..ports import PeerId
from .identity import address_of

MAX_INBOUND = 128
"""Connections that are accepted at one time."""

MAX_INBOUND_STRANGERS = 96
"""Of MAX_INBOUND, those that strangers may keep; the rest stays free for regulars."""

MAX_FROM_ORIGIN = 32
"""Of MAX_INBOUND, those from one origin: a quarter, which still leaves a NAT with many peers its connections."""

MAX_PARTICIPANTS = 64
"""Accounts of the ledger that are remembered as regulars: a round has places for 32 bids."""

MAX_SERVERS = 16
"""Peers that are regulars because they gave valid chunks last, as any stranger can who has fetched some."""

MAX_ACCOUNTS = 4096
"""Peer ids whose account is remembered."""

Participants = Callable[[], Collection[Address]]
"""Accounts that take part in the running round."""


def nobody() -> Collection[Address]:
    """`Participants` of a node that follows no round."""
    return ()


class Regulars:
    """Bootstrap peers, peers whose accounts took part in a round, and those that gave valid chunks lately."""

    def __init__(self, participants: Participants = nobody) -> None:
        self._participants = participants
        self._bootstrap: set[PeerId] = set()
        self._took_part: OrderedDict[PeerId, None] = OrderedDict()
        self._served: OrderedDict[PeerId, None] = OrderedDict()

    def add_bootstrap(self, peer: PeerId) -> None:
        """Make a peer that this node was given a regular for good."""
        self._bootstrap.add(peer)

    def look(self, peers: Iterable[PeerId]) -> None:
        """Recognise those of `peers` whose accounts take part now."""
        if accounts := self._participants():
            for peer in peers:
                if _account(peer) in accounts:
                    _remember(self._took_part, peer, MAX_PARTICIPANTS)

    def served(self, peer: PeerId) -> None:
        """Note that a peer gave valid chunks."""
        _remember(self._served, peer, MAX_SERVERS)

    def is_bootstrap(self, peer: PeerId) -> bool:
        """Whether this node was given the peer."""
        return peer in self._bootstrap

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._bootstrap or peer in self._took_part or peer in self._served


class Held(NamedTuple):
    """A connection that a stranger has opened to us."""

    peer: PeerId
    origin: str


def excess(held: Sequence[Held], most: int) -> set[PeerId]:
    """Whom to hang up on so that at most `most` connections are left: the newest of the most crowded origin, in turn.

    `held` is the oldest first.
    """
    left, gone = list(held), set[PeerId]()
    crowd = Counter(each.origin for each in left)
    while len(left) > most:
        most_crowded = max(crowd.values())
        newest = next(each for each in reversed(left) if crowd[each.origin] == most_crowded)
        gone.add(newest.peer)
        crowd -= Counter(each.origin for each in left if each.peer == newest.peer)
        left = [each for each in left if each.peer != newest.peer]
    return gone


def origin_of(host: str) -> str:
    """The network that an IP address is of, /24 or for IPv6 /48; empty on loopback, where one machine is all there is.

    Whoever has one address has all of such a network for little money.
    """
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return ""
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


@lru_cache(MAX_ACCOUNTS)
def _account(peer: PeerId) -> Address | None:
    return address_of(peer)


def _remember(memory: OrderedDict[PeerId, None], peer: PeerId, most: int) -> None:
    memory[peer] = None
    memory.move_to_end(peer)
    while len(memory) > most:
        memory.popitem(last=False)
