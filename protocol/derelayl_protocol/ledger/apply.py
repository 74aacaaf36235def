"""The ledger's one function: state, command, sender and time in; the next state and its events out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ..errors import LocalFault
from ..types import Address, Timestamp
from . import accounts, bidding, endings, judging, models
from .commands import (
    Advance,
    CollectRoyalty,
    Command,
    CommitScores,
    CreateModel,
    Deposit,
    Fund,
    MatchRound,
    OfferTip,
    PlaceBid,
    RevealScores,
    SettleRound,
    Stake,
    SubmitLeg,
    Unstake,
    Withdraw,
)
from .draft import Draft
from .events import Event
from .state import LedgerState
from .transitions import RoundCommand, check_transition, check_turn

HANDLERS: Mapping[type[Command], Callable[[Draft, Any], None]] = {
    Deposit: accounts.deposit,
    Withdraw: accounts.withdraw,
    CreateModel: models.create_model,
    Fund: models.fund,
    Stake: accounts.stake,
    Unstake: accounts.unstake,
    PlaceBid: bidding.place_bid,
    OfferTip: bidding.offer_tip,
    MatchRound: bidding.match_round,
    SubmitLeg: judging.submit_leg,
    CommitScores: judging.commit_scores,
    RevealScores: judging.reveal_scores,
    SettleRound: endings.settle_round,
    Advance: judging.advance,
    CollectRoyalty: models.collect_royalty,
}
"""The handler of each command; it changes a draft, and what it raises discards that."""

WORD_BYTES = 32
"""Length of every byte string in a command: ids, roots, commitments, salts."""


def apply(
    state: LedgerState, command: Command, sender: Address, now: Timestamp
) -> tuple[LedgerState, tuple[Event, ...]]:
    """Execute one command at the block time `now` and return the next state with the events in their order.

    `state` is never changed. Raises RuleViolation when the ledger refuses the command, LocalFault when it could not
    even be sent to a contract: a byte string that is not 32 bytes, a sender that is no lower-case address.
    """
    _check_form(command, sender)
    draft = Draft(state, sender, now)
    if isinstance(command, RoundCommand):
        before = draft.model(command.model).current
        check_turn(before, command, now)
        HANDLERS[type(command)](draft, command)
        check_transition(before, command, draft.model(command.model).current)
    else:
        HANDLERS[type(command)](draft, command)
    return draft.state(), tuple(draft.events)


def _check_form(command: Command, sender: Address) -> None:
    if re.fullmatch(r"0x[0-9a-f]{40}", sender) is None:
        raise LocalFault(f"the sender {sender!r} is not 0x and 40 lower-case hex digits")
    for field in fields(command):
        value = getattr(command, field.name)
        if isinstance(value, bytes) and len(value) != WORD_BYTES:
            raise LocalFault(f"{field.name} has {len(value)} bytes, the ledger takes {WORD_BYTES}")
