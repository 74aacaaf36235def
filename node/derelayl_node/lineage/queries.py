"""Questions to the index: pure reads on a connection, each bounded by `limit` and resumed after a position.

Positions are places in the event log, which only grows: rows that arrive while somebody walks the pages come after
those already given. (A reorganisation of the chain may take rows away; then so do the pages.)
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from derelayl_protocol.checkpoint.ancestry import Edge
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.types import UNAVAILABLE, Address, ModelId, Ppm, Root

from . import records
from .event_json import event_from_json
from .questions import Question, Values, columns, first
from .tables import (
    INT_64,
    HexBytes,
    accounts,
    blocks,
    checkpoints,
    events,
    legs,
    lines,
    models,
    rounds,
    tips,
    validators,
)

_SUBMITTED = events.alias("submitted")
_SETTLED = events.alias("settled")

_PLACE: Final = ("seq", "name", "block_number", "block_hash", "block_time", "transaction", "log_index")
"""Columns of a Reference, in its order."""


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=INT_64)


def _bytes(name: str) -> BindParameter[bytes]:
    return bindparam(name, type_=HexBytes())


def _text(name: str) -> BindParameter[str]:
    return bindparam(name)


_MODEL: Final = _bytes("model")
_ROOT: Final = _bytes("root")
_ACCOUNT: Final = bindparam("account", type_=accounts.c.account.type)
_AFTER: Final = _number("after")
_LIMIT: Final = _number("limit")


def _place(table: FromClause) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in _PLACE]


def _checkpoints(source: FromClause = checkpoints, *before: ColumnElement[Any]) -> Select[Any]:
    """Select checkpoints with the places of their events; `source` is a join that has them, smallest table first."""
    source = source.join(_SUBMITTED, _SUBMITTED.c.seq == checkpoints.c.submitted_event)
    source = source.outerjoin(_SETTLED, _SETTLED.c.seq == checkpoints.c.settled_event)
    shown = columns(records.Checkpoint, checkpoints)
    return select(*before, *shown, *_place(_SUBMITTED), *_place(_SETTLED)).select_from(source)


def _models() -> Select[Any]:
    query = select(*columns(records.Model, models), *_place(_SUBMITTED))
    return query.join(_SUBMITTED, _SUBMITTED.c.seq == models.c.seq)


def _with_reference(values: Values) -> Values:
    """Put the last values, those of a Reference, into one."""
    return [*values[: -len(_PLACE)], records.Reference(*values[-len(_PLACE) :])]


def _checkpoint(values: Values) -> records.Checkpoint:
    settled = values[-len(_PLACE) :]
    submitted, own = values[-2 * len(_PLACE) : -len(_PLACE)], values[: -2 * len(_PLACE)]
    after = None if settled[0] is None else records.Reference(*settled)
    return records.Checkpoint(*[*own, records.Reference(*submitted), after])


def _model(values: Values) -> records.Model:
    return records.Model(*_with_reference(values))


def _tip(values: Values) -> records.Tip:
    position, since_round, *rest = values
    return records.Tip(position, since_round, _checkpoint(rest))


def _leg(values: Values) -> records.Leg:
    return records.Leg(*values)


def _line(values: Values) -> records.StatementLine:
    return records.StatementLine(*_with_reference(values))


def _edge(values: Values) -> Edge:
    child, parent, trainer, round, leg, segment, score, status = values
    score = UNAVAILABLE if score is None else Ppm(score)
    return Edge(child, parent, trainer, round, leg, segment, score, status is LegEnding.SELECTED)


_HEAD: Final = Question(
    select(blocks.c.number, blocks.c.hash, blocks.c.time).order_by(blocks.c.number.desc()).limit(1), tuple
)
_EVENTS: Final = Question(select(func.max(events.c.seq)), first)
_A_MODEL: Final = Question(_models().where(models.c.model == _MODEL), _model)
_MODELS: Final = Question(_models().where(models.c.seq > _AFTER).order_by(models.c.seq).limit(_LIMIT), _model)
_MODELS_OF: Final = Question(
    select(checkpoints.c.model).where(checkpoints.c.root == _ROOT).order_by(checkpoints.c.seq), first
)
_NAMED: Final = Question(_checkpoints().where(checkpoints.c.root == _ROOT).order_by(checkpoints.c.seq), _checkpoint)
_A_CHECKPOINT: Final = Question(
    _checkpoints().where(checkpoints.c.model == _MODEL, checkpoints.c.root == _ROOT), _checkpoint
)
_CHECKPOINT_AT: Final = Question(
    _checkpoints().where(checkpoints.c.model == _MODEL, checkpoints.c.seq == _number("seq")), _checkpoint
)


def head(connection: Connection) -> records.Head:
    """Return the newest block read, and how many events are stored: their places have no gaps."""
    count = _EVENTS.one(connection) or 0
    number, hash, time = _HEAD.one(connection) or (None, None, None)
    return records.Head(number, hash, time, count)


def model(connection: Connection, model: ModelId) -> records.Model | None:
    """Return one model, None if unknown."""
    return _A_MODEL.one(connection, model=model)


def all_models(connection: Connection, after: int, limit: int) -> list[records.Model]:
    """Return models in the order of their creation."""
    return _MODELS.all(connection, after=after, limit=limit)


def models_of(connection: Connection, root: Root) -> list[ModelId]:
    """Return the models that know a root; one genesis may begin several."""
    return _MODELS_OF.all(connection, root=root)


def checkpoints_named(connection: Connection, root: Root) -> list[records.Checkpoint]:
    """Return the checkpoints with a root, one for each model that knows it."""
    return _NAMED.all(connection, root=root)


def checkpoint(connection: Connection, model: ModelId, root: Root) -> records.Checkpoint | None:
    """Return one checkpoint, None if unknown."""
    return _A_CHECKPOINT.one(connection, model=model, root=root)


def checkpoint_at(connection: Connection, model: ModelId, seq: int) -> records.Checkpoint | None:
    """Return the checkpoint whose place in the log is `seq`."""
    return _CHECKPOINT_AT.one(connection, model=model, seq=seq)


def all_checkpoints(
    connection: Connection,
    model: ModelId,
    after: int | None,
    limit: int,
    status: str | None = None,
    newest: bool = False,
) -> list[records.Checkpoint]:
    """Return a model's checkpoints in the order of their first submission, or reversed; None: from the start."""
    question = _checkpoints_of(after is not None, status is not None, newest)
    return question.all(connection, model=model, after=after, limit=limit, status=status)


