"""Statements over REST: refused questions first, then lines that add up, page by page."""

from __future__ import annotations

import httpx
import pytest

from derelayl_node.testing.history import person

from .conftest import World, name
from .test_errors import NOBODY, NOWHERE, check_problem
from .test_pagination import walk


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"/v1/accounts/{NOBODY}/statement", "unknown-account"),
        (f"/v1/models/{NOWHERE}/rounds/1/statement", "unknown-model"),
    ],
)
async def test_what_the_index_does_not_know_is_404(path: str, kind: str, client: httpx.AsyncClient) -> None:
    check_problem(await client.get(path), 404, kind)


async def test_a_round_that_has_not_begun_is_404(client: httpx.AsyncClient, world: World) -> None:
    path = f"/v1/models/{name(world.relay.model)}/rounds/{world.relay.round + 1}/statement"
    check_problem(await client.get(path), 404, "unknown-round")


@pytest.mark.parametrize("query", ["round=0", "round=x", "moved=maybe", "model=0x12", f"round={2**63}", "limit=0"])
async def test_filters_that_are_not_understood_are_422(query: str, client: httpx.AsyncClient) -> None:
    check_problem(await client.get(f"/v1/accounts/{person('t1')}/statement?{query}"), 422, "invalid-request")


async def test_a_cursor_of_another_list_is_refused(client: httpx.AsyncClient) -> None:
    first = (await client.get(f"/v1/accounts/{person('t1')}/statement?limit=1")).json()
    cursor = httpx.URL(first["next"]).params["cursor"]
    check_problem(await client.get(f"/v1/accounts/{person('t2')}/statement?cursor={cursor}"), 400, "bad-cursor")


async def test_each_line_carries_on_from_the_balance_before_it(client: httpx.AsyncClient) -> None:
    for who in ("creator", "t0", "t1", "v1", "v3"):
        account = (await client.get(f"/v1/accounts/{person(who)}")).json()
        lines = (await client.get(f"/v1/accounts/{person(who)}/statement?limit=200")).json()["items"]
        balance = 0
        for line in lines:
            balance += int(line["amount_wei"])
            assert int(line["balance_after_wei"]) == balance
            assert line["account"] == person(who)
        assert account["free_wei"] == str(balance)


async def test_a_line_names_its_event_and_its_reason(client: httpx.AsyncClient, world: World) -> None:
    model = name(world.relay.model)
    lines = (await client.get(f"/v1/models/{model}/rounds/1/statement")).json()["items"]
    (lost,) = [line for line in lines if line["kind"] == "bid forfeited"]
    assert lost["sentence"].endswith(
        "was not selected (insufficient): score -4,000 ppm, margin 1,000 ppm; your bid of 1.0 was forfeited"
    )
    assert (lost["amount_wei"], lost["model"], lost["round"]) == ("0", model, 1)
    assert lost["event"]["event"] == "LegSettled"
    (whole,) = [line for line in lines if line["account"] is None]
    assert whole["sentence"].startswith("round 1 was settled: 1 of 2 submitted legs selected; the pot of 10.0 was ")


async def test_a_statement_can_be_narrowed_to_a_model_and_a_round(client: httpx.AsyncClient, world: World) -> None:
    path = f"/v1/accounts/{person('v1')}/statement"
    of_round = (await client.get(f"{path}?round=1&limit=200")).json()["items"]
    assert {line["round"] for line in of_round} == {1}
    of_model = (await client.get(f"{path}?model={name(world.relay.model)}&limit=200")).json()["items"]
    assert {line["model"] for line in of_model} == {name(world.relay.model)}


@pytest.mark.parametrize("limit", [1, 3])
async def test_pages_of_any_size_add_up_to_the_whole_statement(
    limit: int, client: httpx.AsyncClient, world: World
) -> None:
    for path in (
        f"/v1/accounts/{person('t1')}/statement",
        f"/v1/accounts/{person('t1')}/statement?round=2",
        f"/v1/models/{name(world.relay.model)}/rounds/2/statement",
    ):
        whole = (await client.get(str(httpx.URL(path).copy_add_param("limit", "200")))).json()
        items, _ = await walk(client, str(httpx.URL(path).copy_add_param("limit", str(limit))))
        assert items == whole["items"]
