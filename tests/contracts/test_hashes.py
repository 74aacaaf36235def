"""What the contract hashes equals what the protocol hashes: model ids, seals, seeds, Merkle proofs, the draw."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from derelayl_protocol.checkpoint import merkle
from derelayl_protocol.encoding import word
from derelayl_protocol.ledger import commands, events
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.types import UNAVAILABLE, Ppm, Timestamp, Wei

from .game import Game
from .relay import CREATOR, RULES, VALIDATORS, Relay, root

LEAVES = tuple(merkle.leaf_hash(bytes([number])) for number in range(13))


@pytest.fixture(scope="module")
def relay() -> Relay:
    return Relay()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 13])
def test_every_leaf_of_a_tree_is_verified_and_no_other(relay: Relay, count: int) -> None:
    leaves = LEAVES[:count]
    top = merkle.root(leaves)
    for index, leaf in enumerate(leaves):
        path = merkle.audit_path(leaves, index)
        assert relay.view("verifyLeaf", top, leaf, index, count, path)
        for wrong in (
            (top, LEAVES[index - 1] if count > 1 else LEAVES[1], index, count, path),
            (top, leaf, index + count, count, path),
            (top, leaf, index, count, (*path, leaf)),
            (leaf if count > 1 else LEAVES[1], leaf, index, count, path),
        ):
            assert not relay.view("verifyLeaf", *wrong)
        if path:
            assert not relay.view("verifyLeaf", top, leaf, index, count, path[:-1])
            assert not relay.view("verifyLeaf", top, leaf, index ^ 1, count, path)


@pytest.mark.parametrize("count", [0, 1, 2**256 - 1])
def test_extreme_counts_prove_nothing(relay: Relay, count: int) -> None:
    assert not relay.view("verifyLeaf", LEAVES[0], LEAVES[1], 0, count, [])


def test_chunk_leaf_is_the_leaf_of_a_manifest(relay: Relay) -> None:
    digest = bytes(range(32))
    data = b"\x02" + (7).to_bytes(4) + (2**40).to_bytes(8) + (1 << 20).to_bytes(4) + digest
    assert relay.view("chunkLeaf", 7, 2**40, 1 << 20, digest) == merkle.leaf_hash(data)


def test_model_id_is_the_protocol_s() -> None:
    game = Game()
    recorded = game.relay.send(CREATOR, commands.CreateModel(RULES, root(1), Wei(5)))
    name = model_id(CREATOR, root(1), RULES)
    assert recorded == (
        events.ModelCreated(name, CREATOR, root(1), RULES),
        events.Funded(name, CREATOR, Wei(5)),
        events.PhaseChanged(name, 1, Phase.BID, Timestamp(0)),
    )
    model = game.relay.model(name, [root(1)])
    assert (model.rules, model.next_seed, model.current.seed) == (RULES, name, name)


def test_seal_is_the_protocol_s_also_for_negative_scores() -> None:
    game = Game()
    game.to_commit(40, 30)
    seat, salt = game.view.seats[0], b"\x05" * 32
    scores, originals = (Ppm(-1), UNAVAILABLE), (0, 0)
    seal = commitment(game.model, 1, seat.validator, salt, scores, originals)
    game.send(seat.validator, commands.CommitScores, seal)
    game.commit(None, (0, 0), (0, 0))
    assert game.send(seat.validator, commands.RevealScores, scores, originals, salt)
    assert (game.view.seats[0].scores, game.view.seats[0].originals) == (scores, originals)


def test_each_reveal_and_each_round_stir_the_seed() -> None:
    game = Game()
    rows = [(5000, 0, 0)] * 3
    game.to_commit()
    game.judge(*rows)
    seed: bytes = game.model
    for seat in range(3):
        seed = hashlib.sha256(seed + game.salt(seat)).digest()
    assert game.relay.model(game.model).next_seed == seed
    game.settle()
    seed = hashlib.sha256(seed + word(2)).digest()
    assert (game.view.seed, game.relay.model(game.model).next_seed) == (seed, seed)


def draw(seed: bytes, validators: list[str], seats: int) -> list[str]:
    """The committee as PROTOCOL.md draws it where everybody may judge."""
    for i in range(min(len(validators), 48, seats)):
        j = i + int.from_bytes(hashlib.sha256(seed + word(i)).digest()) % (len(validators) - i)
        validators[i], validators[j] = validators[j], validators[i]
    return validators[: min(seats, 48)]


@pytest.mark.parametrize(("staked", "seats"), [(2, 3), (4, 4), (60, 15)])
def test_committee_is_drawn_by_the_seed(staked: int, seats: int) -> None:
    game = Game(replace(RULES, committee_size=seats), validators=staked)
    game.bid(40)
    recorded = game.match()
    seated = next(event for event in recorded if isinstance(event, events.CommitteeSeated))
    assert list(seated.validators) == draw(game.model, [*VALIDATORS[:staked]], seats)
    assert [seat.weight for seat in game.view.seats] == [
        RULES.validator_stake + VALIDATORS.index(owner) for owner in seated.validators
    ]
    assert game.relay.model(game.model).validators == VALIDATORS[:staked], "the stored list does not change"
