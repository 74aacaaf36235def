"""What the log tells a bidder: what its own rounds brought, and what a selected leg earned lately."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BindParameter, Connection, bindparam, or_, select

from derelayl_protocol.ledger.experience import WINDOW, Past, Tried
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.statement.transfers import Kind
from derelayl_protocol.types import Address, ModelId, Timestamp, Wei

from .questions import Question, first
from .tables import INT_64, HexBytes, events, legs, lines, models

REMEMBERED_ROUNDS: Final = 4 * WINDOW
"""Newest rounds with a bid that are told: what came before weighs 2 % in a bidder's averages."""

LINES_OF_A_ROUND: Final = 4
"""Lines that a round has at most for one bidder: the bid, what of it returns at once and at the end, the reward."""

REWARDED_LEGS: Final = 32
"""Newest selected legs whose mean reward is told: those of a few rounds."""

_MODEL = bindparam("model", type_=HexBytes())
_ACCOUNT: Final[BindParameter[str]] = bindparam("account")
_BEFORE = bindparam("before", type_=INT_64)
_LIMIT = bindparam("limit", type_=INT_64)

_ROUND: Final = Question(select(models.c.round).where(models.c.model == _MODEL), first)
_LINES: Final = Question(
    select(lines.c.round, lines.c.amount, events.c.block_time)
    .join(events, events.c.seq == lines.c.seq)
    .where(lines.c.account == _ACCOUNT, lines.c.model == _MODEL, lines.c.round < _BEFORE)
    .where(or_(*(lines.c.kind == kind.value for kind in (Kind.BID, Kind.BID_RETURNED, Kind.TRAINER_REWARD))))
    .order_by(lines.c.seq.desc(), lines.c.ordinal.desc())
    .limit(_LIMIT),
    tuple,
)
_ENDINGS: Final = Question(
    select(legs.c.round, legs.c.status)
    .where(legs.c.trainer == _ACCOUNT, legs.c.model == _MODEL, legs.c.round < _BEFORE)
    .order_by(legs.c.leased_event.desc())
    .limit(_LIMIT),
    tuple,
)
_REWARDS: Final = Question(
    select(legs.c.reward)
    .where(legs.c.model == _MODEL, legs.c.status == LegEnding.SELECTED.value)
    .order_by(legs.c.round.desc(), legs.c.leg)
    .limit(_LIMIT),
    first,
)


def past(connection: Connection, model: ModelId, account: Address, before: int) -> Past | None:
    """Return what is known to a bidder of round `before`; None while the index has not read that it has begun.

    In the first round that is nothing, for which nobody need wait: others open it, and its window is short.
    """
    if before == 1:
        return Past((), Wei(0))
    if (_ROUND.one(connection, model=model) or 0) < before:
        return None
    whose = {"account": account, "model": model, "before": before}
    brought: dict[int, int] = {}
    times: dict[int, Timestamp] = {}
    for number, amount, time in _LINES.all(connection, **whose, limit=REMEMBERED_ROUNDS * LINES_OF_A_ROUND):
        brought[number] = brought.get(number, 0) + amount
        times.setdefault(number, Timestamp(time))  # the newest line comes first
    endings: dict[int, LegEnding] = dict(_ENDINGS.all(connection, **whose, limit=REMEMBERED_ROUNDS))
    newest = sorted(brought)[-REMEMBERED_ROUNDS:]
    tries = (Tried(number, times[number], Wei(brought[number]), endings.get(number)) for number in newest)
    rewards = _REWARDS.all(connection, model=model, limit=REWARDED_LEGS)
    return Past(tuple(tries), Wei(sum(rewards) // max(len(rewards), 1)))
