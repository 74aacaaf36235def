"""Questions to the index: pure reads on a connection, each bounded by `limit` and resumed after a position.

Positions are places in the event log, which only grows: rows that arrive while somebody walks the pages come after
those already given. (A reorganisation of the chain may take rows away; then so do the pages.)
"""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, Table, func, literal, or_, select, tuple_

from derelayl_protocol.checkpoint.ancestry import Edge
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.types import UNAVAILABLE, Address, ModelId, Ppm, Root, Timestamp

from . import records
from .event_json import event_from_json
from .tables import accounts, blocks, checkpoints, events, legs, lines, models, rounds, tips, validators

Mapping = dict[str, Any]

_ENDINGS: Final = {ending.value: ending for ending in LegEnding}

_SUBMITTED = events.alias("submitted")
_SETTLED = events.alias("settled")
_TIPS = tips.join(checkpoints, (tips.c.model == checkpoints.c.model) & (tips.c.root == checkpoints.c.root))


def head(connection: Connection) -> records.Head:
    """Return the newest block read, and how many events are stored."""
    count = connection.scalar(select(func.count()).select_from(events)) or 0
    row = connection.execute(select(blocks).order_by(blocks.c.number.desc()).limit(1)).one_or_none()
    if row is None:
        return records.Head(None, None, None, count)
    return records.Head(row.number, row.hash, Timestamp(row.time), count)


def model(connection: Connection, model: ModelId) -> records.Model | None:
    """Return one model, None if unknown."""
    row = connection.execute(_models().where(models.c.model == model)).one_or_none()
    return None if row is None else _model(row)


def all_models(connection: Connection, after: int, limit: int) -> list[records.Model]:
    """Return models in the order of their creation."""
    query = _models().where(models.c.seq > after).order_by(models.c.seq).limit(limit)
    return [_model(row) for row in connection.execute(query)]


def models_of(connection: Connection, root: Root) -> list[ModelId]:
    """Return the models that know a root; one genesis may begin several."""
    query = select(checkpoints.c.model).where(checkpoints.c.root == root).order_by(checkpoints.c.seq)
    return list(connection.scalars(query))


def checkpoint(connection: Connection, model: ModelId, root: Root) -> records.Checkpoint | None:
    """Return one checkpoint, None if unknown."""
    row = connection.execute(_checkpoints().where(_is(model), checkpoints.c.root == root)).one_or_none()
    return None if row is None else _checkpoint(row)


def checkpoint_at(connection: Connection, model: ModelId, seq: int) -> records.Checkpoint | None:
    """Return the checkpoint whose place in the log is `seq`."""
    row = connection.execute(_checkpoints().where(_is(model), checkpoints.c.seq == seq)).one_or_none()
    return None if row is None else _checkpoint(row)


def all_checkpoints(
    connection: Connection,
    model: ModelId,
    after: int | None,
    limit: int,
    status: str | None = None,
    newest: bool = False,
) -> list[records.Checkpoint]:
    """Return a model's checkpoints in the order of their first submission, or reversed; None: from the start."""
    seq = checkpoints.c.seq
    query = _checkpoints().where(_is(model))
    if after is not None:
        query = query.where(seq < after if newest else seq > after)
    if status is not None:
        query = query.where(checkpoints.c.status == status)
    return [_checkpoint(row) for row in connection.execute(query.order_by(seq.desc() if newest else seq).limit(limit))]


def ancestors(connection: Connection, model: ModelId, root: Root, limit: int) -> list[records.Checkpoint]:
    """Return what `root` was made from, the nearest first, without `root`."""
    step = (
        select(checkpoints.c.model, checkpoints.c.parent.label("root"), literal(1).label("step"))
        .where(_is(model), checkpoints.c.root == root)
        .cte("line", recursive=True)
    )
    above = checkpoints.alias("above")
    upward = select(above.c.model, above.c.parent, step.c.step + 1)
    upward = upward.where(above.c.root == step.c.root, above.c.model == step.c.model)
    line = step.union_all(upward.where(step.c.step < limit))
    tied = (checkpoints.c.model == line.c.model) & (checkpoints.c.root == line.c.root)
    found = _checkpoints(line.join(checkpoints, tied)).order_by(line.c.step).limit(limit)
    return [_checkpoint(row) for row in connection.execute(found)]


