"""Reading a network without taking part: the ledger with a throw-away key, the lineage rebuilt from its events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
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
from ..kept import kept_folder
from ..keys import NodeKey
from ..lineage.database import IndexUnusable
from ..lineage.index import LineageIndex
from ..lineage.proof import Chain, Claim, FetchEvent, verify_proof
from ..lineage.proof_format import LedgerReference, Proof
from ..lock import alone_in
from ..ports import AnotherChain, LedgerUnavailable
from ..settings import Network
from .console import say

ModelOption = Annotated[str | None, typer.Option("--model", help="Model id; default: the network file's.")]


INDEX_FILE = "lineage.sqlite"

SAY_SECONDS = 5.0
"""Between two words on how far a long reading is."""

LAG_SECONDS = 30.0
"""How long to wait for a node that is behind what was read before."""


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
    """The ledger and an index of everything on it now, kept for the next command. Raises LedgerUnavailable."""
    async with reading_ledger(network) as ledger:
        with _folder(network) as folder:
            index = await trio.to_thread.run_sync(_open_index, folder / INDEX_FILE)
            try:
                try:
                    await catch_up(ledger, index)
                except AnotherChain as error:
                    if not index.known_blocks():
                        raise
                    say(f"{error} The index that commands keep is made anew.")
                    index.close()
                    _delete(folder / INDEX_FILE)
                    index = await trio.to_thread.run_sync(_open_index, folder / INDEX_FILE)
                    await catch_up(ledger, index)
                yield ledger, index
            finally:
                index.close()


@contextmanager
def _folder(network: Network) -> Iterator[Path]:
    """Where the index is: kept, unless another command is at it or nothing can be kept."""
    kept = kept_folder(network.ledger_id, network.start_block)
    with ExitStack() as stack:
        if kept is None or not stack.enter_context(alone_in(kept)):
            kept = Path(stack.enter_context(TemporaryDirectory(prefix="derelayl-")))
        yield kept


def _open_index(path: Path) -> LineageIndex:
    """Open what was kept, or begin anew where it is damaged."""
    try:
        return LineageIndex(path)
    except IndexUnusable as error:
        say(f"{error}. It is read again.")
        _delete(path)
        return LineageIndex(path)


def _delete(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):  # SQLite has files beside it
        each.unlink(missing_ok=True)


async def catch_up(ledger: EvmLedger, index: LineageIndex) -> None:
    """Bring the index to the chain's head, with a word now and then. Raises LedgerUnavailable."""
    began = said = trio.current_time()
    while True:
        batch = await ledger.logs(await trio.to_thread.run_sync(index.known_blocks))
        if batch.lagging:
            if trio.current_time() - began > LAG_SECONDS:
                raise LedgerUnavailable("the chain's node is behind what was read before: try again, or use another")
            await trio.sleep(1)
            continue
        await trio.to_thread.run_sync(index.apply, batch)
        began = trio.current_time()
        if not batch.more:
            return
        if began - said >= SAY_SECONDS:
            said = began
            say(f"reading the ledger's log: at block {batch.blocks[-1].number}")


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
