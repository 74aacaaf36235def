"""Asking a node over REST: whoever answers something else is named, and paged answers are put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from derelayl_node.api import client
from derelayl_node.api.client import NodeClient, NodeSilent

Answers = Callable[[dict[str, httpx.Response]], NodeClient]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Make a client of a node that answers what is given for a path."""

    def answering(answers: dict[str, httpx.Response]) -> NodeClient:
        transport = httpx.MockTransport(lambda request: answers[request.url.raw_path.decode()])
        monkeypatch.setattr(httpx, "AsyncClient", partial(httpx.AsyncClient, transport=transport))
        return NodeClient("http://node")

    return answering


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>hello</html>"),
        httpx.Response(200, json=[1, 2]),
        httpx.Response(200, json={"hello": "world"}),
        httpx.Response(200, json={"items": 3, "next": None}),
        httpx.Response(200, json={"items": [3], "next": None}),
        httpx.Response(200, json={"items": [], "next": 3}),
        httpx.Response(502, text="bad gateway"),
    ],
)
async def test_what_is_no_derelayl_node_is_named_with_what_was_asked(answer: httpx.Response, node: Answers) -> None:
    with pytest.raises(NodeSilent, match=r"^http://node\S* gave no answer .* is it the URL of a derelayl node\?"):
        await node({"/list": answer}).items("/list")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "node", "http://[", "http://node:port"])
async def test_what_cannot_be_reached_is_named(url: str) -> None:
    with pytest.raises(NodeSilent, match="is it the URL of a derelayl node"):
        await NodeClient(url).get("/v1/node")


@pytest.mark.parametrize(
    ("problem", "said"), [({"detail": "no such model"}, "no such model"), ({"title": "Gone"}, "Gone"), ({}, "404")]
)
async def test_a_refusal_is_passed_on_in_the_node_s_words(problem: dict[str, str], said: str, node: Answers) -> None:
    with pytest.raises(NodeSilent, match=f"^http://node: {said}$"):
        await node({"/one": httpx.Response(404, json=problem)}).get("/one")


async def test_a_list_is_followed_page_by_page_and_not_for_ever(node: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_PAGES", 3)
    pages = {f"/list?at={at}": {"items": [{"at": at}], "next": f"/list?at={at + 1}"} for at in range(9)}
    asked = node({path: httpx.Response(200, json=page) for path, page in pages.items()})
    assert await asked.items("/list?at=1") == [{"at": 1}, {"at": 2}, {"at": 3}]


async def test_the_last_page_ends_a_list(node: Answers) -> None:
    first = httpx.Response(200, json={"items": [{"at": 1}], "next": "/list?at=2"})
    last = httpx.Response(200, json={"items": [{"at": 2}], "next": None})
    assert len(await node({"/list": first, "/list?at=2": last}).pages("/list")) == 2


async def test_a_proxy_of_the_environment_does_not_stand_before_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:1")
    monkeypatch.delenv("no_proxy", raising=False)
    made, trusted = httpx.AsyncClient, []

    def note(**options: Any) -> httpx.AsyncClient:
        trusted.append(options["trust_env"])
        return made(base_url="http://x", transport=httpx.MockTransport(lambda _: httpx.Response(200, json={})))

    monkeypatch.setattr(httpx, "AsyncClient", note)
    for url in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://node.example"):
        await NodeClient(url).get("/")
    assert trusted == [False, False, False, True]
