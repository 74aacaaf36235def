"""Every error as problem details (RFC 9457), media type ``application/problem+json``."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from derelayl_protocol.checkpoint.manifest import ManifestRejected

from ..lineage.database import GivenUp, IndexUnusable, QueryTooSlow
from ..ports import StoreDamaged

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:derelayl:problem:"

log = logging.getLogger(__name__)


class ProblemDetails(BaseModel):
    """An error as of RFC 9457; some types have further members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description=f"What went wrong: `about:blank` or a name that begins with `{TYPE_PREFIX}`")
    title: str = Field(description="The same for every error of this type")
    status: int = Field(description="HTTP status code")
    detail: str = Field(description="What went wrong this time, and the remedy")
    instance: str = Field(description="Path of the request")


class Problem(Exception):
    """An answer that is an error; raise it anywhere in an endpoint."""

    def __init__(
        self,
        status: int,
        name: str,
        title: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.body = {"type": TYPE_PREFIX + name, "title": title, "status": status, "detail": detail, **members}


def not_found(what: str, name: str) -> Problem:
    """Say that the index knows no such thing."""
    detail = f"The index has no {what} {name}; it may be in a block that has not been read yet."
    return Problem(404, f"unknown-{what.replace(' ', '-')}", f"Unknown {what}", detail)


def response(problem: Problem, path: str, headers: Mapping[str, str] | None = None) -> Response:
    """Write a problem about the request to `path`."""
    return _respond(problem.body | {"instance": path}, headers)


def plain(status: int, detail: str, path: str, headers: Mapping[str, str] | None = None) -> Response:
    """Write an error that the status code alone explains."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": path}
    return _respond(body, headers)


def install(app: FastAPI) -> None:
    """Make the app answer every expected failure with a problem; the unexpected ones are the middleware's."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(GivenUp, _to_nobody)
    for kind in (QueryTooSlow, IndexUnusable, StoreDamaged, ManifestRejected):
        app.add_exception_handler(kind, _unavailable)


def _respond(body: Mapping[str, object], headers: Mapping[str, str] | None) -> Response:
    sent = {"cache-control": "no-store"} | dict(headers or {})
    status = body["status"]
    if not isinstance(status, int):
        raise TypeError("a problem's status is an integer")
    return Response(json.dumps(body), status, sent, MEDIA_TYPE)


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return response(error, request.url.path, error.headers)


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    details = {
        404: "There is nothing at this path; /openapi.json lists what there is.",
        405: "This API only reads: use GET or HEAD.",
    }
    detail = details.get(error.status_code, str(error.detail))
    return plain(error.status_code, detail, request.url.path, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    found = [{"where": ".".join(str(part) for part in e["loc"]), "message": e["msg"]} for e in error.errors()]
    detail = "; ".join(f"{one['where']}: {one['message']}" for one in found)
    problem = Problem(422, "invalid-request", "Invalid request", detail, errors=found)
    return response(problem, request.url.path)


async def _to_nobody(request: Request, error: Exception) -> Response:
    """End a request whose client has left; the code is what web servers write into their logs for it."""
    return Response(status_code=499)


async def _unavailable(request: Request, error: Exception) -> Response:
    """Answer for damage and overload on our side; what names files of this machine goes to the log alone."""
    detail = "The index or the checkpoint store failed; the node's log tells why, and the remedy."
    if isinstance(error, QueryTooSlow):
        detail = f"{error}; ask for a smaller page"
    log.error("%s: %s", request.url.path, error)
    problem = Problem(503, "unavailable", "Temporarily unavailable", detail)
    return response(problem, request.url.path, {"retry-after": "10"})
