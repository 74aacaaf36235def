"""Endpoints that say where every wei of an account came from, and why nothing came."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from derelayl_protocol.spelling import ANY_CASE_HASH_PATTERN, from_hex, parse_address
from derelayl_protocol.types import ModelId

from ..fields import Hex32
from ..lineage import queries
from ..lineage.records import StatementLine
from .accounts import AddressPath
from .lineage import Context, ModelPath, Pages
from .pagination import Page
from .problems import not_found
from .readers import reads
from .schemas import EventPlace, View, Wei

router = APIRouter(prefix="/v1", tags=["statements"])

MAX_ROUND = 2**63 - 1
RoundPath = Annotated[int, Path(alias="round", ge=1, le=MAX_ROUND, description="Number of a round, from 1")]
OfModel = Annotated[
    str | None, Query(alias="model", pattern=ANY_CASE_HASH_PATTERN, description="Only lines about this model")
]
Moved = Annotated[bool, Query(description="Only lines that changed the free balance")]
OfRound = Annotated[int | None, Query(alias="round", ge=1, le=MAX_ROUND, description="Only lines about this round")]


class StatementLineView(View):
    """One line of a statement: what moved or did not move, why, and the event that says so."""

    account: str | None = Field(description="Whose line it is; null for a line about a round as a whole")
    model: Hex32 | None = Field(description="null for deposits and withdrawals")
    round: int | None = Field(description="Round that it belongs to; null if to none")
    kind: str = Field(examples=["bid forfeited"])
    amount_wei: Wei = Field(description="Signed change of the free balance; 0 where only a reason is given")
    balance_after_wei: Wei = Field(validation_alias="balance", description="The account's free balance after this line")
    sentence: str = Field(description="What happened and why; amounts in tokens, rounded towards zero")
    event: EventPlace = Field(validation_alias="reference")


@router.get("/accounts/{address}/statement")
@reads("pages")
def show_statement(
    context: Context,
    address: AddressPath,
    pages: Pages,
    model: OfModel = None,
    round: OfRound = None,
    moved: Moved = False,
) -> Page[StatementLineView]:
    """Where every wei of the account's free balance came from or went, and why nothing came, oldest first."""
    account = parse_address(address)
    only = None if model is None else ModelId(from_hex(model))
    with context.reading() as connection:
        if queries.account(connection, account) is None:
            raise not_found("account", account)
        found = queries.statement(
            connection, _after(pages), pages.limit + 1, account=account, model=only, round=round, moved=moved
        )
    return pages.page(found, _place, StatementLineView.of)


@router.get("/models/{model}/rounds/{round}/statement")
@reads("pages")
def show_round_statement(context: Context, model: ModelPath, round: RoundPath, pages: Pages) -> Page[StatementLineView]:
    """What a round brought and cost everybody who took part, and why, in the order of the events."""
    wanted = ModelId(from_hex(model))
    with context.reading() as connection:
        known = queries.model(connection, wanted)
        if known is None:
            raise not_found("model", model.lower())
        if round > known.round:
            raise not_found("round", str(round))
        found = queries.statement(connection, _after(pages), pages.limit + 1, model=wanted, round=round)
    return pages.page(found, _place, StatementLineView.of)


def _after(pages: Pages) -> tuple[int, int]:
    seq, ordinal = pages.position(2)
    return (seq, ordinal) if pages.after else (0, 0)


def _place(line: StatementLine) -> tuple[int, ...]:
    return (line.seq, line.ordinal)
