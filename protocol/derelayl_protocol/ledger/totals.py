"""Where the money is, added up: the proof that no command makes or loses a wei."""

from __future__ import annotations

from ..types import Wei
from .phases import Phase
from .state import LedgerState, ModelState

PLACES = ("wallets", "free", "stakes", "unbonding", "bids", "offers", "budgets", "carry", "pending")
"""The keys of `total_wei`."""


def total_wei(state: LedgerState) -> dict[str, Wei]:
    """Add up every place that can hold tokens, in wei: the values sum up to the token's supply."""
    totals = dict.fromkeys(PLACES, 0)
    totals["wallets"], totals["free"] = sum(state.wallets.values()), sum(state.free.values())
    for model in state.models.values():
        for place, amount in _locked(model).items():
            totals[place] += amount
    return {place: Wei(amount) for place, amount in totals.items()}


def conserved(state: LedgerState, supply: Wei) -> bool:
    """Tell whether all places together hold exactly `supply` and none of them is overdrawn."""
    amounts: list[int] = [*state.wallets.values(), *state.free.values()]
    for model in state.models.values():
        amounts += [*_locked(model).values(), *model.stakes.values()]
        amounts += [entry.amount for entry in model.unbonding.values()]
        amounts += [record.pending for record in model.checkpoints.values()]
    return min(amounts, default=0) >= 0 and sum(total_wei(state).values()) == supply


def _locked(model: ModelState) -> dict[str, int]:
    """What a model holds. Once matched, a round's bids and offers live on in its legs, the others have returned."""
    round, rules = model.current, model.rules
    if round.phase == Phase.BID:
        bids = sum(bid.amount for bid in round.bids)
        offers = sum(tip.offered for tip in round.tips) * rules.legs_per_tip * rules.offer_deposit
    else:
        bids, offers = sum(leg.bid for leg in round.legs), sum(leg.deposit for leg in round.legs)
    return {
        "stakes": sum(model.stakes.values()),
        "unbonding": sum(entry.amount for entry in model.unbonding.values()),
        "bids": bids,
        "offers": offers,
        "budgets": model.budget,
        "carry": model.carry,
        "pending": sum(record.pending for record in model.checkpoints.values()),
    }
