"""The real server: one socket, one trio loop, no asyncio."""

from __future__ import annotations

import socket

import httpx
import pytest
import trio
from fastapi import FastAPI

from derelayl_node.api.server import CannotListen, serve

DEADLINE_SECONDS = 20.0


async def test_a_port_in_use_is_refused_in_one_sentence(app: FastAPI) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port} of 127.0.0.1 is in use; .* choose another port"):
            await serve(app, "127.0.0.1", port, trio.Event())  # type: ignore[arg-type]  # Starlette and Hypercorn word ASGI differently


@pytest.mark.parametrize(("host", "port"), [("no such host", 0), ("192.0.2.1", 0), ("127.0.0.1", 70_000)])
async def test_an_address_that_cannot_be_used_is_refused_in_one_sentence(host: str, port: int, app: FastAPI) -> None:
    with pytest.raises(CannotListen):
        await serve(app, host, port, trio.Event())  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_free_port_serves_the_api_and_the_page_until_told_to_stop(host: str, app: FastAPI) -> None:
    shutdown = trio.Event()
    with trio.fail_after(DEADLINE_SECONDS):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve, app, host, 0, shutdown)
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                models = await client.get("/v1/models")
                page = await client.get("/")
                lost = await client.get("/nothing")
                head = await client.head("/static/app.js")
            shutdown.set()
    assert len(models.json()["items"]) == 2
    assert "server" not in models.headers
    assert "<h1>" in page.text
    assert lost.headers["content-type"] == "application/problem+json"
    assert (head.status_code, head.content) == (200, b"")
