"""The JSON form of a lineage proof: what the API answers and `derelayl lineage proof` reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from derelayl_protocol.limits import MAX_MANIFEST_BYTES

from ..fields import Hex32, HexAddress

FORMAT: Literal["derelayl-proof/1"] = "derelayl-proof/1"

MAX_STEPS = 100_000
"""Steps of one proof: the longest lineage anyone is willing to check in one go."""

ProofStatus = Literal["genesis", "submitted", "selected", "rejected"]
"""As much of a checkpoint's status as the event that a proof names can show: ``rejected`` is any other ending."""

Count = Annotated[int, Field(ge=0, lt=2**53)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LedgerReference(_Strict):
    """Where an event stands on the chain: ask any node of that chain for the receipt of the transaction."""

    chain_id: Count = Field(description="EIP-155 chain id")
    ledger: HexAddress = Field(description="Address of the ledger contract that emitted the event")
    block_number: Count
    block_hash: Hex32
    transaction_hash: Hex32
    log_index: Count = Field(description="Index of the log in its block")
    event: str = Field(max_length=32, description="Name of the ledger's event, such as LegSubmitted")


class HeaderMembership(_Strict):
    """A manifest's header and the RFC 9162 audit path from its leaf, number 0, to the checkpoint's root.

    The leaf is the byte 0x01 followed by the header's UTF-8 text.
    """

    header: str = Field(max_length=MAX_MANIFEST_BYTES, description="Canonical JSON text of the header, byte for byte")
    leaf_count: Count = Field(description="Leaves of the Merkle tree: 1 + number of chunks")
    path: tuple[Hex32, ...] = Field(max_length=32, description="Siblings from the leaf to the root")


class ProofStep(_Strict):
    """One checkpoint on the way from the one asked for to its genesis."""

    root: Hex32
    parent: Hex32 = Field(description="Root of the parent; 64 zeros for a genesis")
    owner: HexAddress = Field(description="Trainer of the leg, or creator of a genesis")
    round: Count
    leg: Count | None = Field(description="Number of the leg in its round; null for a genesis")
    status: ProofStatus
    gain_ppm: int | None = Field(description="Score against the parent in ppm of a log-loss ratio; null if not judged")
    recorded: LedgerReference = Field(description="The event that tied this root to its parent")
    settled: LedgerReference | None = Field(description="The event that decided on it; null while it waits")
    manifest: HeaderMembership | None = Field(description="null where this node does not hold the manifest")


class Proof(_Strict):
    """A lineage, nearest checkpoint first, with all that is needed to check it against the chain."""

    format: Literal["derelayl-proof/1"] = FORMAT
    network: str = Field(max_length=64)
    model: Hex32
    steps: tuple[ProofStep, ...] = Field(max_length=MAX_STEPS)
    next: str | None = Field(description="URL of the continuation towards genesis; null if the last step is a genesis")
