"""Answers that are kept: never beyond a change of the index, never more than their memory."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from derelayl_node.api.answers import BESIDE_BYTES, Answer, Answers
from derelayl_node.api.app import create_app
from derelayl_node.api.status import NodeStatus
from derelayl_node.lineage import queries
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.testing.history import Attempt, History, Relay

from .conftest import CHAIN, World, client_of, name

ANSWER = Answer(((b"x", b"y"),), b"body", "tag")


def test_an_answer_of_an_earlier_state_is_not_given() -> None:
    state = 1
    answers = Answers(lambda: state)
    answers.put(("/a", b""), 1, ANSWER)
    assert answers.get(("/a", b"")) is ANSWER
    assert answers.get(("/a", b"limit=1")) is None
    state = 2
    assert answers.get(("/a", b"")) is None
    answers.put(("/a", b""), 1, ANSWER)  # computed before the change
    assert answers.get(("/a", b"")) is None


def test_those_not_asked_for_longest_make_room() -> None:
    answers = Answers(lambda: 0, most_bytes=2 * (BESIDE_BYTES + len(ANSWER.body)))
    for path in ("/a", "/b"):
        answers.put((path, b""), 0, ANSWER)
    answers.get(("/a", b""))
    answers.put(("/c", b""), 0, ANSWER)
    assert [answers.get((path, b"")) for path in ("/a", "/b", "/c")] == [ANSWER, None, ANSWER]


def test_without_memory_nothing_is_kept() -> None:
    answers = Answers(lambda: 0, most_bytes=0)
    answers.put(("/a", b""), 0, ANSWER)
    assert answers.get(("/a", b"")) is None


async def test_a_kept_answer_is_the_same_and_asks_the_index_no_more(
    own_client: httpx.AsyncClient, own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/checkpoints/{name(own_world.relay.root('good 1'))}/ancestors?limit=1"
    first = await own_client.get(path)
    monkeypatch.delattr(queries, "ancestors")
    again = await own_client.get(path)
    assert (again.status_code, again.content, again.headers) == (200, first.content, first.headers)
    head = await own_client.head(path)
    assert (head.status_code, head.content, head.headers) == (200, b"", first.headers)
    known = await own_client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", first.headers["etag"])
    assert "content-length" not in known.headers


async def test_a_reorganisation_ends_what_was_kept_even_when_it_is_taken_back(tmp_path: Path) -> None:
    index, history = LineageIndex(tmp_path / "lineage.db"), History()
    relay = Relay(history)
    relay.create()
    fork = history.blocks[-1].number
    index.apply(history.batch())
    app = create_app(index, chain=CHAIN, manifests=lambda root: None, status=lambda: NodeStatus(True, 0.0))
    async with client_of(app) as client:

        async def children() -> list[str]:
            answer = await client.get(f"/v1/checkpoints/{name(relay.genesis)}/descendants")
            return [one["root"] for one in answer.json()["items"]]

        async def on_branch(child: str) -> list[str]:
            await children()  # kept, if it may be
            history.rewind(fork, child)
            relay.round = 1
            relay.play(Attempt("t1", relay.genesis, child, 9_000, True))
            index.apply(history.batch(fork))
            return await children()

        for child in ("one", "other", "one"):
            assert await on_branch(child) == [name(relay.root(child))]
    index.close()


async def test_what_another_process_wrote_is_seen_once_the_follower_has_looked(
    own_client: httpx.AsyncClient, own_world: World, tmp_path: Path
) -> None:
    path = f"/v1/models/{name(own_world.relay.model)}"
    before = (await own_client.get(path)).json()["round"]
    own_world.relay.play(Attempt("t1", own_world.relay.genesis, "later", 9_000, True))
    other = LineageIndex(tmp_path / "lineage.db")
    other.apply(own_world.history.batch())
    other.close()
    own_world.index.known_blocks()
    assert (await own_client.get(path)).json()["round"] == before + 1


async def test_a_proof_and_a_manifest_are_not_kept_for_they_depend_on_the_store(
    own_client: httpx.AsyncClient, own_world: World
) -> None:
    path = f"/v1/checkpoints/{name(own_world.tip)}/proof"
    root = own_world.tip
    wire = own_world.proven.manifests.pop(root)
    assert (await own_client.get(path)).json()["steps"][0]["manifest"] is None
    own_world.proven.manifests[root] = wire
    assert (await own_client.get(path)).json()["steps"][0]["manifest"] is not None
