"""The statement as a projection: every account's lines, and the balances, stakes and totals that they add up to.

What an event moves and what is said about it decides the protocol's `statement` package; here its desk is the rows of
the projections, so that a reorganisation undoes a line like anything else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import select

from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.spelling import to_hex
from derelayl_protocol.statement.places import Place, Pocket
from derelayl_protocol.statement.story import Story, round_of
from derelayl_protocol.statement.teller import Line, Teller
from derelayl_protocol.statement.transfers import Kind, LogContradiction, Transfer
from derelayl_protocol.types import Address, ModelId, Root, Wei

from ..ports import LedgerUnavailable
from . import tables
from .event_json import event_from_json
from .rows import Row, Rows


class Accounting:
    """Books the money of one event after the other. The `Desk` of its teller."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._seq = 0
        self._teller = Teller(self)
        self._stories: dict[ModelId, Story] = {}

    def apply(self, seq: int, event: ev.Event) -> None:
        """Book the event, after the projections of rounds and legs have seen it. Raises LedgerUnavailable."""
        self._seq = seq
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)
        about = round_of(event)
        story = None if about is None else self._stories.get(about[0])
        if story is not None and about == (story.model, story.number):
            story.note(event)
        try:
            self._write(self._teller.tell(event, self._seq))
        except LogContradiction as error:
            raise LedgerUnavailable(f"the event log contradicts itself: {error}") from error

    def end_block(self) -> None:
        """Tell what waits for the end of a transaction that never came."""
        self._write(self._teller.finish())

    def count(self, account: Address, what: str) -> None:
        """Add one to a counter of the account."""
        self._add(account, what, 1)

    # --- Desk -------------------------------------------------------------------------------------------------------

    def rules(self, model: ModelId) -> Rules:
        """The rules of a model. Raises LogContradiction."""
        values: dict[str, Any] = {name: int(value) for name, value in json.loads(self._model(model)["rules"]).items()}
        return Rules(**values)

    def owner(self, model: ModelId, root: Root) -> Address:
        """Who owns a checkpoint. Raises LogContradiction."""
        owner: Address = self._checkpoint(model, root)["owner"]
        return owner

    def amount(self, place: Place) -> Wei:
        """What a free balance or a stake holds."""
        assert place.account is not None, f"a teller asks for no {place.pocket}"
        if place.pocket == Pocket.FREE:
            row = self._rows.get(tables.accounts, place.account) or _account(place.account)
            return Wei(row["free"])
        assert place.model is not None
        return Wei(self._validator(place.model, place.account)[_STAKES[place.pocket]])

    def story(self, model: ModelId, round: int) -> Story:
        """What the stored events up to now tell of a round; read once, then kept up by `apply`."""
        story = self._stories.get(model)
        if story is None or story.number != round:
            story = self._stories[model] = Story(model, round, self.rules(model))
            table = tables.events
            query = select(table.c.name, table.c.payload).where(table.c.model == model, table.c.round == round)
            for row in self._rows.connection.execute(query.where(table.c.seq <= self._seq).order_by(table.c.seq)):
                story.note(event_from_json(row.name, row.payload))
            story.weights = self._weights(model, round)
        return story

    def move(self, transfer: Transfer) -> None:
        """Change what the projections show of both places, and the account's total of this kind."""
        self._change(transfer.source, -transfer.amount)
        self._change(transfer.target, transfer.amount)
        total = _TOTALS.get(transfer.kind)
        if total is not None and transfer.account is not None:
            self._add(transfer.account, total, transfer.amount)
        model, counter = transfer.source.model, _OF_VALIDATORS.get(transfer.kind)
        if counter is not None and transfer.account is not None and model is not None:
            self._validate(model, transfer.account, counter, transfer.amount)
        if transfer.kind == Kind.ROYALTY and model is not None and transfer.source.root is not None:
            checkpoint = self._checkpoint(model, transfer.source.root)
            collected = {"collected": checkpoint["collected"] + transfer.amount}
            self._rows.put(tables.checkpoints, checkpoint | collected)

    # --- Rows -------------------------------------------------------------------------------------------------------

    def _write(self, lines: list[Line]) -> None:
        ordinals: Counter[int] = Counter()
        for line in lines:
            entry = {"seq": line.event, "ordinal": ordinals[line.event], "account": line.account, "model": line.model}
            amounts = {"amount": line.amount, "balance": line.balance}
            text = {"round": line.round, "kind": line.kind.value, "sentence": line.sentence}
            self._rows.add(tables.lines, entry | amounts | text)
            ordinals[line.event] += 1

    def _change(self, place: Place, amount: int) -> None:
        if place.pocket == Pocket.FREE and place.account is not None:
            self._add(place.account, "free", amount)
        elif place.pocket in _STAKES and place.model is not None and place.account is not None:
            self._validate(place.model, place.account, _STAKES[place.pocket], amount)
        elif place.pocket == Pocket.PENDING and place.model is not None and place.root is not None:
            checkpoint = self._checkpoint(place.model, place.root)
            self._rows.put(tables.checkpoints, checkpoint | {"pending": checkpoint["pending"] + amount})
            self._add(checkpoint["owner"], "royalty_pending", amount)
        elif place.pocket in _OF_MODELS and place.model is not None:
            column, row = _OF_MODELS[place.pocket], self._model(place.model)
            self._rows.put(tables.models, row | {column: row[column] + amount})

    def _add(self, account: Address, what: str, amount: int) -> None:
        row = self._rows.get(tables.accounts, account) or _account(account)
        self._rows.put(tables.accounts, row | {what: row[what] + amount})

    def _validate(self, model: ModelId, account: Address, what: str, amount: int) -> None:
        row = self._validator(model, account)
        self._rows.put(tables.validators, row | {what: row[what] + amount})

    def _model(self, model: ModelId) -> Row:
        row = self._rows.get(tables.models, model)
        if row is None:
            raise LogContradiction(f"an event of model {to_hex(model)}, which was never created")
        return row

    def _round(self, model: ModelId, number: int) -> Row:
        row = self._rows.get(tables.rounds, model, number)
        if row is None:
            raise LogContradiction(f"an event of round {number} of model {to_hex(model)}, which never began")
        return row

    def _weights(self, model: ModelId, number: int) -> dict[Address, Wei]:
        """The stakes of a round's seats when they were drawn."""
        row = self._round(model, number)
        return {
            account: Wei(int(stake))
            for account, stake in zip(json.loads(row["validators"]), json.loads(row["weights"]), strict=True)
        }

    def _checkpoint(self, model: ModelId, root: Root) -> Row:
        row = self._rows.get(tables.checkpoints, model, root)
        if row is None:
            raise LogContradiction(f"money at the checkpoint {to_hex(root)}, which nobody has submitted")
        return row

    def _validator(self, model: ModelId, account: Address) -> Row:
        found = self._rows.get(tables.validators, model, account)
        return found or {"model": model, "account": account} | dict.fromkeys(_counters(tables.validators), 0)

    # --- Beside the money -------------------------------------------------------------------------------------------

    def _committee_seated(self, event: ev.CommitteeSeated) -> None:
        weights = [str(self._validator(event.model, account)["stake"]) for account in event.validators]
        row = self._round(event.model, event.round)
        self._rows.put(tables.rounds, row | {"weights": json.dumps(weights)})
        self.story(event.model, event.round).weights = self._weights(event.model, event.round)
        for account in event.validators:
            self._validate(event.model, account, "seats", 1)

    def _scores_revealed(self, event: ev.ScoresRevealed) -> None:
        self._validate(event.model, event.validator, "reveals", 1)

    def _validator_paid(self, event: ev.ValidatorPaid) -> None:
        self._validate(event.model, event.validator, "agreement", event.agreement)

    def _validator_charged(self, event: ev.ValidatorCharged) -> None:
        self._validate(event.model, event.validator, "agreement", -event.disagreement)

    def _unstaked(self, event: ev.Unstaked) -> None:
        row = self._validator(event.model, event.account)
        still = event.release_time if row["unbonding"] + event.amount else 0
        self._rows.put(tables.validators, row | {"release_time": still})

    def _nothing_unbonding(self, event: ev.StakeReleased | ev.ValidatorEquivocated) -> None:
        account = event.account if isinstance(event, ev.StakeReleased) else event.validator
        self._rows.put(tables.validators, self._validator(event.model, account) | {"release_time": 0})


