"""A model's whole history, as the simulator fits its worlds to it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import trio

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.ledger.events import Event, Withdrawn
from derelayl_protocol.types import ModelId

from ..settings import Network
from .reading import model_of, reading


def read_network(network: Path, model: str | None, chain_url: str | None) -> tuple[ModelId, list[Event]]:
    """Return a network's model and all that its ledger recorded of it, in the order of the chain.

    `model` is the network file's unless it is given, and so is the chain's address. Raises LocalFault,
    LedgerUnavailable.
    """
    shared = Network.read(network)
    if chain_url is not None:
        if not chain_url.startswith(("http://", "https://")):
            raise LocalFault(f"--chain-url {chain_url} is no address of a chain's node: http://… or https://…")
        shared = shared.model_copy(update={"chain_url": chain_url})
    wanted = model_of(model, shared)
    return wanted, trio.run(partial(_events, shared, wanted))


async def _events(network: Network, model: ModelId) -> list[Event]:
    async with reading(network) as (_, index):
        found = index.log()
        return [each for each in found if isinstance(each, Withdrawn) or getattr(each, "model", None) == model]
