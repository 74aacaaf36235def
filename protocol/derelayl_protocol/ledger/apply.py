"""The ledger's one function: state, command, sender and time in; the next state and its events out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from ..errors import LocalFault
from ..spelling import is_address
from ..types import ADDRESS_BYTES, HASH_BYTES, Address, Timestamp
from . import access, accounts, bidding, endings, judging, models, reports
from .commands import (
    Advance,
    BidBySig,
    BuyAccess,
    CollectRoyalty,
    Command,
    CommitBySig,
    CommitScores,
    CreateModel,
    Deposit,
    Fund,
    MatchRound,
    OfferTip,
    PlaceBid,
    Release,
    ReportManifests,
    ReportReveals,
    RevealBySig,
    RevealScores,
    SettleRound,
    Stake,
    SubmitBySig,
    SubmitLeg,
    Unstake,
    Withdraw,
)
from .draft import Draft
from .events import Event
from .signed import COMPACT_SIGNATURE_BYTES, Recover, no_signatures
from .state import LedgerState
from .transitions import RoundCommand, check_transition, check_turn

HANDLERS: Mapping[type[Command], Callable[[Draft, Any], None]] = {
    Deposit: accounts.deposit,
    Withdraw: accounts.withdraw,
    CreateModel: models.create_model,
    Fund: models.fund,
    Stake: accounts.stake,
    Unstake: accounts.unstake,
    Release: accounts.release,
    PlaceBid: bidding.place_bid,
    BidBySig: bidding.bid_by_sig,
    OfferTip: bidding.offer_tip,
    MatchRound: bidding.match_round,
    SubmitLeg: judging.submit_leg,
    SubmitBySig: judging.submit_by_sig,
    CommitScores: judging.commit_scores,
    CommitBySig: judging.commit_by_sig,
    RevealScores: judging.reveal_scores,
    RevealBySig: judging.reveal_by_sig,
    SettleRound: endings.settle_round,
    Advance: judging.advance,
    CollectRoyalty: models.collect_royalty,
    BuyAccess: access.buy_access,
    ReportManifests: reports.report_manifests,
    ReportReveals: reports.report_reveals,
}
"""The handler of each command; it changes a draft, and what it raises discards that."""


def apply(
    state: LedgerState, command: Command, sender: Address, now: Timestamp, recover: Recover = no_signatures
) -> tuple[LedgerState, tuple[Event, ...]]:
    """Execute one command at the block time `now` and return the next state with the events in their order.

    `state` is never changed; `recover` tells who has signed what the command carries. Raises RuleViolation when the
    ledger refuses the command, LocalFault when it could not even be sent to a contract: a byte string of the wrong
    length, an account that is no lower-case address.
    """
    _check_form("the sender", sender)
    _check_form(type(command).__name__, command)
    draft = Draft(state, sender, now, recover)
    if isinstance(command, RoundCommand):
        before = draft.model(command.model).current
        check_turn(before, command, now)
        HANDLERS[type(command)](draft, command)
        check_transition(before, command, draft.model(command.model).current)
    else:
        HANDLERS[type(command)](draft, command)
    return draft.state(), tuple(draft.events)


def _check_form(name: str, value: object) -> None:
    """Raise LocalFault for what no contract could be sent.

    All text in a command is an address; all bytes are a signature, or a word: ids, roots, commitments, salts.
    """
    if isinstance(value, str) and not is_address(value):
        raise LocalFault(f"{name} {value!r} is not 0x and {2 * ADDRESS_BYTES} lower-case hex digits")
    if isinstance(value, bytes):
        length = COMPACT_SIGNATURE_BYTES if name.startswith("signature") else HASH_BYTES
        if len(value) != length:
            raise LocalFault(f"{name} has {len(value)} bytes, the ledger takes {length}")
    elif isinstance(value, tuple):
        for entry in value:
            _check_form(name, entry)
    elif is_dataclass(value):
        for field in fields(value):
            _check_form(field.name, getattr(value, field.name))