def _account(account: Address) -> Row:
    return {"account": account} | dict.fromkeys(_counters(tables.accounts), 0)


def _counters(table: Any) -> list[str]:
    return [column.name for column in table.columns if column.name not in ("model", "account")]


_STAKES: Final = {Pocket.STAKE: "stake", Pocket.UNBONDING: "unbonding"}
"""Columns of a validator by place."""

_OF_MODELS: Final = {Pocket.BUDGET: "budget", Pocket.CARRY: "carry"}
"""Columns of a model by place."""

_TOTALS: Final = {
    Kind.DEPOSIT: "deposited",
    Kind.WITHDRAWAL: "withdrawn",
    Kind.TRAINER_REWARD: "trainer_reward",
    Kind.VALIDATOR_REWARD: "validator_reward",
    Kind.ROYALTY: "royalty_collected",
    Kind.SLASHED: "slashed",
    Kind.CHARGED: "charged",
    Kind.ACCESS: "access_paid",
    Kind.EQUIVOCATION: "equivocation_lost",
    Kind.REPORTER_REWARD: "reporter_reward",
}
"""Columns of an account that add up one kind of transfer."""

_OF_VALIDATORS: Final = {Kind.VALIDATOR_REWARD: "paid", Kind.CHARGED: "charged", Kind.SLASHED: "slashed"}
"""The same for an account as validator of one model."""

_HANDLERS: Final[dict[type[Any], Callable[[Accounting, Any], None]]] = {
    ev.CommitteeSeated: Accounting._committee_seated,
    ev.ScoresRevealed: Accounting._scores_revealed,
    ev.ValidatorPaid: Accounting._validator_paid,
    ev.ValidatorCharged: Accounting._validator_charged,
    ev.Unstaked: Accounting._unstaked,
    ev.StakeReleased: Accounting._nothing_unbonding,
    ev.ValidatorEquivocated: Accounting._nothing_unbonding,
}
