"""Where every wei of the token is, read from the chain at rest."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import ModelState
from derelayl_protocol.types import Address, ModelId

from ..evm.client import EvmLedger
from .report import WeiAudit

AUDIT_SECONDS = 60.0
"""The chain must stand still for one reading in this time."""

RETRY_SECONDS = 0.5


async def audit(ledger: EvmLedger, model: ModelId, accounts: Iterable[Address], minted: int) -> WeiAudit:
    """Add up everything; read again when a block came in between. Raises TooSlowError on a chain that never rests."""
    owners = tuple(accounts)
    with trio.fail_after(AUDIT_SECONDS):
        while True:
            before = await ledger.head()
            result = await _read(ledger, model, owners, minted)
            if (await ledger.head()).hash == before.hash:
                return result
            await trio.sleep(RETRY_SECONDS)


async def _read(ledger: EvmLedger, model: ModelId, accounts: tuple[Address, ...], minted: int) -> WeiAudit:
    state = await ledger.model(model)
    views = [await ledger.account_view(account) for account in accounts]
    return WeiAudit(
        minted=minted,
        balances=sum(view.wallet + view.free for view in views),
        locked=locked_wei(state) + sum(view.unbonding[model].amount for view in views if model in view.unbonding),
        pending=sum(record.pending for record in state.checkpoints.values()),
        burned=minted - await ledger.token_supply(),
    )


def locked_wei(state: ModelState) -> int:
    """What a model holds: budget, carried pot, stakes, bids and offers of the running round; not what unbonds."""
    view = state.current
    held = state.budget + state.carry + sum(state.stakes.values())
    if view.phase == Phase.BID:
        offers = sum(tip.offered for tip in view.tips) * state.rules.offer_deposit * state.rules.legs_per_tip
        return held + offers + sum(bid.amount for bid in view.bids)
    return held + sum(leg.bid + leg.deposit for leg in view.legs)
