"""Every balance that the contract's views give at one block: one side of a reconciliation."""

from __future__ import annotations

from derelayl_protocol.ledger.state import LedgerState
from derelayl_protocol.statement.books import Books
from derelayl_protocol.statement.places import Place, Pocket, amounts
from derelayl_protocol.statement.reconciliation import Held
from derelayl_protocol.types import Address, ModelId, Timestamp, Wei

from .client import EvmLedger


async def held_at(ledger: EvmLedger, books: Books, block: int) -> Held:
    """Ask for each place that the books name, and all that each model lists. Raises LedgerUnavailable, StateGone."""
    names = books.names()
    accounts = sorted({place.account for place in names if place.account is not None})
    free = {account: Wei(await ledger.view_at(block, "freeOf", account)) for account in accounts}
    models = {model: await ledger.model_at(model, block) for model in books.models()}
    found = amounts(LedgerState(free=free, models=models))
    release_times: dict[tuple[ModelId, Address], Timestamp] = {}
    for place in names:
        if place.model is None or place.account is None:
            continue
        if place.pocket == Pocket.STAKE:
            _put(found, place, await ledger.view_at(block, "stakeOf", place.model, place.account))
        elif place.pocket == Pocket.UNBONDING:
            amount, release_time = await ledger.view_at(block, "unbondingOf", place.model, place.account)
            _put(found, place, amount)
            release_times[place.model, place.account] = Timestamp(release_time)
    return Held(found, release_times, await ledger.tokens_at(block))


def _put(found: dict[Place, Wei], place: Place, amount: int) -> None:
    if amount:
        found[place] = Wei(amount)
