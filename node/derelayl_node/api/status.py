"""What the API tells about the node it runs in, given by whoever wires the node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from fastapi import Request
from sqlalchemy import Connection

from derelayl_protocol.types import Address, Root

from ..lineage.database import nobody_left
from ..lineage.index import LineageIndex
from ..lineage.proof import Chain
from .readers import KINDS, Kind, Readers

MAX_LAG_SECONDS = 120.0
"""An index that has not seen the chain's head for this long is reported as unhealthy."""

Manifests = Callable[[Root], bytes | None]
"""The wire bytes of a manifest, None if this node has none. Called in a thread."""


@dataclass(frozen=True, slots=True)
class Work:
    """The leg that a trainer is at. `stage` is idle, fetching, training or submitting; `progress` is in [0, 1]."""

    stage: str
    round: int
    leg: int | None
    progress: float


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why `part` (a role, or the worker) does not do its work now; one sentence."""

    part: str
    reason: str


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A moment's state. None where the process has no such part (an API without a peer has no peers).

    `lag_seconds` is the time since the index last held everything the chain had, `error` why it does not, in one
    sentence. `stale` says likewise that what answers is not the chain which the index was read from. Both may be empty.
    """

    chain_reachable: bool
    lag_seconds: float | None
    error: str = ""
    stale: str = ""
    peers: int | None = None
    bytes_served: int | None = None
    bytes_fetched: int | None = None
    account: Address | None = None
    peer_id: str | None = None
    addresses: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    work: Work | None = None
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether the index keeps up with its chain."""
        if self.stale:
            return False
        return self.chain_reachable and self.lag_seconds is not None and self.lag_seconds <= MAX_LAG_SECONDS


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Everything the endpoints may use."""

    index: LineageIndex
    chain: Chain
    manifests: Manifests
    status: Callable[[], NodeStatus]
    readers: Mapping[Kind, Readers] = field(default_factory=lambda: {kind: Readers(kind) for kind in KINDS})
    given_up: Callable[[], bool] = nobody_left

    def reading(self) -> AbstractContextManager[Connection]:
        """One snapshot of the index, given up when the request's client leaves."""
        return self.index.reading(self.given_up)

    def of_client(self, given_up: Callable[[], bool]) -> ApiContext:
        """The context of one request."""
        return replace(self, given_up=given_up)


async def context_of(request: Request) -> ApiContext:
    """Return the context of the app that serves this request."""
    context: ApiContext = request.app.state.context
    return context
