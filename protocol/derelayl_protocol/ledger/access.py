"""Access to the weights of a checkpoint: who has paid for it, and where the fee goes."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Reason, RuleViolation
from ..limits import BPS
from ..spelling import to_hex
from ..types import Address, Root, Wei
from .commands import BuyAccess
from .draft import Draft
from .events import AccessBought
from .state import ModelState


def buy_access(draft: Draft, command: BuyAccess) -> None:
    """Share the fee between the carry and the royalty that waits at the checkpoint."""
    model, sender = draft.model(command.model), draft.sender
    if command.root not in model.checkpoints:
        raise RuleViolation(Reason.UNKNOWN_CHECKPOINT, to_hex(command.root))
    fee = model.rules.access_fee
    if fee == 0:
        raise RuleViolation(Reason.NOT_FOR_SALE, "the model is open")
    buyers = model.buyers.get(command.root, frozenset())
    if sender in buyers:
        raise RuleViolation(Reason.ALREADY_BOUGHT)
    draft.spend(sender, fee)
    to_pot = Wei(fee * model.rules.access_pot_bps // BPS)
    record = model.checkpoints[command.root]
    record = replace(record, pending=Wei(record.pending + fee - to_pot))
    draft.models[command.model] = replace(
        model,
        carry=Wei(model.carry + to_pot),
        checkpoints={**model.checkpoints, command.root: record},
        buyers={**model.buyers, command.root: buyers | {sender}},
    )
    draft.emit(AccessBought(command.model, command.root, sender, fee, to_pot))


def has_access(model: ModelState, root: Root, account: Address) -> bool:
    """Tell whether the account may fetch the weights: the model is open, or it owns or has bought the checkpoint."""
    if model.rules.access_fee == 0:
        return True
    owned = root in model.checkpoints and model.checkpoints[root].owner == account
    return owned or account in model.buyers.get(root, frozenset())
