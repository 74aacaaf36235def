"""Royalties: what waits at a checkpoint is split once, and climbs one step at a time."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest

from derelayl_protocol.ledger import commands, events
from derelayl_protocol.types import NO_ROOT, Root, Wei

from .game import Game
from .relay import CREATOR, RULES, TRAINERS, root

AGREED = ((5000, 3000, -100),) * 3


@lru_cache
def lineage(gamma_bps: int) -> Game:
    """Three generations after genesis; royalties wait at genesis and at the first two."""
    game = Game(replace(RULES, gamma_bps=gamma_bps))
    for _ in range(3):
        game.play(*AGREED)
    return game


def pending(game: Game, name: Root) -> int:
    record = game.relay.checkpoint(game.model, name)
    assert record is not None
    return record.pending


def test_half_is_kept_and_half_climbs_to_genesis() -> None:
    game = lineage(5000).fork()
    at_second, at_first, at_genesis = (pending(game, name) for name in (root(2000), root(1000), game.genesis))
    assert 0 not in (at_second, at_first, at_genesis)
    recorded = game.relay.send(CREATOR, commands.CollectRoyalty(game.model, root(3000), 8))
    passed = at_second // 2
    passed_on = (at_first + passed) // 2
    trainer = TRAINERS[0]
    assert recorded == (
        events.RoyaltyCollected(game.model, root(2000), trainer, Wei(at_second - passed), Wei(passed), root(1000)),
        events.RoyaltyCollected(
            game.model,
            root(1000),
            trainer,
            Wei(at_first + passed - passed_on),
            Wei(passed_on),
            game.genesis,
        ),
        events.RoyaltyCollected(game.model, game.genesis, CREATOR, Wei(at_genesis + passed_on), Wei(0), NO_ROOT),
    )
    assert [pending(game, name) for name in (root(2000), root(1000), game.genesis)] == [0, 0, 0]
    game.check_money()


def test_the_walk_ends_after_its_steps() -> None:
    game = lineage(5000).fork()
    at_second, at_first = pending(game, root(2000)), pending(game, root(1000))
    game.relay.send(CREATOR, commands.CollectRoyalty(game.model, root(3000), 2))
    assert (pending(game, root(2000)), pending(game, root(1000))) == (0, at_first + at_second // 2)


def test_collecting_again_does_nothing() -> None:
    game = lineage(5000).fork()
    command = commands.CollectRoyalty(game.model, root(3000), 32)
    assert game.relay.send(CREATOR, command)
    assert game.relay.send(CREATOR, command) == ()


@pytest.mark.parametrize("gamma_bps", [0, 10_000])
def test_gamma_at_its_bounds(gamma_bps: int) -> None:
    game = lineage(gamma_bps).fork()
    recorded = game.relay.send(CREATOR, commands.CollectRoyalty(game.model, root(3000), 32))
    steps = [event for event in recorded if isinstance(event, events.RoyaltyCollected)]
    assert len(steps) == 3
    assert all((event.passed if gamma_bps == 0 else event.kept) == 0 for event in steps[:-1])
    assert steps[-1].passed == 0, "genesis keeps everything"
    game.check_money()
