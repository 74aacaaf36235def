"""Endpoints about accounts: what they hold, did and earned, from the ledger's events."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy import Connection

from derelayl_protocol.spelling import ANY_CASE_ADDRESS_PATTERN, parse_address

from ..lineage import queries, records
from .lineage import Context, Pages
from .pagination import MAX_LIMIT, Page
from .problems import not_found
from .readers import reads
from .schemas import AccountView, CheckpointView, LegView, RoyaltyView, SeatView

router = APIRouter(prefix="/v1/accounts/{address}", tags=["accounts"])

AddressPath = Annotated[str, Path(alias="address", pattern=ANY_CASE_ADDRESS_PATTERN, description="Ledger account")]


@router.get("")
@reads("lookups")
def show_account(context: Context, address: AddressPath) -> AccountView:
    """An account's balance, roles and totals."""
    with context.reading() as connection:
        found = _account(connection, address)
        seats = queries.seats_of(connection, found.account, MAX_LIMIT)
        tips = queries.tips_of(connection, found.account, MAX_LIMIT)
    beside = {
        "roles": _roles(found, seats, tips),
        "seats": tuple(map(SeatView.of, seats)),
        "tips": tuple(map(CheckpointView.of, tips)),
    }
    return AccountView.of(asdict(found) | beside)


@router.get("/legs")
@reads("pages")
def list_legs(context: Context, address: AddressPath, pages: Pages) -> Page[LegView]:
    """The account's legs in the order of their leases."""
    with context.reading() as connection:
        account = _account(connection, address).account
        found = queries.legs_of(connection, account, pages.position(1)[0], pages.limit + 1)
    return pages.page(found, lambda leg: (leg.seq,), LegView.of)


@router.get("/royalties")
@reads("pages")
def list_royalties(context: Context, address: AddressPath, pages: Pages) -> Page[RoyaltyView]:
    """The account's checkpoints that royalties reached, in the order of their first submission."""
    with context.reading() as connection:
        account = _account(connection, address).account
        found = queries.royalties_of(connection, account, pages.position(1)[0], pages.limit + 1)
    return pages.page(found, lambda one: (one.seq,), RoyaltyView.of)


def _account(connection: Connection, text: str) -> records.Account:
    found = queries.account(connection, parse_address(text))
    if found is None:
        raise not_found("account", text.lower())
    return found


def _roles(account: records.Account, seats: list[records.Validator], tips: list[records.Checkpoint]) -> list[str]:
    held = {
        "creator": account.models > 0,
        "trainer": account.legs > 0,
        "validator": any(seat.stake > 0 for seat in seats),
        "owner": bool(tips),
    }
    return [role for role, holds in held.items() if holds]
