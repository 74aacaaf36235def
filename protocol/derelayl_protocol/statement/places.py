"""Where tokens can be, and how they move: double entry, so that no booking makes or loses a wei."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from ..ledger.phases import Phase
from ..ledger.state import LedgerState, ModelState
from ..spelling import to_hex
from ..types import Address, ModelId, Root, Wei


class Pocket(StrEnum):
    """What kind of place it is."""

    WALLET = "wallet"  # outside of the ledger: its amount is what the account took out, less what it brought in
    FREE = "free balance"
    STAKE = "stake"
    UNBONDING = "unbonding stake"
    BID = "locked bid"
    OFFER = "locked offer deposit"
    PENDING = "pending royalty"
    BUDGET = "budget"
    CARRY = "carry"


class Place(NamedTuple):
    """One place; `account` or `root` names whose it is, neither for what a model holds as a whole."""

    pocket: Pocket
    account: Address | None = None
    model: ModelId | None = None
    root: Root | None = None


def wallet(account: Address) -> Place:
    """What an account has outside of the ledger."""
    return Place(Pocket.WALLET, account)


def free(account: Address) -> Place:
    """What an account can withdraw."""
    return Place(Pocket.FREE, account)


def stake(model: ModelId, account: Address) -> Place:
    """What a validator has at stake."""
    return Place(Pocket.STAKE, account, model)


def unbonding(model: ModelId, account: Address) -> Place:
    """What a validator has unstaked and not yet released."""
    return Place(Pocket.UNBONDING, account, model)


def bid(model: ModelId, trainer: Address) -> Place:
    """A trainer's bid in the running round."""
    return Place(Pocket.BID, trainer, model)


def offer(model: ModelId, tip: Root) -> Place:
    """The deposit for a tip that is offered in the running round."""
    return Place(Pocket.OFFER, None, model, tip)


def pending(model: ModelId, root: Root) -> Place:
    """The royalty that waits at a checkpoint."""
    return Place(Pocket.PENDING, None, model, root)


def budget(model: ModelId) -> Place:
    """What a model can emit."""
    return Place(Pocket.BUDGET, None, model)


def carry(model: ModelId) -> Place:
    """What goes into a model's next pot. During a settlement it is the pot itself."""
    return Place(Pocket.CARRY, None, model)


def holder(place: Place) -> str:
    """Whose place it is, in full."""
    parts = [f"model {to_hex(place.model)}"] if place.model is not None else []
    parts += [f"checkpoint {to_hex(place.root)}"] if place.root is not None else []
    return ", ".join([*([place.account] if place.account is not None else []), *parts])


def amounts(state: LedgerState) -> dict[Place, Wei]:
    """Every place inside a ledger that is not empty: what books of its events must agree with."""
    found = [(free(account), amount) for account, amount in state.free.items()]
    for model, held in state.models.items():
        found += _held(model, held)
    result: dict[Place, Wei] = {}
    for place, amount in found:
        if amount:
            result[place] = Wei(result.get(place, 0) + amount)
    return result


def _held(model: ModelId, held: ModelState) -> Iterator[tuple[Place, Wei]]:
    yield budget(model), held.budget
    yield carry(model), held.carry
    yield from ((stake(model, account), amount) for account, amount in held.stakes.items())
    yield from ((unbonding(model, account), leaving.amount) for account, leaving in held.unbonding.items())
    yield from ((pending(model, root), record.pending) for root, record in held.checkpoints.items())
    round, rules = held.current, held.rules
    if round.phase == Phase.BID:
        yield from ((bid(model, entry.trainer), entry.amount) for entry in round.bids)
        whole = Wei(rules.legs_per_tip * rules.offer_deposit)
        yield from ((offer(model, tip.root), whole) for tip in round.tips if tip.offered)
    else:
        yield from ((bid(model, leg.trainer), leg.bid) for leg in round.legs)
        yield from ((offer(model, leg.parent), leg.deposit) for leg in round.legs)
