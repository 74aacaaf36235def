"""Every error is a problem as of RFC 9457."""

from __future__ import annotations

import json
import sqlite3

import httpx
import pytest
import trio
from fastapi import FastAPI

from derelayl_node.api import edge
from derelayl_node.api.status import NodeStatus
from derelayl_node.lineage import database
from derelayl_node.lineage.database import writing
from derelayl_node.ports import StoreDamaged
from derelayl_node.testing.history import Relay, named, person
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.types import Wei

from .conftest import World, name

NOWHERE = name(named("nowhere"))
NOBODY = person("nobody")


def check_problem(answer: httpx.Response, status: int, kind: str) -> dict[str, object]:
    """Check the shape of a problem and return it."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    body: dict[str, object] = answer.json()
    assert set(body) >= {"type", "title", "status", "detail", "instance"}
    assert body["type"] == (kind if ":" in kind else f"urn:derelayl:problem:{kind}")
    assert (body["status"], body["instance"]) == (status, answer.request.url.path)
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/models/", "/static/nothing.js", "/static/../app.py", "/docs", "/redoc"]
)
async def test_an_unknown_path_is_404(path: str, client: httpx.AsyncClient) -> None:
    check_problem(await client.get(path), 404, "about:blank")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"/v1/models/{NOWHERE}", "unknown-model"),
        (f"/v1/models/{NOWHERE}/tips", "unknown-model"),
        (f"/v1/models/{NOWHERE}/rounds", "unknown-model"),
        (f"/v1/models/{NOWHERE}/checkpoints", "unknown-model"),
        (f"/v1/checkpoints/{NOWHERE}", "unknown-checkpoint"),
        (f"/v1/checkpoints/{NOWHERE}/ancestors", "unknown-checkpoint"),
        (f"/v1/checkpoints/{NOWHERE}/descendants", "unknown-checkpoint"),
        (f"/v1/checkpoints/{NOWHERE}/proof", "unknown-checkpoint"),
        (f"/v1/checkpoints/{NOWHERE}/manifest", "unknown-checkpoint"),
        (f"/v1/accounts/{NOBODY}", "unknown-account"),
        (f"/v1/accounts/{NOBODY}/legs", "unknown-account"),
        (f"/v1/accounts/{NOBODY}/royalties", "unknown-account"),
    ],
)
async def test_what_the_index_does_not_know_is_404(path: str, kind: str, client: httpx.AsyncClient) -> None:
    check_problem(await client.get(path), 404, kind)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/0x12",
        f"/v1/models/{NOWHERE[2:]}",
        f"/v1/models/{NOWHERE}ff",
        "/v1/checkpoints/latest",
        f"/v1/checkpoints/0x{'g' * 64}",
        f"/v1/checkpoints/{NOWHERE}?model=mine",
        "/v1/accounts/0x12",
        "/v1/models?limit=0",
        "/v1/models?limit=201",
        "/v1/models?limit=ten",
        f"/v1/models?cursor={'a' * 201}",
        f"/v1/checkpoints/{NOWHERE}/proof?limit=51",
        f"/v1/models/{NOWHERE}/checkpoints?status=excellent",
        f"/v1/models/{NOWHERE}/checkpoints?order=random",
    ],
)
async def test_a_parameter_that_is_not_understood_is_422_and_named(path: str, client: httpx.AsyncClient) -> None:
    body = check_problem(await client.get(path), 422, "invalid-request")
    errors = body["errors"]
    assert isinstance(errors, list)
    (error,) = errors
    assert error["where"]
    assert error["where"] in str(body["detail"])


@pytest.mark.parametrize(
    "cursor", ["", "x", "!!!", "W10", "bnVsbA", "WyJhIl0", "WyJ4IiwxXQ", "Wy0xXQ", "W" * 200, "é", "[" * 200]
)
async def test_a_damaged_cursor_is_400(cursor: str, client: httpx.AsyncClient) -> None:
    check_problem(await client.get("/v1/models", params={"cursor": cursor}), 400, "bad-cursor")


async def test_the_cursor_of_another_list_is_400(client: httpx.AsyncClient, world: World) -> None:
    model = name(world.relay.model)
    page = (await client.get(f"/v1/models/{model}/checkpoints?limit=1")).json()
    cursor = httpx.URL(page["next"]).params["cursor"]
    for other in (f"/v1/models/{model}/rounds", f"/v1/models/{model}/checkpoints?status=selected"):
        answer = await client.get(httpx.URL(other).copy_add_param("cursor", cursor))
        check_problem(answer, 400, "bad-cursor")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_writing_is_405_and_says_what_is_allowed(method: str, client: httpx.AsyncClient) -> None:
    answer = await client.request(method, "/v1/models", content=b"x")
    check_problem(answer, 405, "about:blank")
    assert "GET" in answer.headers["allow"]


async def test_a_body_is_413_and_a_long_address_414(client: httpx.AsyncClient) -> None:
    check_problem(await client.request("GET", "/v1/models", content=b"x"), 413, "about:blank")
    check_problem(await client.get("/v1/models", params={"x": "y" * edge.MAX_TARGET_BYTES}), 414, "about:blank")


async def test_a_genesis_of_two_models_is_409_until_one_is_named(
    own_client: httpx.AsyncClient, own_world: World
) -> None:
    twin = Relay(own_world.history, name="relay", creator="impostor")
    twin.create()
    own_world.read_chain()
    path = f"/v1/checkpoints/{name(twin.genesis)}"
    for below in ("", "/ancestors", "/descendants", "/proof"):
        body = check_problem(await own_client.get(path + below), 409, "ambiguous-root")
        assert body["models"] == [name(own_world.relay.model), name(twin.model)]
        answer = await own_client.get(path + below, params={"model": name(twin.model)})
        assert answer.status_code == 200
    assert (await own_client.get(path, params={"model": name(twin.model)})).json()["trainer"] == person("impostor")
    check_problem(await own_client.get(path, params={"model": name(own_world.proven.model)}), 404, "unknown-checkpoint")


async def test_a_manifest_this_node_lacks_is_404_with_advice(client: httpx.AsyncClient, world: World) -> None:
    answer = await client.get(f"/v1/checkpoints/{name(world.relay.genesis)}/manifest")
    assert "ask a peer" in str(check_problem(answer, 404, "manifest-not-here")["detail"])


async def test_a_damaged_store_is_503_and_its_path_is_in_the_log_alone(
    own_client: httpx.AsyncClient, own_world: World, own_app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    def damaged(root: bytes) -> bytes:
        raise StoreDamaged("/home/me/manifest is truncated; delete it")

    object.__setattr__(own_app.state.context, "manifests", damaged)
    for below in ("manifest", "proof"):
        answer = await own_client.get(f"/v1/checkpoints/{name(own_world.tip)}/{below}")
        assert "/home" not in str(check_problem(answer, 503, "unavailable"))
        assert answer.headers["retry-after"] == "10"
    assert "/home/me/manifest is truncated" in caplog.text


async def test_a_broken_index_is_503_with_the_remedy_in_the_log(
    own_client: httpx.AsyncClient, own_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with writing(own_world.index._engine) as connection:
        connection.exec_driver_sql("DROP TABLE lineage_models")
    body = check_problem(await own_client.get("/v1/models"), 503, "unavailable")
    assert "lineage.db" not in str(body)
    assert "lineage.db failed" in caplog.text
    assert "it is read again from the chain" in caplog.text


async def test_a_question_that_takes_too_long_is_503(
    own_client: httpx.AsyncClient, own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "QUERY_SECONDS", -1.0)
    monkeypatch.setattr(database, "_STEPS_BETWEEN_DEADLINE_CHECKS", 1)
    own_world.index.close()  # connections opened from now on check their deadline at every step
    body = check_problem(await own_client.get("/v1/models"), 503, "unavailable")
    assert "took longer" in str(body["detail"])


async def test_a_request_that_never_ends_is_503(
    own_client: httpx.AsyncClient, own_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "REQUEST_SECONDS", 0.01)

    @own_app.get("/never")
    async def never() -> None:
        await trio.sleep_forever()

    check_problem(await own_client.get("/never"), 503, "about:blank")


async def test_a_defect_is_500_without_its_details_and_is_logged(
    own_client: httpx.AsyncClient, own_app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    @own_app.get("/defect")
    def defect() -> None:
        raise RuntimeError("secret detail")

    answer = await own_client.get("/defect")
    check_problem(answer, 500, "about:blank")
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    "status",
    [
        NodeStatus(False, 1.0, "The chain at http://chain is asked too often: wait."),
        NodeStatus(False, None),
        NodeStatus(True, None),
        NodeStatus(True, 1_000.0),
    ],
)
async def test_health_is_503_while_the_index_does_not_keep_up(
    status: NodeStatus, own_client: httpx.AsyncClient, own_world: World
) -> None:
    own_world.status = status
    body = check_problem(await own_client.get("/healthz"), 503, "unhealthy")
    assert body["chain_reachable"] is status.chain_reachable
    assert body["lag_seconds"] == status.lag_seconds
    assert "look at the node's log" in str(body["detail"])
    assert status.error.rstrip(".") in str(body["detail"])
    assert "does not answer" not in str(body["detail"]), "it may have"


async def test_health_is_503_and_says_so_when_another_chain_answers(
    own_client: httpx.AsyncClient, own_world: World
) -> None:
    own_world.status = NodeStatus(True, 1.0, stale="The chain has other blocks than those read before.")
    body = check_problem(await own_client.get("/healthz"), 503, "unhealthy")
    assert body["stale"] is True
    assert body["detail"] == "The index is stale: The chain has other blocks than those read before."
    assert (await own_client.get("/v1/node")).json()["stale"] == own_world.status.stale


async def test_no_error_text_reaches_the_page_as_html(client: httpx.AsyncClient) -> None:
    answer = await client.get("/<script>alert(1)</script>")
    body = check_problem(answer, 404, "about:blank")
    assert body["instance"] == "/<script>alert(1)</script>"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert json.loads(answer.text) == body


def test_sqlite_says_interrupted_when_a_deadline_passes() -> None:
    """What `database` relies on to tell a slow question from a broken file."""
    connection = sqlite3.connect(":memory:")
    connection.set_progress_handler(lambda: 1, 1)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        connection.execute("SELECT 1 UNION SELECT 2").fetchall()
    connection.close()


async def test_an_account_without_any_leg_has_empty_lists(own_client: httpx.AsyncClient, own_world: World) -> None:
    own_world.history.block(ev.Deposited(person("saver"), Wei(5)))
    own_world.read_chain()
    for below in ("legs", "royalties"):
        assert (await own_client.get(f"/v1/accounts/{person('saver')}/{below}")).json() == {"items": [], "next": None}