@cache
def _checkpoints_of(resumed: bool, of_status: bool, newest: bool) -> Question[records.Checkpoint]:
    seq = checkpoints.c.seq
    query = _checkpoints().where(checkpoints.c.model == _MODEL)
    if resumed:
        query = query.where(seq < _AFTER if newest else seq > _AFTER)
    if of_status:
        query = query.where(checkpoints.c.status == _text("status"))
    return Question(query.order_by(seq.desc() if newest else seq).limit(_LIMIT), _checkpoint)


def _upwards() -> Select[Any]:
    step = (
        select(checkpoints.c.model, checkpoints.c.parent.label("root"), cast(literal_column("1"), INT_64).label("step"))
        .where(checkpoints.c.model == _MODEL, checkpoints.c.root == _ROOT)
        .cte("line", recursive=True)
    )
    above = checkpoints.alias("above")
    upward = select(above.c.model, above.c.parent, step.c.step + 1)
    upward = upward.where(above.c.root == step.c.root, above.c.model == step.c.model)
    line = step.union_all(upward.where(step.c.step < _LIMIT))
    tied = (checkpoints.c.model == line.c.model) & (checkpoints.c.root == line.c.root)
    return _checkpoints(line.join(checkpoints, tied)).order_by(line.c.step).limit(_LIMIT)


