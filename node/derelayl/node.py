"""Reading a running network from Python: a node's REST API, and the chain where its word is not enough."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from derelayl_node.api.client import Document, NodeClient

if TYPE_CHECKING:
    from derelayl_node.lineage.proof import Claim, FetchEvent
    from derelayl_node.lineage.proof_format import Proof


@dataclass(frozen=True, slots=True)
class Node:
    """A node's REST API at `url`; any node answers, also one that does not train. Roots and ids are 0x and 64 digits.

    Methods raise `derelayl_node.api.client.NodeSilent` when the node does not answer, or refuses. They block: inside a
    trio program use `NodeClient`, which this wraps.
    """

    url: str

    def get(self, path: str) -> Document:
        """Ask for one document, e.g. `/v1/node`; docs/INTEGRATION.md lists the paths and `/openapi.json` the fields."""
        return trio.run(NodeClient(self.url).get, path)

    def items(self, path: str) -> list[Document]:
        """Ask for all entries of a paged list, e.g. `/v1/models`."""
        return trio.run(NodeClient(self.url).items, path)

    def lineage(self, root: str) -> list[Document]:
        """A checkpoint and what it was made from, the nearest first, its genesis last: the node's word."""
        return [self.get(f"/v1/checkpoints/{root}"), *self.items(f"/v1/checkpoints/{root}/ancestors")]

    def proof(self, root: str) -> Proof:
        """The lineage with all that is needed to check it without trusting the node. Raises ProofMalformed too."""
        from derelayl_node.lineage.proof import join_pages

        return join_pages(trio.run(NodeClient(self.url).pages, f"/v1/checkpoints/{root}/proof"))

    def verify(self, root: str, chain: Path | FetchEvent) -> list[Claim]:
        """Check every claim of the lineage; it is good if all statements hold (`statement.holds`).

        `chain` is a network file, whose chain is then read from its start, or a function from a place on the ledger to
        the event there, None if there is none. Raises ProofMalformed, LedgerUnavailable too.
        """
        proof = self.proof(root)
        if not isinstance(chain, Path):
            from derelayl_node.lineage.proof import verify_proof

            return verify_proof(proof, chain)
        from derelayl_node.cli.reading import verify
        from derelayl_node.settings import Network

        return trio.run(verify, Network.read(chain), proof)
