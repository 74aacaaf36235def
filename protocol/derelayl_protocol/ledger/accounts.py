"""Commands about an account's own money: wallet, free balance, stake."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Reason, RuleViolation
from ..types import Address, Timestamp, Wei
from .commands import Deposit, Release, Stake, Unstake, Withdraw
from .draft import Draft, check_amount, take
from .events import Deposited, Staked, StakeReleased, Unstaked, Withdrawn
from .state import ModelState, Unbonding


def deposit(draft: Draft, command: Deposit) -> None:
    """Move tokens from the wallet to the free balance."""
    check_amount(command.amount)
    take(draft.wallets, draft.sender, command.amount)
    draft.pay(draft.sender, command.amount)
    draft.emit(Deposited(draft.sender, command.amount))


def withdraw(draft: Draft, command: Withdraw) -> None:
    """Move free balance to the wallet."""
    check_amount(command.amount)
    draft.spend(draft.sender, command.amount)
    draft.wallets[draft.sender] = Wei(draft.wallets.get(draft.sender, 0) + command.amount)
    draft.emit(Withdrawn(draft.sender, command.amount))


def stake(draft: Draft, command: Stake) -> None:
    """Add to the sender's stake; the first one appends it to the validators."""
    model, sender = draft.model(command.model), draft.sender
    check_amount(command.amount)
    total = Wei(model.stakes.get(sender, 0) + command.amount)
    if total < model.rules.validator_stake:
        raise RuleViolation(Reason.STAKE_TOO_SMALL, f"{total} wei, least is {model.rules.validator_stake}")
    draft.spend(draft.sender, command.amount)
    draft.models[command.model] = replace(
        model,
        stakes={**model.stakes, sender: total},
        validators=model.validators if sender in model.stakes else (*model.validators, sender),
    )
    draft.emit(Staked(command.model, sender, command.amount))


def unstake(draft: Draft, command: Unstake) -> None:
    """Let the sender's stake unbond, if it has no seat; the last validator moves into its place."""
    model, sender = draft.model(command.model), draft.sender
    if sender not in model.stakes:
        raise RuleViolation(Reason.NO_STAKE)
    if any(seat.validator == sender for seat in model.current.seats):
        raise RuleViolation(Reason.STAKE_IN_USE, f"{sender} has a seat in round {model.current.number}")
    *rest, last = model.validators
    amount, release_time = model.stakes[sender], Timestamp(draft.now + model.rules.unbonding_seconds)
    draft.models[command.model] = replace(
        model,
        stakes={account: stake for account, stake in model.stakes.items() if account != sender},
        validators=tuple(last if account == sender else account for account in rest),
        unbonding=_with_unbonding(model, sender, Unbonding(amount, release_time)),
    )
    draft.emit(Unstaked(command.model, sender, amount, release_time))


def release(draft: Draft, command: Release) -> None:
    """Move what has unbonded to the sender's free balance."""
    model, sender = draft.model(command.model), draft.sender
    if sender not in model.unbonding:
        raise RuleViolation(Reason.NOTHING_UNBONDING)
    leaving = model.unbonding[sender]
    if draft.now < leaving.release_time:
        raise RuleViolation(Reason.TOO_EARLY, f"the stake unbonds at {leaving.release_time}, now is {draft.now}")
    draft.models[command.model] = replace(
        model, unbonding={account: entry for account, entry in model.unbonding.items() if account != sender}
    )
    draft.pay(sender, leaving.amount)
    draft.emit(StakeReleased(command.model, sender, leaving.amount))


# --- Inside -----------------------------------------------------------------------------------------------------------


def _with_unbonding(model: ModelState, account: Address, leaving: Unbonding) -> dict[Address, Unbonding]:
    """Add to what is unbonding; all of it waits for the later release. A stake that was lost leaves nothing."""
    before = model.unbonding[account].amount if account in model.unbonding else 0
    amount = Wei(before + leaving.amount)
    return {**model.unbonding, account: replace(leaving, amount=amount)} if amount else dict(model.unbonding)
