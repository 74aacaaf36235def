"""The outermost layer of ours: bounds, HEAD, entity tags, security headers, kept answers, the last word on errors."""

from __future__ import annotations

import hashlib
import logging
from typing import Final

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .answers import Answer, Answers
from .problems import plain
from .readers import KEEP

MAX_TARGET_BYTES: Final = 4_096
"""Path and query together; the longest legitimate one has under 500."""

REQUEST_SECONDS: Final = 30.0
"""The longest a request may take; a query alone is ended much sooner."""

METHODS: Final = ("GET", "HEAD", "OPTIONS")

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-resource-policy": "cross-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

log = logging.getLogger(__name__)


class Edge:
    """ASGI middleware around the whole app. Public data, read only: nobody may send a body."""

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send, self._answers)
        early = _refusal(scope)
        if early is not None:
            await early(scope, receive, answer)
            return
        if await answer.sent_as_kept():
            return
        with anyio.move_on_after(REQUEST_SECONDS) as deadline:
            await self._run(scope, receive, answer)
        if deadline.cancelled_caught and not answer.begun:
            late = plain(503, f"The request took longer than {REQUEST_SECONDS:g} s.", scope["path"])
            await late(scope, receive, answer)

    async def _run(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        inner = dict(scope) | {KEEP: answer.keep}
        if scope["method"] == "HEAD":
            inner["method"] = "GET"
        try:
            await self._app(inner, receive, answer)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if answer.begun:
                raise
            failure = plain(500, "This is a defect of the node; its log has the details.", scope["path"])
            await failure(scope, receive, answer)


class _Answer:
    """The `send` of one request: adds headers and the entity tag, turns a matching one into 304, drops HEAD's body."""

    def __init__(self, scope: Scope, send: Send, answers: Answers) -> None:
        self._send = send
        self._method = scope["method"]
        self._answers, self._key = answers, (scope["path"], scope["query_string"])
        self._count = answers.changes()
        self._kept = False
        self._known = Headers(scope=scope).get("if-none-match", "")
        self._start: Message | None = None
        self._body: list[bytes] = []
        self.begun = False

    def keep(self) -> None:
        """Keep the answer until the index changes, if it becomes a document."""
        self._kept = True

    async def sent_as_kept(self) -> bool:
        """Send the answer that is kept for this request; False if there is none."""
        kept = self._answers.get(self._key) if self._method in ("GET", "HEAD") else None
        if kept is not None:
            await self._deliver(kept)
        return kept is not None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if not _tagged(message["status"], headers):
                await self._pass(message)
            else:
                self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._finish(self._start, b"".join(self._body))
        else:
            await self._pass(message)

    async def _finish(self, start: Message, body: bytes) -> None:
        headers = MutableHeaders(raw=start["headers"])
        headers.setdefault("cache-control", "no-cache")
        headers["etag"] = tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        answer = Answer(tuple(headers.raw), body, tag)
        if self._kept:
            self._answers.put(self._key, self._count, answer)
        await self._deliver(answer)

    async def _deliver(self, answer: Answer) -> None:
        status, body = 200, answer.body
        headers = MutableHeaders(raw=list(answer.headers))  # of its own: others add to it on the way out
        if _matches(self._known, answer.tag):
            status, body = 304, b""
            del headers["content-length"], headers["content-type"]
        await self._pass({"type": "http.response.start", "status": status, "headers": headers.raw})
        await self._pass({"type": "http.response.body", "body": body})

    async def _pass(self, message: Message) -> None:
        self.begun = True
        if self._method == "HEAD" and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _refusal(scope: Scope) -> Response | None:
    headers = Headers(scope=scope)
    if scope["method"] == "OPTIONS":
        return Response(None, 204, {"allow": ", ".join(METHODS)})
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
        return plain(414, f"Path and query are longer than {MAX_TARGET_BYTES} bytes.", scope["path"][:MAX_TARGET_BYTES])
    reads = scope["method"] in ("GET", "HEAD")
    if reads and (headers.get("content-length", "0") != "0" or "transfer-encoding" in headers):
        return plain(413, "This API takes no request body.", scope["path"], {"connection": "close"})
    return None


def _tagged(status: int, headers: Headers) -> bool:
    """Tell whether an answer gets an entity tag: JSON documents that may be cached; files have their own."""
    json = headers.get("content-type", "").startswith("application/json")
    return status == 200 and json and "etag" not in headers and headers.get("cache-control") != "no-store"


def _matches(known: str, tag: str) -> bool:
    """Compare weakly, as RFC 9110 section 13.1.2 asks for."""
    return known.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in known.split(","))
