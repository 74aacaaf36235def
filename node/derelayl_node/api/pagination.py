"""Cursor pagination: opaque cursors that name a place in the event log, bound to the list they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field

from .problems import Problem

MAX_LIMIT: Final = 200
"""Items on one page: about 200 kB of JSON."""

DEFAULT_LIMIT: Final = 50
MAX_PROOF_STEPS: Final = 50
"""Checkpoints in one proof: each costs hashing a whole chunk table."""

MAX_CURSOR: Final = 200
"""Characters of a cursor."""

_SCOPE_BYTES: Final = 6

T = TypeVar("T")
R = TypeVar("R")


class Page(BaseModel, Generic[T]):
    """A part of a list, in a fixed order; follow `next` until it is null to see every item once."""

    items: list[T]
    next: str | None = Field(description="Path and query of the following page; null on the last one")


@dataclass(frozen=True, slots=True)
class Paging:
    """One page's request: at most `limit` items after `after` (empty: from the start)."""

    limit: int
    after: tuple[int, ...]
    _path: str
    _filters: tuple[tuple[str, str], ...]
    _response: Response

    def position(self, size: int) -> tuple[int, ...]:
        """Return where the page begins, as `size` integers, zeros for the start."""
        if self.after and len(self.after) != size:
            raise bad_cursor()
        return self.after or (0,) * size

    def page(self, found: Sequence[R], place: Callable[[R], tuple[int, ...]], show: Callable[[R], T]) -> Page[T]:
        """Make the page of up to `limit` + 1 found items, of which the last only shows that there are more."""
        shown = found[: self.limit]
        following = self.link(place(shown[-1])) if len(found) > self.limit else None
        return Page(items=[show(item) for item in shown], next=following)

    def link(self, place: tuple[int, ...]) -> str:
        """Return the URL of what follows `place`, and set it as the answer's Link header."""
        cursor = _encode(_scope(self._path, self._filters), place)
        query = [*self._filters, ("limit", str(self.limit)), ("cursor", cursor)]
        url = f"{self._path}?{urlencode(query)}"
        self._response.headers["link"] = f'<{url}>; rel="next"'
        return url


CursorQuery = Annotated[str | None, Query(max_length=MAX_CURSOR, description="Taken from a `next` link")]
LimitQuery = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items on a page")]
ProofLimitQuery = Annotated[int, Query(ge=1, le=MAX_PROOF_STEPS, description="Checkpoints in one answer")]


async def list_paging(
    request: Request, response: Response, limit: LimitQuery = DEFAULT_LIMIT, cursor: CursorQuery = None
) -> Paging:
    """Read `limit` and `cursor` of a list; every other query parameter is one of its filters."""
    return _paging(request, response, limit, cursor)


async def proof_paging(
    request: Request, response: Response, limit: ProofLimitQuery = MAX_PROOF_STEPS, cursor: CursorQuery = None
) -> Paging:
    """Read `limit` and `cursor` of a proof."""
    return _paging(request, response, limit, cursor)


def bad_cursor() -> Problem:
    """Say that a cursor does not belong here."""
    detail = "The cursor is damaged or belongs to another list; start again without it."
    return Problem(400, "bad-cursor", "Bad cursor", detail)


def _paging(request: Request, response: Response, limit: int, cursor: str | None) -> Paging:
    filters = tuple(sorted((k, v) for k, v in request.query_params.multi_items() if k not in ("limit", "cursor")))
    path = request.url.path
    after = () if cursor is None else _decode(_scope(path, filters), cursor)
    return Paging(limit, after, path, filters, response)


def _scope(path: str, filters: tuple[tuple[str, str], ...]) -> str:
    return hashlib.sha256(repr((path, filters)).encode()).hexdigest()[: 2 * _SCOPE_BYTES]


def _encode(scope: str, place: tuple[int, ...]) -> str:
    return base64.urlsafe_b64encode(json.dumps([scope, *place], separators=(",", ":")).encode()).decode().rstrip("=")


def _decode(scope: str, cursor: str) -> tuple[int, ...]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found = json.loads(text)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise bad_cursor() from error
    if not isinstance(found, list) or len(found) < 2 or found[0] != scope:
        raise bad_cursor()
    place = found[1:]
    if any(type(number) is not int or not 0 <= number < 2**63 for number in place):
        raise bad_cursor()
    return tuple(place)