def _downwards() -> Select[Any]:
    is_parent = (checkpoints.c.model == _MODEL) & (checkpoints.c.parent == _ROOT)
    base = select(checkpoints.c.root).where(is_parent).cte("below", recursive=True)
    child = checkpoints.alias("child")
    below = base.union_all(select(child.c.root).where(child.c.model == _MODEL, child.c.parent == base.c.root))
    query = _checkpoints().where(checkpoints.c.model == _MODEL, checkpoints.c.root.in_(select(below.c.root)))
    return query.where(checkpoints.c.seq > _AFTER).order_by(checkpoints.c.seq).limit(_LIMIT)


_ANCESTORS: Final = Question(_upwards(), _checkpoint)
_DESCENDANTS: Final = Question(_downwards(), _checkpoint)


def ancestors(connection: Connection, model: ModelId, root: Root, limit: int) -> list[records.Checkpoint]:
    """Return what `root` was made from, the nearest first, without `root`."""
    return _ANCESTORS.all(connection, model=model, root=root, limit=limit)


def descendants(connection: Connection, model: ModelId, root: Root, after: int, limit: int) -> list[records.Checkpoint]:
    """Return what was made from `root`, accepted or not, in the order of their first submission, without `root`."""
    return _DESCENDANTS.all(connection, model=model, root=root, after=after, limit=limit)


_OF_TIPS: Final = tips.join(checkpoints, (tips.c.model == checkpoints.c.model) & (tips.c.root == checkpoints.c.root))
_TIPS: Final = Question(
    _checkpoints(_OF_TIPS, tips.c.position, tips.c.since_round).where(tips.c.model == _MODEL).order_by(tips.c.position),
    _tip,
)
_LEG: Final = (*columns(records.Leg, legs), legs.c.leased_event)
_ROUNDS: Final = Question(
    select(*columns(records.Round, rounds))
    .where(rounds.c.model == _MODEL, rounds.c.number > _AFTER)
    .order_by(rounds.c.number)
    .limit(_LIMIT),
    lambda values: records.Round(*[*values[:-1], ()]),  # the column called legs is their number
)
_LEGS_OF_ROUNDS: Final = Question(
    select(*_LEG)
    .where(legs.c.model == _MODEL, legs.c.round.between(_number("least"), _number("last")))
    .order_by(legs.c.round, legs.c.leg),
    _leg,
)


def all_tips(connection: Connection, model: ModelId) -> list[records.Tip]:
    """Return the tips that live now, at most MAX_TIPS, in the order of their settlement."""
    return _TIPS.all(connection, model=model)


def all_rounds(connection: Connection, model: ModelId, after: int, limit: int) -> list[records.Round]:
    """Return rounds with their legs, by number; `after` is a round number."""
    found = _ROUNDS.all(connection, model=model, after=after, limit=limit)
    if not found:
        return []
    of_round: dict[int, list[records.Leg]] = {one.number: [] for one in found}
    for leg in _LEGS_OF_ROUNDS.all(connection, model=model, least=found[0].number, last=found[-1].number):
        of_round[leg.round].append(leg)
    return [replace(one, legs=tuple(of_round[one.number])) for one in found]


_AN_ACCOUNT: Final = Question(
    select(*columns(records.Account, accounts)).where(accounts.c.account == _ACCOUNT),
    lambda values: records.Account(*values),
)
_SEATS: Final = Question(
    select(*columns(records.Validator, validators))
    .where(validators.c.account == _ACCOUNT)
    .order_by(validators.c.model)
    .limit(_LIMIT),
    lambda values: records.Validator(*values),
)
_TIPS_OF: Final = Question(
    _checkpoints(_OF_TIPS).where(checkpoints.c.owner == _ACCOUNT).order_by(checkpoints.c.seq).limit(_LIMIT), _checkpoint
)
_LEGS_OF: Final = Question(
    select(*_LEG)
    .where(legs.c.trainer == _ACCOUNT, legs.c.leased_event > _AFTER)
    .order_by(legs.c.leased_event)
    .limit(_LIMIT),
    _leg,
)
_ROYALTIES: Final = Question(
    _checkpoints()
    .where(checkpoints.c.owner == _ACCOUNT, checkpoints.c.seq > _AFTER)
    .where(or_(checkpoints.c.pending != 0, checkpoints.c.collected != 0))
    .order_by(checkpoints.c.seq)
    .limit(_LIMIT),
    _checkpoint,
)
_WAITING: Final = Question(
    select(checkpoints.c.root)
    .where(checkpoints.c.model == _MODEL, checkpoints.c.owner == _ACCOUNT, checkpoints.c.pending != 0)
    .order_by(checkpoints.c.seq),
    first,
)


