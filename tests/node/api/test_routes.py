"""What every endpoint answers when all is well."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from derelayl_node.api.lineage import FINAL_BLOCKS
from derelayl_node.api.status import NodeStatus, Obstacle, Work
from derelayl_node.lineage.proof import verify_proof
from derelayl_node.testing.history import BLOCK_SECONDS, FIRST_BLOCK_TIME, RULES, person
from derelayl_protocol.checkpoint.manifest import parse_manifest, root_of
from derelayl_protocol.types import TOKEN

from .conftest import CHAIN, LEGS, World, name

HEX_32 = re.compile(r"0x[0-9a-f]{64}")


async def get(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_model_has_its_rules_with_wei_as_decimal_text(client: httpx.AsyncClient, world: World) -> None:
    listed = (await get(client, "/v1/models"))["items"]
    assert [one["model"] for one in listed] == [name(world.relay.model), name(world.proven.model)]
    one = await get(client, f"/v1/models/{name(world.relay.model)}")
    assert one == listed[0]
    assert (one["round"], one["phase"], one["settled_rounds"], one["voided_rounds"]) == (LEGS + 2, "bid", LEGS, 1)
    assert (one["creator"], one["genesis"]) == (person("creator"), name(world.relay.genesis))
    assert one["budget_wei"] == str(1_000 * TOKEN - LEGS * 8 * TOKEN)
    assert one["rules"]["emission"] == str(RULES.emission)
    assert one["rules"]["margin_ppm"] == RULES.margin_ppm
    assert one["created"]["event"] == "ModelCreated"
    assert one["created"]["block_time"] == FIRST_BLOCK_TIME + BLOCK_SECONDS


async def test_ids_and_addresses_are_found_in_any_case(client: httpx.AsyncClient, world: World) -> None:
    model = name(world.relay.model)
    assert (await get(client, f"/v1/models/0x{model[2:].upper()}"))["model"] == model
    address = person("t1")
    assert (await get(client, f"/v1/accounts/0x{address[2:].upper()}"))["account"] == address


async def test_tips_name_the_checkpoints_to_continue(client: httpx.AsyncClient, world: World) -> None:
    (tip,) = (await get(client, f"/v1/models/{name(world.proven.model)}/tips"))["items"]
    assert (tip["position"], tip["since_round"], tip["checkpoint"]["root"]) == (0, LEGS, name(world.tip))


async def test_rounds_have_their_legs_and_committee(client: httpx.AsyncClient, world: World) -> None:
    rounds = (await get(client, f"/v1/models/{name(world.relay.model)}/rounds"))["items"]
    assert [one["number"] for one in rounds] == list(range(1, LEGS + 3))
    assert [one["outcome"] for one in rounds] == ["settled"] * 2 + ["voided"] + ["settled"] * 2 + ["running"]
    assert rounds[2]["void_reason"] == "too_few_commits"
    assert [leg["status"] for leg in rounds[2]["legs"]] == ["voided", "expired"]
    assert [leg["status"] for leg in rounds[0]["legs"]] == ["selected", "insufficient"]
    assert rounds[0]["validators"] == [person("v1"), person("v2"), person("v3")]
    assert rounds[0]["pot_wei"] == str(10 * TOKEN)
    assert rounds[-1]["legs"] == []


async def test_checkpoints_can_be_filtered_and_reversed(client: httpx.AsyncClient, world: World) -> None:
    path = f"/v1/models/{name(world.relay.model)}/checkpoints"
    everything = (await get(client, path))["items"]
    assert len(everything) == 2 * LEGS + 2
    assert (await get(client, f"{path}?order=newest"))["items"] == everything[::-1]
    selected = (await get(client, f"{path}?status=selected"))["items"]
    assert selected == [one for one in everything if one["status"] == "selected"]
    voided = (await get(client, f"{path}?status=voided"))["items"]
    assert [one["root"] for one in voided] == [one["root"] for one in everything if one["status"] == "voided"] != []
    assert len(selected) == LEGS


async def test_a_checkpoint_tells_where_it_stands_on_the_chain(client: httpx.AsyncClient, world: World) -> None:
    one = await get(client, f"/v1/checkpoints/{name(world.relay.root('good 1'))}")
    assert (one["status"], one["parent"], one["trainer"]) == ("selected", name(world.relay.genesis), person("t1"))
    assert (one["round"], one["leg"], one["segment"], one["depth"]) == (1, 0, 1, 1)
    assert (one["gain_ppm"], one["score_ppm"]) == (90_000, 90_000)
    assert (one["reward_wei"], one["royalty_wei"]) == (str(3 * TOKEN), str(TOKEN))
    assert (one["submitted"]["event"], one["settled"]["event"]) == ("LegSubmitted", "LegSettled")
    assert HEX_32.fullmatch(one["settled"]["transaction_hash"])
    genesis = await get(client, f"/v1/checkpoints/{name(world.relay.genesis)}")
    assert (genesis["parent"], genesis["leg"], genesis["status"]) == (None, None, "genesis")
    refused = await get(client, f"/v1/checkpoints/{name(world.relay.root('bad 1'))}")
    assert (refused["status"], refused["gain_ppm"], refused["reward_wei"]) == ("insufficient", -4_000, "0")
    assert refused["score_ppm"] is None


async def test_ancestors_and_descendants(client: httpx.AsyncClient, world: World) -> None:
    proven = world.proven
    up = (await get(client, f"/v1/checkpoints/{name(world.tip)}/ancestors"))["items"]
    line = [proven.root(f"child {number}") for number in reversed(range(LEGS - 1))] + [proven.genesis]
    assert [one["root"] for one in up] == [name(root) for root in line]
    down = (await get(client, f"/v1/checkpoints/{name(proven.genesis)}/descendants"))["items"]
    assert [one["root"] for one in down] == [name(proven.root(f"child {number}")) for number in range(LEGS)]


async def test_a_served_proof_can_be_checked_against_the_ledgers_events(
    client: httpx.AsyncClient, world: World
) -> None:
    proof = await get(client, f"/v1/checkpoints/{name(world.tip)}/proof")
    places = {(e.block.hash, e.transaction, e.index): e.event for e in world.history.entries}

    def fetch(place: Any) -> Any:
        assert (place.chain_id, place.ledger) == (CHAIN.ledger.chain_id, CHAIN.ledger.address)
        block, transaction = bytes.fromhex(place.block_hash[2:]), bytes.fromhex(place.transaction_hash[2:])
        return places.get((block, transaction, place.log_index))

    assert [one.text for one in verify_proof(proof, fetch) if not one.holds] == []
    assert len(proof["steps"]) == LEGS + 1
    assert all(step["manifest"] for step in proof["steps"])
    assert proof["next"] is None
    without = await get(client, f"/v1/checkpoints/{name(world.relay.root('good 1'))}/proof")
    assert [step["manifest"] for step in without["steps"]] == [None, None]


async def test_the_manifest_is_the_wire_bytes(client: httpx.AsyncClient, world: World) -> None:
    answer = await client.get(f"/v1/checkpoints/{name(world.tip)}/manifest")
    assert answer.content == world.proven.manifests[world.tip]
    assert root_of(parse_manifest(answer.content)) == world.tip
    assert answer.headers["content-type"] == "application/json"
    assert "immutable" in answer.headers["cache-control"]


async def test_an_account_shows_balance_roles_and_totals(client: httpx.AsyncClient, world: World) -> None:
    trainer = await get(client, f"/v1/accounts/{person('solo')}")
    assert trainer["roles"] == ["trainer", "owner"]
    assert (trainer["legs"], trainer["selected_legs"], trainer["bids"]) == (LEGS, LEGS, LEGS)
    assert trainer["trainer_reward_wei"] == str(3 * LEGS * TOKEN)
    assert trainer["royalty_pending_wei"] == str((LEGS - 1) * TOKEN)
    assert [tip["root"] for tip in trainer["tips"]] == [name(world.tip)]
    validator = await get(client, f"/v1/accounts/{person('v1')}")
    assert validator["roles"] == ["validator"]
    assert {seat["model"] for seat in validator["seats"]} == {name(world.relay.model), name(world.proven.model)}
    creator = await get(client, f"/v1/accounts/{person('creator')}")
    assert (creator["roles"], creator["models_created"]) == (["creator"], 1)


async def test_lines_that_moved_money_add_up_to_the_free_balance(client: httpx.AsyncClient, world: World) -> None:
    for who in ("v1", "t1", "solo", "creator", "founder"):
        account = await get(client, f"/v1/accounts/{person(who)}")
        moved = (await get(client, f"/v1/accounts/{person(who)}/statement?moved=true&limit=200"))["items"]
        assert sum(int(one["amount_wei"]) for one in moved) == int(account["free_wei"])
        assert all(one["event"]["event"] and one["amount_wei"] != "0" for one in moved)


async def test_collected_royalties_leave_the_pending_ones(own_client: httpx.AsyncClient, own_world: World) -> None:
    genesis, first = own_world.proven.genesis, own_world.proven.root("child 0")
    own_world.proven.collect(first, "solo", TOKEN // 2, TOKEN // 2, genesis)
    own_world.read_chain()
    solo = (await get(own_client, f"/v1/accounts/{person('solo')}/royalties"))["items"]
    assert (solo[0]["root"], solo[0]["pending_wei"], solo[0]["collected_wei"]) == (name(first), "0", str(TOKEN // 2))
    founder = (await get(own_client, f"/v1/accounts/{person('founder')}/royalties"))["items"]
    assert [one["pending_wei"] for one in founder] == [str(TOKEN + TOKEN // 2)]


async def test_legs_of_an_account(client: httpx.AsyncClient, world: World) -> None:
    legs = (await get(client, f"/v1/accounts/{person('solo')}/legs"))["items"]
    assert [leg["round"] for leg in legs] == list(range(1, LEGS + 1))
    assert {leg["status"] for leg in legs} == {"selected"}


async def test_health_and_metrics(own_client: httpx.AsyncClient, own_world: World) -> None:
    health = await get(own_client, "/healthz")
    assert (health["status"], health["network"], health["head_block"]) == (
        "ok",
        CHAIN.network,
        own_world.history.blocks[-1].number,
    )
    own_world.status = NodeStatus(True, 1.5, peers=3, bytes_served=10, bytes_fetched=20)
    answer = await own_client.get("/metrics")
    lines = set(answer.text.splitlines())
    assert answer.headers["content-type"].startswith("text/plain")
    assert lines >= {
        "derelayl_chain_reachable 1.0",
        f"derelayl_index_events {float(len(own_world.history.entries))}",
        f"derelayl_index_head_block {float(own_world.history.blocks[-1].number)}",
        "derelayl_index_lag_seconds 1.5",
        "derelayl_peers 3.0",
        "derelayl_served_bytes_total 10.0",
        "derelayl_fetched_bytes_total 20.0",
    }
    own_world.status = NodeStatus(False, None)
    text = (await own_client.get("/metrics")).text
    assert "derelayl_peers" not in text
    assert "derelayl_chain_reachable 0.0" in text


async def test_an_accepted_checkpoint_deep_in_the_chain_is_cacheable_for_ever(
    own_client: httpx.AsyncClient, own_world: World
) -> None:
    accepted, refused = (f"/v1/checkpoints/{name(own_world.relay.root(f'{kind} 1'))}" for kind in ("good", "bad"))
    assert (await own_client.get(accepted)).headers["cache-control"] == "no-cache"
    for _ in range(FINAL_BLOCKS):
        own_world.history.block()
    own_world.read_chain()
    assert "immutable" in (await own_client.get(accepted)).headers["cache-control"]
    assert (await own_client.get(refused)).headers["cache-control"] == "no-cache"


async def test_an_entity_tag_that_still_matches_gives_304_without_a_body(
    client: httpx.AsyncClient, world: World
) -> None:
    root = name(world.tip)
    for path in (f"/v1/checkpoints/{root}", f"/v1/checkpoints/{root}/manifest", "/v1/models"):
        first = await client.get(path)
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await client.get(path, headers={"if-none-match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert again.headers["cache-control"] == first.headers["cache-control"]
        assert (await client.get(path, headers={"if-none-match": '"other"'})).content == first.content


async def test_the_tag_changes_with_the_answer(own_client: httpx.AsyncClient, own_world: World) -> None:
    before = (await own_client.get("/v1/models")).headers["etag"]
    own_world.proven.step("one more", own_world.tip, "solo")
    own_world.read_chain()
    answer = await own_client.get("/v1/models", headers={"if-none-match": before})
    assert answer.status_code == 200
    assert answer.headers["etag"] != before


@pytest.mark.parametrize("path", ["/", "/v1/models", "/healthz", "/metrics", "/static/app.js", "/nothing"])
async def test_head_answers_like_get_without_a_body(path: str, client: httpx.AsyncClient) -> None:
    head, full = await client.head(path), await client.get(path)
    assert (head.status_code, head.content) == (full.status_code, b"")
    assert head.headers["content-length"] == str(len(full.content))
    assert head.headers["content-type"] == full.headers["content-type"]


async def test_any_origin_may_read(client: httpx.AsyncClient) -> None:
    asked = {"access-control-request-method": "GET", "access-control-request-headers": "if-none-match"}
    preflight = await client.options("/v1/models", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert preflight.headers["access-control-max-age"] == "86400"
    answer = await client.get("/v1/models")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "ETag, Link"
    assert "access-control-allow-credentials" not in answer.headers
    same = await client.get("/v1/models", headers={"if-none-match": answer.headers["etag"]})
    assert (same.status_code, same.headers["access-control-allow-origin"]) == (304, "*")


async def test_options_without_a_question_about_origins_names_the_methods(client: httpx.AsyncClient) -> None:
    answer = await client.options("/v1/models")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    "asked",
    [
        {"access-control-request-method": "POST"},
        {"access-control-request-method": "GET", "access-control-request-headers": "authorization"},
    ],
)
async def test_a_page_elsewhere_may_neither_write_nor_sign_in(client: httpx.AsyncClient, asked: dict[str, str]) -> None:
    assert (await client.options("/v1/models", headers=asked)).status_code == 400


async def test_the_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    linked = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert len(linked) >= 4
    for path in linked:
        assert (await client.get(path)).status_code == 200
    sources = {file.name: file.read_text() for file in files("derelayl_node").joinpath("dashboard").iterdir()}
    for source in sources.values():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", sources["app.js"])
    assert "style=" not in sources["index.html"]
    assert not re.search(r"<script>|\son\w+=", sources["index.html"])


async def test_openapi_lists_every_route_with_its_answer_and_its_errors(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    document = await get(client, "/openapi.json")
    expected = {
        "/v1/models",
        "/v1/models/{model}",
        "/v1/models/{model}/tips",
        "/v1/models/{model}/rounds",
        "/v1/models/{model}/checkpoints",
        "/v1/checkpoints/{root}",
        "/v1/checkpoints/{root}/ancestors",
        "/v1/checkpoints/{root}/descendants",
        "/v1/checkpoints/{root}/proof",
        "/v1/checkpoints/{root}/manifest",
        "/v1/accounts/{address}",
        "/v1/accounts/{address}/legs",
        "/v1/accounts/{address}/royalties",
        "/v1/accounts/{address}/statement",
        "/v1/models/{model}/rounds/{round}/statement",
        "/healthz",
        "/metrics",
    }
    assert set(document["paths"]) >= expected
    for path, operations in document["paths"].items():
        assert set(operations) == {"get"}
        answers = operations["get"]["responses"]
        assert operations["get"]["description"]
        if path not in ("/metrics", "/v1/checkpoints/{root}/manifest"):
            assert answers["200"]["content"]["application/json"]["schema"]["$ref"]
        for status in ("404", "422", "500", "503"):
            (media,) = answers[status]["content"]
            assert media == "application/problem+json"
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert json.dumps(document)  # no cycle, no stray object


def test_two_apps_in_one_process_share_nothing(app: FastAPI, world: World) -> None:
    from derelayl_node.api.app import create_app

    other = create_app(world.index, chain=CHAIN, manifests=lambda root: None, status=lambda: world.status)
    assert other.state.metrics is not app.state.metrics
    assert other.state.context is not app.state.context


async def test_the_node_tells_what_it_is_at(own_client: httpx.AsyncClient, own_world: World) -> None:
    own_world.status = NodeStatus(True, 0.0, peers=2, roles=("trainer",), work=Work("training", 3, 1, 0.5))
    answer = await own_client.get("/v1/node")
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["peers"], body["roles"], body["account"]) == (2, ["trainer"], None)
    assert body["work"] == {"stage": "training", "round": 3, "leg": 1, "progress": 0.5}
    assert body["obstacles"] == []


async def test_the_node_tells_what_keeps_its_parts_from_their_work(
    own_client: httpx.AsyncClient, own_world: World
) -> None:
    obstacles = (Obstacle("worker", "the training worker ended with status 1"),)
    own_world.status = NodeStatus(True, 0.0, roles=("validator",), obstacles=obstacles)
    body = (await own_client.get("/v1/node")).json()
    assert body["obstacles"] == [{"part": "worker", "reason": "the training worker ended with status 1"}]
