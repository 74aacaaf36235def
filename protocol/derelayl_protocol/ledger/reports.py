"""Proofs of equivocation: two signed messages where one was due cost the signer, and pay who shows them."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Reason, RuleViolation
from ..limits import BPS
from ..types import ModelId, Wei
from .commands import ReportManifests, ReportReveals
from .draft import Draft
from .events import TrainerEquivocated, ValidatorEquivocated
from .signed import HandOverMessage, RevealMessage


def report_manifests(draft: Draft, command: ReportManifests) -> None:
    """Take the bid of a leg whose trainer has signed two children under its lease; the leg is never selected."""
    model = draft.model(command.model)
    round = model.current
    if not 0 <= command.leg < len(round.legs):
        raise RuleViolation(Reason.NO_SUCH_LEG, f"{command.leg}, the round has {len(round.legs)}")
    lease = round.legs[command.leg]
    if command.children[0] == command.children[1]:
        raise RuleViolation(Reason.SAME_MESSAGE)
    for child, signature in zip(command.children, command.signatures, strict=True):
        message = HandOverMessage(command.model, command.round, lease.parent, child)
        draft.check_signature(lease.trainer, message, signature)
    if lease.disqualified:
        raise RuleViolation(Reason.NOTHING_TO_SLASH, "the bid is lost already")
    legs = (*round.legs[: command.leg], replace(lease, bid=Wei(0)), *round.legs[command.leg + 1 :])
    draft.put_round(command.model, replace(round, legs=legs))
    reward = _share_out(draft, command.model, lease.bid)
    draft.emit(
        TrainerEquivocated(command.model, command.round, command.leg, lease.trainer, draft.sender, lease.bid, reward)
    )


def report_reveals(draft: Draft, command: ReportReveals) -> None:
    """Take the whole stake, bonded or not, of a validator that has signed two reveals for one round."""
    model, validator = draft.model(command.model), command.validator
    first, second = (
        RevealMessage(command.model, command.round, scores, originals, salt)
        for scores, originals, salt in zip(command.scores, command.originals, command.salts, strict=True)
    )
    if first == second:
        raise RuleViolation(Reason.SAME_MESSAGE)
    for message, signature in zip((first, second), command.signatures, strict=True):
        draft.check_signature(validator, message, signature)
    leaving = model.unbonding[validator].amount if validator in model.unbonding else 0
    amount = Wei(model.stakes.get(validator, 0) + leaving)
    if amount == 0:
        raise RuleViolation(Reason.NOTHING_TO_SLASH, f"{validator} has no stake")
    draft.models[command.model] = replace(
        model,
        stakes={account: Wei(0) if account == validator else stake for account, stake in model.stakes.items()},
        unbonding={account: entry for account, entry in model.unbonding.items() if account != validator},
    )
    reward = _share_out(draft, command.model, amount)
    draft.emit(ValidatorEquivocated(command.model, command.round, validator, draft.sender, amount, reward))


# --- Inside -----------------------------------------------------------------------------------------------------------


def _share_out(draft: Draft, model_id: ModelId, amount: Wei) -> Wei:
    """Pay the sender its share of what an equivocator has lost, put the rest into the carry; return the share."""
    model = draft.model(model_id)
    reward = Wei(amount * model.rules.reporter_bps // BPS)
    draft.models[model_id] = replace(model, carry=Wei(model.carry + amount - reward))
    draft.pay(draft.sender, reward)
    return reward