def account(connection: Connection, account: Address) -> records.Account | None:
    """Return an account's totals, None if no event names it."""
    return _AN_ACCOUNT.one(connection, account=account)


def seats_of(connection: Connection, account: Address, limit: int) -> list[records.Validator]:
    """Return the models that the account is or was a validator of."""
    return _SEATS.all(connection, account=account, limit=limit)


def tips_of(connection: Connection, account: Address, limit: int) -> list[records.Checkpoint]:
    """Return the tips that the account owns, over all models."""
    return _TIPS_OF.all(connection, account=account, limit=limit)


def legs_of(connection: Connection, account: Address, after: int, limit: int) -> list[records.Leg]:
    """Return the account's legs in the order of their leases."""
    return _LEGS_OF.all(connection, account=account, after=after, limit=limit)


def royalties_of(connection: Connection, account: Address, after: int, limit: int) -> list[records.Checkpoint]:
    """Return the account's checkpoints that royalties ever reached, in the order of their first submission."""
    return _ROYALTIES.all(connection, account=account, after=after, limit=limit)


def waiting_royalties(connection: Connection, model: ModelId, account: Address) -> list[Root]:
    """Return those of the account's checkpoints where royalties wait, in the order of their first submission."""
    return _WAITING.all(connection, model=model, account=account)


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
    question = _lines(account is not None, model is not None, round is not None, moved)
    seq, ordinal = after
    return question.all(connection, after=seq, ordinal=ordinal, limit=limit, account=account, model=model, round=round)


@cache
def _lines(of_account: bool, of_model: bool, of_round: bool, moved: bool) -> Question[records.StatementLine]:
    query = select(*columns(records.StatementLine, lines), *_place(events)).join(events, events.c.seq == lines.c.seq)
    query = query.where(tuple_(lines.c.seq, lines.c.ordinal) > tuple_(_AFTER, _number("ordinal")))
    if of_account:
        query = query.where(lines.c.account == _ACCOUNT)
    if of_model:
        query = query.where(lines.c.model == _MODEL)
    if of_round:
        query = query.where(lines.c.round == _number("round"))
    if moved:
        query = query.where(lines.c.amount != 0)
    return Question(query.order_by(lines.c.seq, lines.c.ordinal).limit(_LIMIT), _line)


_STORED: Final = Question(
    select(events.c.seq, events.c.name, events.c.payload)
    .where(events.c.seq > _AFTER)
    .order_by(events.c.seq)
    .limit(_LIMIT),
    lambda values: (values[0], event_from_json(values[1], values[2])),
)
_EDGES: Final = Question(
    select(*(legs.c[name] for name in ("child", "parent", "trainer", "round", "leg", "segment", "score", "status")))
    .where(legs.c.model == _MODEL, legs.c.child.is_not(None))
    .order_by(legs.c.submitted_event),
    _edge,
)


def stored_events(connection: Connection, after: int, limit: int) -> list[tuple[int, Event]]:
    """Return events with their places in the log, in its order, after a place."""
    return _STORED.all(connection, after=after, limit=limit)


def edges(connection: Connection, model: ModelId) -> tuple[Edge, ...]:
    """Return every submitted leg of a model as an edge, in the order of submission."""
    return tuple(_EDGES.all(connection, model=model))
