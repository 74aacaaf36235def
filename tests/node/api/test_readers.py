"""Requests that are heavy, many, or left alone by their clients."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing
from fastapi import FastAPI

from derelayl_node.api.readers import MAX_WAITING, THREADS, Readers
from derelayl_node.lineage import queries
from derelayl_node.lineage.database import GivenUp, fetch

from .conftest import World, name

DEADLINE_SECONDS = 30.0
CLIENTS = 200
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@dataclass(eq=False)
class Client:
    """One HTTP request to an application, that its client can leave."""

    app: FastAPI
    path: str
    left: trio.Event = field(default_factory=trio.Event)
    messages: list[Any] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    async def ask(self) -> None:
        path, _, query = self.path.partition("?")
        scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "server": ("node", 80)}
        scope |= {"path": path, "raw_path": path.encode(), "query_string": query.encode(), "headers": []}
        with trio.fail_after(DEADLINE_SECONDS):
            await self.app(scope, self._receive, self._send)

    async def _receive(self) -> Any:
        if not self.messages and not self.left.is_set():
            await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.messages.append(message)


async def nobody_leaves() -> Any:
    await trio.sleep_forever()


def readers_of(app: FastAPI) -> Readers:
    found: Readers = app.state.context.readers["pages"]
    return found


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_a_query_ends_when_its_client_leaves(own_app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended, how = trio.Event(), trio.Event(), []
    loop = trio.lowlevel.current_trio_token()

    def endless(connection: Any, *_: Any) -> None:
        loop.run_sync_soon(begun.set)
        try:
            fetch(connection, ENDLESS, ())
        except (sqlite3.OperationalError, GivenUp) as error:
            how.append(str(error))
            raise
        finally:
            loop.run_sync_soon(ended.set)

    monkeypatch.setattr(queries, "all_models", endless)
    client = Client(own_app, "/v1/models")
    with trio.fail_after(DEADLINE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.ask)
            await begun.wait()
            client.left.set()
            await ended.wait()
    assert how in (["interrupted"], [""])  # in the midst of it, or before it began
    assert readers_of(own_app).given_up == 1


async def test_what_ends_because_nobody_waits_is_no_error_of_the_node(
    own_app: FastAPI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def left(*_: Any) -> None:
        raise GivenUp

    monkeypatch.setattr(queries, "all_models", left)
    client = Client(own_app, "/v1/models")
    await client.ask()
    assert client.status == 499
    assert caplog.text == ""


async def test_a_client_that_leaves_while_it_waits_costs_no_thread() -> None:
    readers, release = Readers("pages", threads=1), threading.Event()
    calls: list[object] = []
    left, begun = trio.Event(), trio.Event()
    loop = trio.lowlevel.current_trio_token()

    async def leaves() -> Any:
        await left.wait()
        return {"type": "http.disconnect"}

    async def ask(receive: Any, number: int) -> None:
        def read(given_up: Callable[[], bool]) -> None:
            calls.append(number)
            loop.run_sync_soon(begun.set)
            release.wait(DEADLINE_SECONDS)

        try:
            await readers.run(receive, read)
        except GivenUp:
            calls.append("given up")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, nobody_leaves, 1)
        await begun.wait()
        nursery.start_soon(ask, leaves, 2)
        await trio.testing.wait_all_tasks_blocked()
        left.set()
        await trio.testing.wait_all_tasks_blocked()
        assert calls == [1, "given up"]
        release.set()


async def test_what_a_reader_raises_arrives_as_it_is() -> None:
    def fails(given_up: Callable[[], bool]) -> None:
        raise KeyError("a reason")

    with pytest.raises(KeyError, match="a reason"):
        await Readers("lookups").run(nobody_leaves, fails)


# --- a crowd ----------------------------------------------------------------------------------------------------------


async def test_a_crowd_is_refused_beyond_a_bound_and_the_rest_of_the_node_goes_on(
    own_app: FastAPI, own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    send, begun = trio.open_memory_channel[int](CLIENTS)
    loop = trio.lowlevel.current_trio_token()

    def slow(connection: Any, after: int, limit: int) -> list[Any]:
        loop.run_sync_soon(send.send_nowait, limit - 2)
        release.wait(DEADLINE_SECONDS)
        return []

    monkeypatch.setattr(queries, "all_models", slow)
    crowd = [Client(own_app, f"/v1/models?limit={1 + number % 200}") for number in range(CLIENTS)]
    async with trio.open_nursery() as nursery:
        for client in crowd:
            nursery.start_soon(client.ask)
        await trio.testing.wait_all_tasks_blocked()
        refused = [client for client in crowd if client.messages]
        held = [client for client in crowd if not client.messages]
        assert {client.status for client in refused} == {503}
        assert len(held) == THREADS + MAX_WAITING
        assert dict(refused[0].messages[0]["headers"])[b"retry-after"] == b"2"
        for path in ("/healthz", f"/v1/models/{name(own_world.relay.model)}"):
            other = Client(own_app, path)  # neither needs what the crowd holds
            await other.ask()
            assert other.status == 200
        working = [await begun.receive() for _ in range(THREADS)]
        stays, *leave = (client for client in held if crowd.index(client) not in working)
        for client in leave:
            client.left.set()
        await trio.testing.wait_all_tasks_blocked()
        release.set()
    assert crowd[await begun.receive()] is stays
    assert begun.statistics().current_buffer_used == 0
    assert [one.status for one in (stays, *(crowd[number] for number in working))] == [200] * (THREADS + 1)
    assert readers_of(own_app).refused == CLIENTS - THREADS - MAX_WAITING
    assert readers_of(own_app).given_up == MAX_WAITING - 1
