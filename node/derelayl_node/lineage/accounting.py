"""What each ledger event means for accounts: free balances as a list of movements, stakes, royalties, counters.

The sum of an account's movements is its free balance in the ledger, to the wei.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from derelayl_node.ports import LedgerUnavailable
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.types import NO_ROOT, Address, ModelId, Root

from . import schema
from .rows import Row, Rows


class Accounting:
    """Books the money of one event after the other."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._seq = 0
        self._ordinal = 0

    def begin(self, seq: int) -> None:
        """Name the event that the next movements belong to."""
        self._seq, self._ordinal = seq, 0

    def apply(self, event: ev.Event) -> None:
        """Book the event, after the projections of rounds and legs have seen it."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def count(self, account: Address, what: str) -> None:
        """Add one to a counter of the account."""
        self._add(account, what, 1)

    def _add(self, account: Address, what: str, amount: int) -> None:
        row = self._rows.get(schema.accounts, account) or _account(account)
        self._rows.put(schema.accounts, row | {what: row[what] + amount})

    def _move(self, account: Address, amount: int, reason: str, model: ModelId | None) -> None:
        """Change a free balance; nothing is recorded for zero."""
        if amount == 0:
            return
        entry = {"seq": self._seq, "ordinal": self._ordinal, "account": account, "model": model}
        self._rows.add(schema.movements, entry | {"amount": amount, "reason": reason})
        self._ordinal += 1
        self._add(account, "free", amount)

    def _deposited(self, event: ev.Deposited) -> None:
        self._move(event.account, event.amount, "deposit", None)
        self._add(event.account, "deposited", event.amount)

    def _withdrawn(self, event: ev.Withdrawn) -> None:
        self._move(event.account, -event.amount, "withdrawal", None)
        self._add(event.account, "withdrawn", event.amount)

    def _funded(self, event: ev.Funded) -> None:
        self._move(event.account, -event.amount, "budget", event.model)

    def _staked(self, event: ev.Staked) -> None:
        self._move(event.account, -event.amount, "stake", event.model)
        validator = self._validator(event.model, event.account)
        self._rows.put(schema.validators, validator | {"stake": validator["stake"] + event.amount})

    def _unstaked(self, event: ev.Unstaked) -> None:
        self._move(event.account, event.amount, "stake returned", event.model)
        self._rows.put(schema.validators, self._validator(event.model, event.account) | {"stake": 0})

    def _bid_placed(self, event: ev.BidPlaced) -> None:
        self._move(event.trainer, -event.amount, "bid", event.model)

    def _bid_returned(self, event: ev.BidReturned) -> None:
        self._move(event.trainer, event.amount, "bid returned", event.model)

    def _tip_offered(self, event: ev.TipOffered) -> None:
        self._move(event.owner, -event.deposit, "offer deposit", event.model)

    def _deposit_returned(self, event: ev.DepositReturned) -> None:
        self._move(event.owner, event.amount, "offer deposit returned", event.model)

    def _leg_settled(self, event: ev.LegSettled) -> None:
        leg = self._rows.get(schema.legs, event.model, event.round, event.leg)
        if leg is None:
            raise LedgerUnavailable("the event log contradicts itself: a leg is settled that was never leased")
        self._move(leg["trainer"], event.bid_returned, "bid returned", event.model)
        self._move(leg["trainer"], event.reward, "trainer reward", event.model)
        self._add(leg["trainer"], "trainer_reward", event.reward)
        self._royalty(event.model, leg["parent"], event.royalty)

    def _royalty(self, model: ModelId, root: Root, amount: int) -> None:
        """Let an inflow wait at a checkpoint until somebody collects it."""
        if amount == 0:
            return
        checkpoint = self._checkpoint(model, root)
        self._rows.put(schema.checkpoints, checkpoint | {"pending": checkpoint["pending"] + amount})
        self._add(checkpoint["owner"], "royalty_pending", amount)

    def _royalty_collected(self, event: ev.RoyaltyCollected) -> None:
        checkpoint = self._checkpoint(event.model, event.root)
        collected = {"pending": 0, "collected": checkpoint["collected"] + event.kept}
        self._rows.put(schema.checkpoints, checkpoint | collected)
        self._add(event.owner, "royalty_pending", -checkpoint["pending"])
        self._add(event.owner, "royalty_collected", event.kept)
        self._move(event.owner, event.kept, "royalty", event.model)
        if event.parent != NO_ROOT:
            self._royalty(event.model, event.parent, event.passed)

    def _committee_seated(self, event: ev.CommitteeSeated) -> None:
        for account in event.validators:
            validator = self._validator(event.model, account)
            self._rows.put(schema.validators, validator | {"seats": validator["seats"] + 1})

    def _scores_revealed(self, event: ev.ScoresRevealed) -> None:
        validator = self._validator(event.model, event.validator)
        self._rows.put(schema.validators, validator | {"reveals": validator["reveals"] + 1})

    def _validator_paid(self, event: ev.ValidatorPaid) -> None:
        self._move(event.validator, event.amount, "validator reward", event.model)
        self._add(event.validator, "validator_reward", event.amount)
        validator = self._validator(event.model, event.validator)
        earned = {"agreed": validator["agreed"] + event.agreed, "paid": validator["paid"] + event.amount}
        self._rows.put(schema.validators, validator | earned)

    def _validator_slashed(self, event: ev.ValidatorSlashed) -> None:
        validator = self._validator(event.model, event.validator)
        lost = {"stake": validator["stake"] - event.amount, "slashed": validator["slashed"] + event.amount}
        self._rows.put(schema.validators, validator | lost)
        self._add(event.validator, "slashed", event.amount)

    def _checkpoint(self, model: ModelId, root: Root) -> Row:
        row = self._rows.get(schema.checkpoints, model, root)
        if row is None:
            raise LedgerUnavailable("the event log contradicts itself: a royalty at an unknown checkpoint")
        return row

    def _validator(self, model: ModelId, account: Address) -> Row:
        zero = dict.fromkeys(("stake", "seats", "reveals", "agreed", "paid", "slashed"), 0)
        return self._rows.get(schema.validators, model, account) or {"model": model, "account": account} | zero


def _account(account: Address) -> Row:
    columns = (column.name for column in schema.accounts.columns if column.name != "account")
    return {"account": account} | dict.fromkeys(columns, 0)


_HANDLERS: Final[dict[type[Any], Callable[[Accounting, Any], None]]] = {
    ev.Deposited: Accounting._deposited,
    ev.Withdrawn: Accounting._withdrawn,
    ev.Funded: Accounting._funded,
    ev.Staked: Accounting._staked,
    ev.Unstaked: Accounting._unstaked,
    ev.BidPlaced: Accounting._bid_placed,
    ev.BidReturned: Accounting._bid_returned,
    ev.TipOffered: Accounting._tip_offered,
    ev.DepositReturned: Accounting._deposit_returned,
    ev.LegSettled: Accounting._leg_settled,
    ev.RoyaltyCollected: Accounting._royalty_collected,
    ev.CommitteeSeated: Accounting._committee_seated,
    ev.ScoresRevealed: Accounting._scores_revealed,
    ev.ValidatorPaid: Accounting._validator_paid,
    ev.ValidatorSlashed: Accounting._validator_slashed,
}
