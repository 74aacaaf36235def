"""What the demo asks the peers over their REST API, as any user could."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from derelayl_protocol.checkpoint.ancestry import Edge
from derelayl_protocol.types import UNAVAILABLE, Address, ModelId, Ppm, Root

from ..failures import Failure

REQUEST_SECONDS = 10.0
PAGE = 200
IN_MID_LEG = (0.02, 0.95)
"""Between these fractions of its steps a leg is in the middle: begun for certain, and not over."""


class NodeSilent(Failure):
    """The node's API did not answer as it should."""


@dataclass(frozen=True, slots=True)
class NodeApi:
    """One node's API."""

    url: str

    async def is_training(self, round_number: int) -> bool:
        """Whether the node is in the middle of a leg of the round."""
        work = (await self._get("/v1/node"))["work"]
        if work is None or work["stage"] != "training" or work["round"] != round_number:
            return False
        return bool(IN_MID_LEG[0] <= work["progress"] <= IN_MID_LEG[1])

    async def edges(self, model: ModelId, through_round: int) -> tuple[Edge, ...]:
        """The node's lineage of a model through a round."""
        return tuple([_edge(item) async for item in self._checkpoints(model) if 0 < item["round"] <= through_round])

    async def _checkpoints(self, model: ModelId) -> AsyncIterator[dict[str, Any]]:
        path: str | None = f"/v1/models/0x{model.hex()}/checkpoints?limit={PAGE}"
        while path is not None:
            page = await self._get(path)
            for item in page["items"]:
                yield item
            path = page["next"]

    async def _get(self, path: str) -> dict[str, Any]:
        try:
            async with httpx.AsyncClient(base_url=self.url, timeout=REQUEST_SECONDS) as client:
                response = await client.get(path)
            response.raise_for_status()
            return dict(response.json())
        except (httpx.HTTPError, ValueError) as error:
            raise NodeSilent(f"{self.url}{path}: {error!r}; see the peer's log.txt") from error


def _edge(item: dict[str, Any]) -> Edge:
    return Edge(
        child=Root(bytes.fromhex(item["root"][2:])),
        parent=Root(bytes.fromhex(item["parent"][2:])),
        trainer=Address(item["trainer"]),
        round=item["round"],
        leg=item["leg"],
        segment=item["segment"],
        score=UNAVAILABLE if item["gain_ppm"] is None else Ppm(item["gain_ppm"]),
        selected=item["status"] == "selected",
    )
