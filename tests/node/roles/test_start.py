"""What a trainer lets its worker start a leg from: the tips of the round that can be had in time."""

from dataclasses import replace

import pytest
import trio

from derelayl_node.handoff import keep_genesis
from derelayl_node.roles.trainer import FETCH_SHARE
from derelayl_node.testing.trainer import FAKE_ARCHITECTURE
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import TipEntry
from derelayl_protocol.statement.words import short
from derelayl_protocol.types import Ppm, Root
from derelayl_training.bar import MAX_BAR_TIPS
from derelayl_training.recipe import parse_recipe

from .relay import LEDGER, RULES, Relay


async def another_tip(relay: Relay, score: int, *, at: str = "vera") -> TipEntry:
    """A checkpoint that a player holds, as a tip of the round."""
    player = relay.players[at]
    weights = await player.trainer.genesis(FAKE_ARCHITECTURE, 100 + score, relay.folder / f"tip{score}")
    root = keep_genesis(player.store, player.key, LEDGER, FAKE_ARCHITECTURE, weights)
    return TipEntry(root, player.key.address, Ppm(score), offered=False)


async def started(relay: Relay, *others: TipEntry) -> list[str]:
    """Let ann train a leg in a round of these tips, too; returns the names of the files that her worker was given."""
    if relay.view.phase == Phase.BID:
        await relay.bid_and_match()
    ann = relay.players["ann"]
    await ann.trainer_role.step(replace(relay.view, tips=(*relay.view.tips, *others)))
    job = ann.trainer.jobs[-1]
    assert job.parent.stem == relay.genesis.hex()
    return [tip.path.stem for tip in job.tips]


async def test_a_leg_may_start_from_the_best_of_the_rounds_other_tips_up_to_a_limit(relay: Relay) -> None:
    others = [await another_tip(relay, score) for score in range(MAX_BAR_TIPS + 2)]
    best = [tip.root.hex() for tip in reversed(others)][: MAX_BAR_TIPS - 1]
    assert await started(relay, *others) == best
    job = relay.players["ann"].trainer.jobs[-1]
    assert 0 < job.choosing_seconds < RULES.train_seconds


async def test_a_round_of_one_tip_gives_nothing_to_choose(relay: Relay) -> None:
    assert await started(relay) == []


async def test_a_tip_that_nobody_has_does_not_hold_up_the_leg(relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    here, nowhere = await another_tip(relay, 1), TipEntry(Root(b"\x07" * 32), relay.keys["bob"].address, Ppm(9), False)
    caplog.set_level("INFO")
    await relay.bid_and_match()
    await relay.clock.advance(RULES.train_seconds - 10)
    with trio.fail_after(10 * FETCH_SHARE + 5):
        assert await started(relay, here, nowhere) == [here.root.hex()]
    assert f"the leg starts without the tip {short(nowhere.root)}" in caplog.text
    assert "submitting" in relay.players["ann"].stages


@pytest.mark.parametrize("recipe", ["method=sparse", "method=pseudoinverse", "privacy=dp"])
async def test_a_recipe_that_goes_on_from_its_parent_fetches_no_other_tip(relay: Relay, recipe: str) -> None:
    role = relay.players["ann"].trainer_role
    role._policy = replace(role._policy, recipe=parse_recipe(recipe))
    other = await another_tip(relay, 1)
    assert await started(relay, other) == []
    assert relay.players["ann"].store.manifest(other.root) is None
