"""Lineage proofs: every kind of lie is found, an honest proof holds."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from derelayl_node.lineage import queries
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.lineage.proof import Chain, ProofMalformed, join_pages, proof_step, verify_proof
from derelayl_node.lineage.proof_format import LedgerReference, Proof
from derelayl_node.testing.history import named, person
from derelayl_node.testing.manifested import ManifestedRelay, proven
from derelayl_protocol.ledger.events import Event
from derelayl_protocol.types import LedgerId

CHAIN = Chain("test", LedgerId(31_337, person("ledger")))
ROUNDS = 3

Document = dict[str, Any]
Fetch = Callable[[LedgerReference], Event | None]


@pytest.fixture
def relay(index: LineageIndex) -> ManifestedRelay:
    history, relay = proven(ROUNDS)
    index.apply(history.batch())
    return relay


@pytest.fixture
def fetch(index: LineageIndex) -> Fetch:
    """Read events as a chain would, by their whole place."""

    def read(place: LedgerReference) -> Event | None:
        block, transaction = bytes.fromhex(place.block_hash[2:]), bytes.fromhex(place.transaction_hash[2:])
        return index.event(block, transaction, place.log_index)

    return read


@pytest.fixture
def document(index: LineageIndex, relay: ManifestedRelay) -> Document:
    """An honest proof of the newest checkpoint, as a node sends it."""
    with index.reading() as connection:
        first = queries.checkpoint(connection, relay.model, relay.root(f"child {ROUNDS}"))
        assert first is not None
        line = [first, *queries.ancestors(connection, relay.model, first.root, 99)]
    steps = tuple(proof_step(CHAIN, one, relay.manifests[one.root]) for one in line)
    proof = Proof(network="test", model="0x" + relay.model.hex(), steps=steps, next=None)
    sent: Document = json.loads(proof.model_dump_json())
    return sent


def failures(document: Document, fetch: Fetch) -> list[str]:
    return [statement.text for statement in verify_proof(document, fetch) if not statement.holds]


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.update(format="derelayl-proof/2"),
        lambda d: d.update(steps=[]),
        lambda d: d.update(extra=1),
        lambda d: d["steps"][0].update(root="0xZZ"),
        lambda d: d["steps"][0].update(status="excellent"),
        lambda d: d["steps"][0].pop("recorded"),
        lambda d: d["steps"][0]["manifest"].update(path=["0x" + "00" * 32] * 33),
    ],
)
def test_what_is_no_proof_is_refused_in_one_sentence(damage: Callable[[Document], Any], document: Document) -> None:
    damage(document)
    with pytest.raises(ProofMalformed):
        verify_proof(document, lambda place: None)


def _swap_header(d: Document) -> None:
    d["steps"][0]["manifest"]["header"] = d["steps"][1]["manifest"]["header"]


def _header_of_a_stranger(d: Document) -> None:
    d["steps"][0]["manifest"]["header"] = d["steps"][0]["manifest"]["header"].replace('"toy"', '"foe"')


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        (lambda d: d["steps"].pop(1), "but the next step is"),
        (lambda d: d["steps"].pop(), "stops before a genesis"),
        (lambda d: d["steps"].insert(1, copy.deepcopy(d["steps"][0])), "but the next step is"),
        (lambda d: d["steps"][0].update(owner=person("thief")), "LegSubmitted contradicts the proof"),
        (lambda d: d["steps"][-1].update(owner=person("thief")), "ModelCreated contradicts the proof"),
        (lambda d: d["steps"][0].update(leg=9), "LegSubmitted contradicts the proof"),
        (lambda d: d["steps"][0].update(gain_ppm=999_999), "LegSettled contradicts the proof"),
        (lambda d: d["steps"][0].update(status="rejected"), "LegSettled contradicts the proof"),
        (lambda d: d["steps"][1].update(status="submitted"), "never accepted"),
        (lambda d: d["steps"][0].update(settled=None), "the proof names no event that selected it"),
        (lambda d: d["steps"][0].update(settled=d["steps"][0]["recorded"]), "no LegSettled event"),
        (lambda d: d["steps"][0].update(recorded=d["steps"][0]["settled"]), "records LegSettled there"),
        (lambda d: d["steps"][-1].update(recorded=d["steps"][0]["settled"]), "records LegSettled there"),
        (lambda d: d["steps"][0]["recorded"].update(block_hash="0x" + "11" * 32), "no event at the place"),
        (lambda d: d["steps"][0]["recorded"].update(chain_id=1), "different ledgers"),
        (lambda d: d.update(model="0x" + named("another").hex()), "ModelCreated contradicts the proof"),
        (_swap_header, "does not hash to the root"),
        (_header_of_a_stranger, "does not hash to the root"),
        (lambda d: d["steps"][0]["manifest"].update(leaf_count=99), "does not hash to the root"),
        (lambda d: d["steps"][0]["manifest"].update(path=[]), "does not hash to the root"),
    ],
)
def test_a_lie_is_found(lie: Callable[[Document], Any], found: str, document: Document, fetch: Fetch) -> None:
    lie(document)
    assert any(found in text for text in failures(document, fetch))


def test_a_chain_that_knows_nothing_confirms_nothing(document: Document) -> None:
    holding = [statement for statement in verify_proof(document, lambda place: None) if statement.holds]
    recorded = [statement for statement in holding if "chain records" in statement.text]
    assert recorded == []


def test_an_honest_proof_holds_in_every_statement(document: Document, fetch: Fetch) -> None:
    statements = verify_proof(document, fetch)
    assert failures(document, fetch) == []
    # line, ledger, genesis; then recorded and header of each step, settled of each but the genesis
    assert len(statements) == 3 + 2 * (ROUNDS + 1) + ROUNDS
    assert sum("hashes to the root" in statement.text for statement in statements) == ROUNDS + 1


def test_a_proof_without_manifests_still_fixes_the_line_by_events(document: Document, fetch: Fetch) -> None:
    for step in document["steps"]:
        step["manifest"] = None
    assert failures(document, fetch) == []


def test_pages_join_to_the_whole_proof(document: Document, fetch: Fetch) -> None:
    pages = [
        {**document, "steps": document["steps"][:2], "next": "/somewhere"},
        {**document, "steps": document["steps"][2:]},
    ]
    assert failures(pages[0], fetch) == ["the line stops before a genesis; add the following pages of the proof"]
    assert join_pages(pages) == Proof.model_validate(document)


def test_pages_of_different_proofs_do_not_join(document: Document) -> None:
    with pytest.raises(ProofMalformed, match="different proofs"):
        join_pages([document, {**document, "network": "other"}])
    with pytest.raises(ProofMalformed, match="no page"):
        join_pages([])
