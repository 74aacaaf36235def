"""Walking the pages gives each item once, in order, whatever arrives in between."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from derelayl_node.testing.history import Attempt, Relay, person

from .conftest import LEGS, World, name


async def walk(client: httpx.AsyncClient, path: str, items: str = "items") -> tuple[list[Any], int]:
    """Follow `next` to the end; return all items and the number of pages."""
    found: list[Any] = []
    pages = 0
    following: str | None = path
    while following is not None:
        answer = await client.get(following)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        following = page["next"]
        link = answer.headers.get("link")
        assert link == (None if following is None else f'<{following}>; rel="next"')
        found += page[items]
        pages += 1
    return found, pages


def lists(world: World) -> list[str]:
    model, root = name(world.relay.model), name(world.relay.genesis)
    account = person("t1")
    return [
        "/v1/models",
        f"/v1/models/{model}/tips",
        f"/v1/models/{model}/rounds",
        f"/v1/models/{model}/checkpoints",
        f"/v1/models/{model}/checkpoints?status=selected",
        f"/v1/models/{model}/checkpoints?order=newest",
        f"/v1/checkpoints/{name(world.tip)}/ancestors",
        f"/v1/checkpoints/{root}/descendants?model={model}",
        f"/v1/accounts/{account}/legs",
        f"/v1/accounts/{account}/statement?moved=true",
        f"/v1/accounts/{person('solo')}/royalties",
    ]


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_of_any_size_add_up_to_the_whole_list(limit: int, client: httpx.AsyncClient, world: World) -> None:
    for path in lists(world):
        whole = (await client.get(path)).json()
        assert whole["next"] is None
        url = str(httpx.URL(path).copy_add_param("limit", str(limit)))
        items, pages = await walk(client, url)
        assert items == whole["items"], path
        assert pages == max(1, -(-len(items) // limit))


async def test_a_proof_is_paged_like_a_list(client: httpx.AsyncClient, world: World) -> None:
    path = f"/v1/checkpoints/{name(world.tip)}/proof"
    whole = (await client.get(path)).json()["steps"]
    for limit in (1, 2, LEGS + 1):
        steps, pages = await walk(client, f"{path}?limit={limit}", "steps")
        assert steps == whole
        assert pages == -(-(LEGS + 1) // limit)


async def test_rows_that_arrive_while_walking_come_after_those_already_given(
    own_client: httpx.AsyncClient, own_world: World
) -> None:
    model = name(own_world.relay.model)
    path = f"/v1/models/{model}/checkpoints"
    before = [one["root"] for one in (await own_client.get(path)).json()["items"]]
    seen: list[str] = []
    following: str | None = f"{path}?limit=3"
    tip = own_world.relay.root(f"good {LEGS}")
    for number in range(100):
        page = (await own_client.get(following or "")).json()
        seen += [one["root"] for one in page["items"]]
        following = page["next"]
        if following is None:
            break
        if number < 3:
            own_world.relay.play(Attempt("t0", tip, f"late {number}", 5_000, True))
            tip = own_world.relay.root(f"late {number}")
            own_world.read_chain()
    after = [one["root"] for one in (await own_client.get(path)).json()["items"]]
    assert len(seen) == len(set(seen))
    assert seen == after
    assert seen[: len(before)] == before


async def test_rows_that_arrive_do_not_disturb_a_walk_from_the_newest(
    own_client: httpx.AsyncClient, own_world: World
) -> None:
    path = f"/v1/models/{name(own_world.relay.model)}/checkpoints?order=newest"
    before = (await own_client.get(path)).json()["items"]
    first = (await own_client.get(f"{path}&limit=4")).json()
    own_world.relay.play(Attempt("t0", own_world.relay.root(f"good {LEGS}"), "late", 5_000, True))
    own_world.read_chain()
    rest, _ = await walk(own_client, first["next"])
    assert first["items"] + rest == before


async def test_an_event_with_several_lines_may_lie_on_two_pages(
    own_client: httpx.AsyncClient, own_world: World
) -> None:
    relay = Relay(own_world.history, name="third", creator="third", validators=("lone", "other"))
    relay.create()
    relay.play(Attempt("lucky", relay.genesis, "win", 9_000, True))
    own_world.read_chain()
    items, pages = await walk(own_client, f"/v1/accounts/{person('lucky')}/statement?moved=true&limit=1")
    assert [one["kind"] for one in items] == ["bid", "bid returned", "trainer reward"]
    assert items[1]["event"] == items[2]["event"]
    assert pages == 3