def descendants(connection: Connection, model: ModelId, root: Root, after: int, limit: int) -> list[records.Checkpoint]:
    """Return what was made from `root`, accepted or not, in the order of their first submission, without `root`."""
    base = select(checkpoints.c.root).where(_is(model), checkpoints.c.parent == root).cte("below", recursive=True)
    child = checkpoints.alias("child")
    below = base.union_all(select(child.c.root).where(child.c.model == model, child.c.parent == base.c.root))
    query = _checkpoints().where(_is(model), checkpoints.c.root.in_(select(below.c.root)), checkpoints.c.seq > after)
    return [_checkpoint(row) for row in connection.execute(query.order_by(checkpoints.c.seq).limit(limit))]


def all_tips(connection: Connection, model: ModelId) -> list[records.Tip]:
    """Return the tips that live now, at most MAX_TIPS, in the order of their settlement."""
    query = _checkpoints(_TIPS).add_columns(tips.c.position, tips.c.since_round).where(tips.c.model == model)
    rows = connection.execute(query.order_by(tips.c.position))
    return [records.Tip(row.position, row.since_round, _checkpoint(row)) for row in rows]


def all_rounds(connection: Connection, model: ModelId, after: int, limit: int) -> list[records.Round]:
    """Return rounds with their legs, by number; `after` is a round number."""
    query = select(rounds).where(rounds.c.model == model, rounds.c.number > after)
    found = connection.execute(query.order_by(rounds.c.number).limit(limit)).all()
    if not found:
        return []
    of_round: dict[int, list[records.Leg]] = {row.number: [] for row in found}
    wanted = select(legs).where(legs.c.model == model, legs.c.round.between(found[0].number, found[-1].number))
    for row in connection.execute(wanted.order_by(legs.c.round, legs.c.leg)):
        of_round[row.round].append(_leg(row))
    return [_round(row, of_round[row.number]) for row in found]


def account(connection: Connection, account: Address) -> records.Account | None:
    """Return an account's totals, None if no event names it."""
    row = connection.execute(select(accounts).where(accounts.c.account == account)).mappings().one_or_none()
    return None if row is None else records.Account(**row)


def seats_of(connection: Connection, account: Address, limit: int) -> list[records.Validator]:
    """Return the models that the account is or was a validator of."""
    query = select(validators).where(validators.c.account == account).order_by(validators.c.model).limit(limit)
    return [records.Validator(**row) for row in connection.execute(query).mappings()]


def tips_of(connection: Connection, account: Address, limit: int) -> list[records.Checkpoint]:
    """Return the tips that the account owns, over all models."""
    query = _checkpoints(_TIPS).where(checkpoints.c.owner == account).order_by(checkpoints.c.seq).limit(limit)
    return [_checkpoint(row) for row in connection.execute(query)]


def legs_of(connection: Connection, account: Address, after: int, limit: int) -> list[records.Leg]:
    """Return the account's legs in the order of their leases."""
    query = select(legs).where(legs.c.trainer == account, legs.c.leased_event > after)
    return [_leg(row) for row in connection.execute(query.order_by(legs.c.leased_event).limit(limit))]


def royalties_of(connection: Connection, account: Address, after: int, limit: int) -> list[records.Checkpoint]:
    """Return the account's checkpoints that royalties ever reached, in the order of their first submission."""
    paid = or_(checkpoints.c.pending != 0, checkpoints.c.collected != 0)
    query = _checkpoints().where(checkpoints.c.owner == account, checkpoints.c.seq > after, paid)
    return [_checkpoint(row) for row in connection.execute(query.order_by(checkpoints.c.seq).limit(limit))]


def waiting_royalties(connection: Connection, model: ModelId, account: Address) -> list[Root]:
    """Return those of the account's checkpoints where royalties wait, in the order of their first submission."""
    query = select(checkpoints.c.root).where(_is(model), checkpoints.c.owner == account, checkpoints.c.pending != 0)
    return list(connection.scalars(query.order_by(checkpoints.c.seq)))


def statement(
    connection: Connection,
    after: tuple[int, int],
    limit: int,
    *,
    account: Address | None = None,
    model: ModelId | None = None,
    round: int | None = None,
    moved: bool = False,
) -> list[records.StatementLine]:
    """Return lines in the order of the log, after (event, ordinal in it): an account's, a round's, or both's.

    `moved` leaves out those that changed no free balance.
    """
    query = select(lines, *_reference_columns(events, "reference")).join(events, events.c.seq == lines.c.seq)
    query = query.where(tuple_(lines.c.seq, lines.c.ordinal) > tuple_(*after))
    wanted = ((lines.c.account, account), (lines.c.model, model), (lines.c.round, round))
    query = query.where(*(column == value for column, value in wanted if value is not None))
    if moved:
        query = query.where(lines.c.amount != 0)
    rows = connection.execute(query.order_by(lines.c.seq, lines.c.ordinal).limit(limit)).mappings()
    return [records.StatementLine(**_own(lines, row), reference=_reference(row, "reference")) for row in rows]


