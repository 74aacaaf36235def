"""Multiaddresses of peers: how they are read, and what of them can be dialled."""

from __future__ import annotations

from functools import lru_cache

from multiaddr import Multiaddr  # type: ignore[import-untyped]
from multiaddr.exceptions import Error as MultiaddrError  # type: ignore[import-untyped]

from derelayl_protocol.errors import PeerFault

from ..ports import PeerId
from .identity import parse_peer_id

MAX_PARSED = 4096
"""Addresses that are remembered as read: in a network of 64 everybody tells all of them four times a minute."""

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


@lru_cache(MAX_PARSED)
def parse_address(text: str) -> tuple[PeerId, Multiaddr]:
    """Split a TCP multiaddress into its peer id and the rest. Raises PeerFault."""
    try:
        whole = Multiaddr(text)
        names = [protocol.name for protocol in whole.protocols()]
        if names not in (
            ["ip4", "tcp", "p2p"],
            ["ip6", "tcp", "p2p"],
            ["dns4", "tcp", "p2p"],
            ["dns6", "tcp", "p2p"],
            ["dns", "tcp", "p2p"],
        ):
            raise PeerFault("expected /ip4/ADDRESS/tcp/PORT/p2p/PEER (or ip6, dns, dns4, dns6)")
        peer = str(whole.value_for_protocol("p2p"))
        return str(parse_peer_id(peer)), whole.decapsulate(Multiaddr(f"/p2p/{peer}"))
    except (MultiaddrError, ValueError) as error:
        raise PeerFault(f"not a multiaddress: {error}") from None


def is_wildcard(address: Multiaddr) -> bool:
    """Whether the address stands for all interfaces of a machine."""
    return any(f"/{wildcard}/" in str(address) for wildcard in WILDCARDS)


def reachable(address: Multiaddr, seen_at: tuple[str, int] | None) -> Multiaddr:
    """Replace "all interfaces" by the IP address that the peer was seen at."""
    if seen_at is None or not is_wildcard(address):
        return address
    kind = "ip6" if ":" in seen_at[0] else "ip4"
    return Multiaddr(f"/{kind}/{seen_at[0]}/tcp/{address.value_for_protocol('tcp')}")
