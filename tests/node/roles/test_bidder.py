"""A trainer bids by what its own legs brought: it pauses, says why and what may help, and goes on after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from derelayl_node.lineage.index import LineageIndex
from derelayl_node.ports import TrainingFailed
from derelayl_node.roles.bidder import REMEDIES, Bidder
from derelayl_protocol.ledger.commands import OfferTip
from derelayl_protocol.ledger.events import BidPlaced
from derelayl_protocol.ledger.experience import LONGEST_PAUSE, TRIALS, Past, Tried, pause
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.ledger.state import BidEntry, RoundView
from derelayl_protocol.limits import MAX_BIDS
from derelayl_protocol.types import WHOLE_MODEL, Address, Timestamp, Wei

from .relay import BID, RULES, Player, Relay

LONGEST_ROUND = RULES.bid_seconds + RULES.train_seconds + RULES.commit_seconds + RULES.reveal_seconds


def rounds_of(ending: LegEnding | None, count: int, brought: int, first: int = 1) -> list[Tried]:
    """That many rounds, the last of which ended at the fake clock's begin."""
    return [Tried(first + number, Timestamp(1_800_000_000), Wei(brought), ending) for number in range(count)]


def learned(player: Player, tries: Sequence[Tried] | None, reward: int = 0, leg_cost: int = 0) -> Bidder:
    """Let a player bid by what it has tried; None where that is not known yet."""

    async def recall(number: int) -> Past | None:
        return None if tries is None else Past(tuple(each for each in tries if each.round < number), Wei(reward))

    player.trainer_role._bidder = Bidder(player.kit, BID, Wei(leg_cost), recall)
    return player.trainer_role._bidder


def in_round(relay: Relay, number: int) -> RoundView:
    return replace(relay.view, number=number)


