"""Endpoint for whoever wants to know what this node is and what it is at."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import Field

from .lineage import Context
from .schemas import View

router = APIRouter(tags=["node"])


class WorkView(View):
    """The leg that the node's trainer is working on."""

    stage: str = Field(description="idle, fetching, training or submitting")
    round: int
    leg: int | None
    progress: float = Field(description="Share of the training done, in [0, 1]")


class ObstacleView(View):
    """What keeps a part of the node from its work."""

    part: str = Field(description="A role (validator, trainer, keeper, …), or worker: none can be had")
    reason: str = Field(description="One sentence, with what would help where that is known")


class NodeView(View):
    """The node behind this API; an API without a peer has no account, no roles and no peers."""

    account: str | None
    peer_id: str | None
    addresses: tuple[str, ...] = Field(description="Multiaddresses; each serves as a bootstrap address")
    roles: tuple[str, ...]
    stale: str = Field(description="Why what answers is not the index's chain; the node waits for that. Else empty")
    peers: int | None = Field(description="Peers connected now")
    bytes_served: int | None
    bytes_fetched: int | None
    work: WorkView | None = Field(description="null before the first leg, or without the role trainer")
    obstacles: tuple[ObstacleView, ...] = Field(description="Empty where all parts do their work")


@router.get("/v1/node")
def show_node(context: Context, response: Response) -> NodeView:
    """What this node is and what it is doing."""
    response.headers["cache-control"] = "no-store"
    return NodeView.of(context.status())
