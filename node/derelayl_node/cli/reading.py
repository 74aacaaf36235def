"""Reading a network without taking part: the ledger with a throw-away key, the lineage rebuilt from its events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import trio
import typer

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.spelling import from_hex, parse_hash
from derelayl_protocol.types import Address, LedgerId, ModelId, Root

from ..evm.client import EvmLedger, open_network_ledger
from ..keys import NodeKey
from ..lineage.index import LineageIndex
from ..lineage.proof import Chain, Claim, FetchEvent, verify_proof
from ..lineage.proof_format import LedgerReference, Proof
from ..settings import Network

ModelOption = Annotated[str | None, typer.Option("--model", help="Model id; default: the network file's.")]


@asynccontextmanager
async def reading_ledger(network: Network) -> AsyncIterator[EvmLedger]:
    """The ledger with a key of its own for this once, and an outbox that stays empty. Raises LedgerUnavailable."""
    with TemporaryDirectory(prefix="derelayl-") as folder:
        ledger = await open_network_ledger(network, NodeKey.generate(), Path(folder))
        try:
            yield ledger
        finally:
            ledger.close()


@asynccontextmanager
async def reading(network: Network) -> AsyncIterator[tuple[EvmLedger, LineageIndex]]:
    """The ledger and an index of everything on it now, both gone afterwards. Raises LedgerUnavailable."""
    with TemporaryDirectory(prefix="derelayl-") as folder:
        async with reading_ledger(network) as ledger:
            index = LineageIndex(Path(folder) / "lineage.sqlite")
            try:
                await catch_up(ledger, index)
                yield ledger, index
            finally:
                index.close()


async def catch_up(ledger: EvmLedger, index: LineageIndex) -> None:
    """Bring the index to the chain's head."""
    more = True
    while more:
        batch = await ledger.logs(await trio.to_thread.run_sync(index.known_blocks))
        await trio.to_thread.run_sync(index.apply, batch)
        more = batch.more


async def verify(network: Network, proof: Proof) -> list[Claim]:
    """Check every claim of a lineage proof against the network's chain, read from its start. Raises LedgerUnavailable.

    ProofMalformed for a proof without steps.
    """
    async with reading(network) as (_, index):
        return verify_proof(proof, fetch_from(index, network.ledger_id))


def fetch_from(index: LineageIndex, ledger: LedgerId) -> FetchEvent:
    """Read the events of this ledger from an index that was built from the chain itself."""

    def fetch(place: LedgerReference) -> Event | None:
        if LedgerId(place.chain_id, Address(place.ledger)) != ledger:
            return None
        return index.event(from_hex(place.block_hash), from_hex(place.transaction_hash), place.log_index)

    return fetch


def chain_of(network: Network) -> Chain:
    """The ledger that proofs refer to."""
    return Chain(network.name, network.ledger_id)


def root_of(text: str) -> Root:
    """Parse a checkpoint's root. Raises LocalFault."""
    return Root(parse_hash(text, "a checkpoint's root"))


def model_of(text: str | None, network: Network) -> ModelId:
    """The model asked for, else the network's own. Raises LocalFault."""
    if text is None and network.model is None:
        raise LocalFault("the network file names no model: pass --model 0x…")
    return ModelId(parse_hash(text or str(network.model), "a model's id"))
