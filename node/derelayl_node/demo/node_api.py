"""What the demo asks the peers over their REST API, as any user could."""

from __future__ import annotations

from derelayl_protocol.checkpoint.ancestry import Edge
from derelayl_protocol.spelling import from_hex, to_hex
from derelayl_protocol.types import UNAVAILABLE, Address, ModelId, Ppm, Root

from ..api.client import Document, NodeClient

PAGE = 200
IN_MID_LEG = (0.02, 0.95)
"""Between these fractions of its steps a leg is in the middle: begun for certain, and not over."""


class NodeApi(NodeClient):
    """One node's API. Every method raises NodeSilent."""

    async def is_training(self, round_number: int) -> bool:
        """Whether the node is in the middle of a leg of the round."""
        work = (await self.get("/v1/node"))["work"]
        if work is None or work["stage"] != "training" or work["round"] != round_number:
            return False
        return bool(IN_MID_LEG[0] <= work["progress"] <= IN_MID_LEG[1])

    async def edges(self, model: ModelId, through_round: int) -> tuple[Edge, ...]:
        """The node's lineage of a model through a round."""
        items = await self.items(f"/v1/models/{to_hex(model)}/checkpoints?limit={PAGE}")
        return tuple(_edge(item) for item in items if 0 < item["round"] <= through_round)


def _edge(item: Document) -> Edge:
    return Edge(
        child=Root(from_hex(item["root"])),
        parent=Root(from_hex(item["parent"])),
        trainer=Address(item["trainer"]),
        round=item["round"],
        leg=item["leg"],
        segment=item["segment"],
        score=UNAVAILABLE if item["gain_ppm"] is None else Ppm(item["gain_ppm"]),
        selected=item["status"] == "selected",
    )