async def test_a_trainer_that_only_loses_pauses_and_says_why_and_what_may_help(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    ann = relay.players["ann"]
    learned(ann, rounds_of(LegEnding.INSUFFICIENT, TRIALS, -40))
    for _ in range(3):
        await ann.trainer_role.step(in_round(relay, TRIALS + 1))
    assert not relay.events(BidPlaced)
    told = ann.trainer_role.obstacle
    assert told.startswith(f"no bid before round {TRIALS + pause(TRIALS)}")
    assert "3 insufficient" in told
    assert "--role validator" in told
    assert caplog.text.count("no bid before round") == 1


async def test_one_that_lost_every_one_of_28_would_have_bid_a_few_times_only(relay: Relay) -> None:
    tries: list[Tried] = []
    bidder = learned(relay.players["ann"], tries)
    for number in range(1, 29):
        if await bidder.amount(in_round(relay, number)) is not None:
            tries += rounds_of(LegEnding.INSUFFICIENT, 1, -BID, number)
    assert [tried.round for tried in tries] == [1, 2, 3, 13]


async def test_after_the_pause_it_tries_again_and_the_obstacle_is_gone(relay: Relay) -> None:
    bidder = learned(relay.players["ann"], rounds_of(LegEnding.OUTRANKED, 5, -40))
    assert await bidder.amount(in_round(relay, 6)) is None
    assert bidder.obstacle
    assert await bidder.amount(in_round(relay, 5 + pause(5))) == RULES.min_bid
    assert bidder.obstacle == ""


async def test_a_pause_ends_by_time_where_nobody_bids_and_no_round_begins(relay: Relay) -> None:
    bidder = learned(relay.players["ann"], rounds_of(LegEnding.OUTRANKED, 28, -40))
    await relay.clock.advance(LONGEST_ROUND * LONGEST_PAUSE - (relay.clock.now() - 1_800_000_000) - 1)
    assert await bidder.amount(in_round(relay, 29)) is None
    await relay.clock.advance(1)
    assert await bidder.amount(in_round(relay, 29)) is not None


async def test_who_pauses_offers_its_tips_all_the_same(relay: Relay) -> None:
    founder = relay.players["founder"]
    learned(founder, rounds_of(LegEnding.OUTRANKED, 28, -40, first=relay.view.number - 28))
    await founder.trainer_role.step(relay.view)
    assert founder.trainer_role.obstacle
    assert relay.commands(OfferTip)
    assert not relay.events(BidPlaced)


async def test_no_bid_is_placed_before_it_is_known_what_the_last_legs_brought(relay: Relay) -> None:
    ann = relay.players["ann"]
    learned(ann, None)
    await ann.trainer_role.step(relay.view)
    assert not relay.events(BidPlaced)
    assert ann.trainer_role.obstacle == ""
    learned(ann, [])
    await ann.trainer_role.step(relay.view)
    assert relay.events(BidPlaced)


@pytest.mark.parametrize(("reward", "bid"), [(0, RULES.min_bid), (30, 30), (10**9, BID)])
async def test_the_eager_bid_no_more_than_the_user_allows_or_a_leg_earns(relay: Relay, reward: int, bid: int) -> None:
    won, missed = rounds_of(LegEnding.SELECTED, 9, 10**6), rounds_of(None, 90, 0, first=10)
    bidder = learned(relay.players["ann"], won + missed, reward)
    assert await bidder.amount(in_round(relay, 100)) == bid


async def test_a_full_round_is_bid_for_above_its_lowest_bid_within_what_the_user_allows(relay: Relay) -> None:
    bids = tuple(BidEntry(Address(f"0x{n:040x}"), WHOLE_MODEL, Wei(60 + n)) for n in range(MAX_BIDS))
    full = replace(relay.view, bids=bids)
    assert await learned(relay.players["ann"], []).amount(full) == 61
    dear = replace(relay.view, bids=tuple(replace(bid, amount=Wei(10 * BID)) for bid in bids))
    assert await learned(relay.players["ann"], []).amount(dear) == BID


async def test_a_bid_stays_the_same_at_every_look_at_a_round(relay: Relay) -> None:
    bidder = learned(relay.players["ann"], [])
    first = await bidder.amount(relay.view)
    bids = tuple(BidEntry(Address(f"0x{n:040x}"), WHOLE_MODEL, Wei(60)) for n in range(MAX_BIDS))
    assert await bidder.amount(replace(relay.view, bids=bids)) == first


async def test_what_a_leg_costs_beside_its_bid_makes_a_small_reward_a_loss(relay: Relay) -> None:
    tries = rounds_of(LegEnding.SELECTED, 4, 30)
    assert await learned(relay.players["ann"], tries).amount(in_round(relay, 5)) is not None
    costly = learned(relay.players["ann"], tries, leg_cost=31)
    assert await costly.amount(in_round(relay, 5)) is None
    assert REMEDIES[LegEnding.SELECTED] in costly.obstacle


def test_every_way_a_leg_can_end_has_a_remedy() -> None:
    assert set(REMEDIES) == set(LegEnding)


async def test_a_restarted_node_goes_on_with_its_pause_by_what_the_ledger_says(relay: Relay, tmp_path: Path) -> None:
    ann = relay.players["ann"]
    index = LineageIndex(tmp_path / "lineage.sqlite")

    async def recall(number: int) -> Past | None:
        index.apply(relay.chain.logs(index.known_blocks()))
        return index.past(relay.model, ann.key.address, number)

    try:
        ann.trainer_role._bidder = Bidder(ann.kit, BID, Wei(0), recall)
        for _ in range(TRIALS):
            await relay.bid_and_match()
            ann.trainer.fail_next("no memory")
            with pytest.raises(TrainingFailed, match="no memory"):
                await ann.trainer_role.step(relay.view)
            await relay.players["bob"].trainer_role.step(relay.view)
            await relay.clock.advance(RULES.train_seconds)
            await relay.keep()
            await relay.judge()
            await relay.keep()
        restarted = Bidder(ann.kit, BID, Wei(0), recall)
        assert await restarted.amount(relay.view) is None
        assert "3 expired" in restarted.obstacle
    finally:
        index.close()
