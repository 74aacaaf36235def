"""The same history in SQLite and in PostgreSQL gives the same answers, to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from derelayl_node.lineage import queries

from ...postgresql import Server
from .conftest import World, app_of, client_of, make_world, name

STATUSES = ("genesis", "submitted", "selected", "equivocated", "unavailable", "insufficient", "outranked", "voided")


@pytest.fixture
def elsewhere(postgresql: Server) -> Iterator[World]:
    with postgresql.database() as url:
        made = make_world(url)
        yield made
        made.index.close()


def every_path(world: World) -> list[str]:
    """Each list in pages of three, and each thing that is one answer."""
    found = ["/v1/models?limit=1", "/healthz"]
    with world.index.reading() as connection:
        models = queries.all_models(connection, 0, 99)
        accounts = {entry for m in models for entry in (m.creator,)}
        for model in models:
            base = f"/v1/models/{name(model.model)}"
            some = ("tips", "rounds", "checkpoints", "checkpoints?order=newest")
            found += [base, *(f"{base}/{one}" for one in some)]
            found += [f"{base}/checkpoints?status={status}" for status in STATUSES]
            found += [f"{base}/rounds/{number}/statement" for number in range(1, model.round + 1)]
            for one in queries.all_checkpoints(connection, model.model, None, 999):
                accounts.add(one.owner)
                at = f"/v1/checkpoints/{name(one.root)}"
                found += [at, *(f"{at}/{below}" for below in ("ancestors", "descendants", "proof", "manifest"))]
        for round in queries.all_rounds(connection, models[0].model, 0, 999):
            accounts |= set(round.validators)
    for account in sorted(accounts):
        at = f"/v1/accounts/{account}"
        found += [at, *(f"{at}/{below}" for below in ("legs", "royalties", "statement", "statement?moved=true"))]
    lists = ("tips", "rounds", "checkpoints", "ancestors", "descendants", "legs", "royalties", "statement", "proof")
    paged = [path for path in found if "?" in path or path.endswith(lists)]
    return [f"{path}{'&' if '?' in path else '?'}limit=3" if path in paged else path for path in found]


async def walk(client: httpx.AsyncClient, path: str) -> list[tuple[int, bytes, str]]:
    answers: list[tuple[int, bytes, str]] = []
    following: str | None = path
    while following is not None:
        answer = await client.get(following)
        answers.append((answer.status_code, answer.content, answer.headers.get("cache-control")))
        following = answer.json().get("next") if answer.status_code == 200 else None
    return answers


async def test_every_page_of_the_api_is_the_same_with_either_database(tmp_path: Path, elsewhere: World) -> None:
    here = make_world(tmp_path / "lineage.db")
    paths = every_path(here)
    assert paths == every_path(elsewhere)
    pages = 0
    async with client_of(app_of(here)) as one, client_of(app_of(elsewhere)) as other:
        for path in paths:
            answers = await walk(one, path)
            assert answers == await walk(other, path), path
            pages += len(answers)
    here.index.close()
    assert len(paths) > 150
    assert pages > len(paths)
