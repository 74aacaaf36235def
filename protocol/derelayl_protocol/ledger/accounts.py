"""Commands about an account's own money: wallet, free balance, stake."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Reason, RuleViolation
from ..types import Wei
from .commands import Deposit, Stake, Unstake, Withdraw
from .draft import Draft, check_amount, take
from .events import Deposited, Staked, Unstaked, Withdrawn


def deposit(draft: Draft, command: Deposit) -> None:
    """Move tokens from the wallet to the free balance."""
    check_amount(command.amount)
    take(draft.wallets, draft.sender, command.amount)
    draft.pay(draft.sender, command.amount)
    draft.emit(Deposited(draft.sender, command.amount))


def withdraw(draft: Draft, command: Withdraw) -> None:
    """Move free balance to the wallet."""
    check_amount(command.amount)
    draft.spend(command.amount)
    draft.wallets[draft.sender] = Wei(draft.wallets.get(draft.sender, 0) + command.amount)
    draft.emit(Withdrawn(draft.sender, command.amount))


def stake(draft: Draft, command: Stake) -> None:
    """Add to the sender's stake; the first one appends it to the validators."""
    model, sender = draft.model(command.model), draft.sender
    check_amount(command.amount)
    total = Wei(model.stakes.get(sender, 0) + command.amount)
    if total < model.rules.validator_stake:
        raise RuleViolation(Reason.STAKE_TOO_SMALL, f"{total} wei, least is {model.rules.validator_stake}")
    draft.spend(command.amount)
    draft.models[command.model] = replace(
        model,
        stakes={**model.stakes, sender: total},
        validators=model.validators if sender in model.stakes else (*model.validators, sender),
    )
    draft.emit(Staked(command.model, sender, command.amount))


def unstake(draft: Draft, command: Unstake) -> None:
    """Return the sender's stake, if it has no seat; the last validator moves into its place."""
    model, sender = draft.model(command.model), draft.sender
    if sender not in model.stakes:
        raise RuleViolation(Reason.NO_STAKE)
    if any(seat.validator == sender for seat in model.current.seats):
        raise RuleViolation(Reason.STAKE_IN_USE, f"{sender} has a seat in round {model.current.number}")
    *rest, last = model.validators
    amount = model.stakes[sender]
    draft.models[command.model] = replace(
        model,
        stakes={account: amount for account, amount in model.stakes.items() if account != sender},
        validators=tuple(last if account == sender else account for account in rest),
    )
    draft.pay(sender, amount)
    draft.emit(Unstaked(command.model, sender, amount))
