"""How requests read the index: in a few threads, a bounded number at once, given up when their clients leave."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from threading import Event
from typing import Any, Final, Literal, TypeVar, get_args

import trio
from fastapi import Request, Response
from outcome import Outcome, capture
from pydantic import BaseModel
from starlette.types import Receive

from ..lineage.database import GivenUp
from .problems import Problem

THREADS: Final = 4
"""Readers of a kind. Python runs one of them at a time, between two turns of the node's loop; four wait for disks and
servers while the loop waits for at most four turns."""

MAX_WAITING: Final = 32
"""Requests of a kind that may wait for a reader: at a tenth of a second each, the last one is served in a second."""

RETRY_SECONDS: Final = 2
"""When a refused client may come again, in seconds."""

KEEP: Final = "derelayl.keep"
"""In a request's scope: what an endpoint calls to have its answer kept."""

_ABANDON: Final[dict[str, Any]] = {"abandon_on_cancel": True}  # the stubs know its old name alone

T = TypeVar("T")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Kind = Literal["lookups", "pages"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(slots=True)
class Readers:
    """The threads for one kind of question; a crowd with heavy ones leaves those for the others alone."""

    kind: Kind
    threads: int = THREADS
    waiting: int = MAX_WAITING
    refused: int = 0
    given_up: int = 0
    _inside: int = 0
    _limiter: trio.CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        self._limiter = trio.CapacityLimiter(self.threads)

    async def run(self, receive: Receive, read: Callable[[Callable[[], bool]], T]) -> T:
        """Call `read` in a thread, with a function that tells whether its client has left.

        Raises what `read` raises, a Problem if too many wait, GivenUp when the client leaves.
        """
        if self._inside >= self.threads + self.waiting:
            self.refused += 1
            detail = f"More than {self.waiting} requests for {self.kind} wait already; come again."
            raise Problem(503, "busy", "Busy", detail, {"retry-after": str(RETRY_SECONDS)})
        left = Event()
        found: Outcome[T] | None = None
        # Abandoned, the thread keeps its place among the limiter's until it sees that nobody waits.
        call: Any = partial(trio.to_thread.run_sync, limiter=self._limiter, **_ABANDON)
        self._inside += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_when_left, receive, nursery.cancel_scope)
                try:
                    found = await call(capture, read, left.is_set)  # caught there, it passes the nursery as it is
                finally:
                    left.set()
                nursery.cancel_scope.cancel()
        finally:
            self._inside -= 1
        if found is None:
            self.given_up += 1
            raise GivenUp
        return found.unwrap()


async def _when_left(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def reads(kind: Kind, *, index_alone: bool = True) -> Callable[[Endpoint], Endpoint]:
    """Make an endpoint of a plain function that asks the index and gives a view, or a Response.

    What depends on the `index_alone` is kept until the index changes.

    The function runs in one of the readers' threads, and its view is written as JSON there. Its `context` is that of
    the request: what it reads is given up when the client leaves.
    """

    def decorate(function: Endpoint) -> Endpoint:
        own = inspect.signature(function, eval_str=True)

        async def answer(request: Request, response: Response, **given: Any) -> Response:
            if "response" in own.parameters:
                given["response"] = response
            context = given.pop("context")
            readers: Readers = context.readers[kind]
            if index_alone:
                request.scope[KEEP]()

            def read(given_up: Callable[[], bool]) -> Response:
                found = function(context=context.of_client(given_up), **given)
                return found if isinstance(found, Response) else _written(found)

            made = await readers.run(request.receive, read)
            made.raw_headers.extend(response.raw_headers)
            return made

        update_wrapper(answer, function)
        del answer.__dict__["__wrapped__"]  # FastAPI would run what is wrapped, in a thread of its own
        parameters = {**own.parameters, **_BESIDE}.values()
        keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        answer.__signature__ = own.replace(parameters=keywords)  # type: ignore[attr-defined]
        return answer  # type: ignore[return-value]

    return decorate


_BESIDE: Final = {
    name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
    for name, kind in (("request", Request), ("response", Response))
}
"""Parameters of every endpoint."""


def _written(view: BaseModel) -> Response:
    return Response(type(view).__pydantic_serializer__.to_json(view), media_type="application/json")