def stored_events(connection: Connection, after: int, limit: int) -> list[tuple[int, Event]]:
    """Return events with their places in the log, in its order, after a place."""
    query = select(events.c.seq, events.c.name, events.c.payload).where(events.c.seq > after)
    rows = connection.execute(query.order_by(events.c.seq).limit(limit))
    return [(row.seq, event_from_json(row.name, row.payload)) for row in rows]


def edges(connection: Connection, model: ModelId) -> tuple[Edge, ...]:
    """Return every submitted leg of a model as an edge, in the order of submission."""
    query = select(legs).where(legs.c.model == model, legs.c.child.is_not(None)).order_by(legs.c.submitted_event)
    return tuple(
        Edge(
            child=row.child,
            parent=row.parent,
            trainer=row.trainer,
            round=row.round,
            leg=row.leg,
            segment=row.segment,
            score=UNAVAILABLE if row.score is None else Ppm(row.score),
            selected=row.status == "selected",
        )
        for row in connection.execute(query)
    )


def _is(model: ModelId) -> ColumnElement[bool]:
    return checkpoints.c.model == model


def _models() -> Select[Any]:
    return select(models, *_reference_columns(_SUBMITTED, "created")).join(_SUBMITTED, _SUBMITTED.c.seq == models.c.seq)


def _checkpoints(source: FromClause = checkpoints) -> Select[Any]:
    """Select checkpoints with the places of their events; `source` is a join that has them, smallest table first."""
    places = (*_reference_columns(_SUBMITTED, "submitted"), *_reference_columns(_SETTLED, "settled"))
    source = source.join(_SUBMITTED, _SUBMITTED.c.seq == checkpoints.c.submitted_event)
    source = source.outerjoin(_SETTLED, _SETTLED.c.seq == checkpoints.c.settled_event)
    return select(checkpoints, *places).select_from(source)


def _reference_columns(table: FromClause, prefix: str) -> list[ColumnElement[Any]]:
    names = ("seq", "name", "block_number", "block_hash", "block_time", "transaction", "log_index")
    return [table.c[name].label(f"{prefix}__{name}") for name in names]


def _reference(row: Any, prefix: str) -> records.Reference:
    return records.Reference(
        seq=row[f"{prefix}__seq"],
        event=row[f"{prefix}__name"],
        block_number=row[f"{prefix}__block_number"],
        block_hash=row[f"{prefix}__block_hash"],
        block_time=row[f"{prefix}__block_time"],
        transaction=row[f"{prefix}__transaction"],
        log_index=row[f"{prefix}__log_index"],
    )


def _own(table: Table, row: Any, *without: str) -> Mapping:
    return {column.name: row[column.name] for column in table.columns if column.name not in without}


def _model(row: Row[Any]) -> records.Model:
    values = _own(models, row._mapping, "seq") | {"phase": Phase(row.phase)}
    return records.Model(**values, created=_reference(row._mapping, "created"))


def _checkpoint(row: Row[Any]) -> records.Checkpoint:
    values = _own(checkpoints, row._mapping, "submitted_event", "settled_event") | {"status": _status(row.status)}
    settled = None if row.settled_event is None else _reference(row._mapping, "settled")
    return records.Checkpoint(**values, submitted=_reference(row._mapping, "submitted"), settled=settled)


def _leg(row: Row[Any]) -> records.Leg:
    values = _own(legs, row._mapping, "leased_event", "submitted_event", "settled_event")
    values |= {"status": _status(row.status)}
    return records.Leg(**values, seq=row.leased_event)


def _status(word: str) -> str:
    return _ENDINGS.get(word, word)


def _round(row: Row[Any], found: list[records.Leg]) -> records.Round:
    values = _own(rounds, row._mapping, "legs", "validators", "void_reason", "phase", "started_event", "ended_event")
    return records.Round(
        **values,
        phase=Phase(row.phase),
        void_reason=None if row.void_reason is None else VoidReason(row.void_reason),
        validators=tuple(json.loads(row.validators)),
        legs=tuple(found),
    )
