"""What the log tells a bidder is what the ledger did to its balance."""

from __future__ import annotations

import random

import pytest

from derelayl_node.lineage import past as past_module
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.testing.history import Attempt, History, Relay, person
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.types import Address, ModelId

from .players import TRAINERS, Players


def read(index: LineageIndex, players: Players) -> list[ev.Event]:
    """Let the index read everything; return all events, oldest first."""
    while True:
        batch = players.chain.logs(index.known_blocks())
        index.apply(batch)
        if not batch.more:
            return list(index.log())


def brought(events: list[ev.Event], model: ModelId, account: Address) -> dict[int, int]:
    """What each ended round with a bid of the account's changed in its balance, from the events alone."""
    sums: dict[int, int] = {}
    legs: set[tuple[int, int]] = set()
    for event in events:
        if getattr(event, "model", None) != model:
            continue
        match event:
            case ev.BidPlaced(round=number, trainer=trainer, amount=amount) if trainer == account:
                sums[number] = sums.get(number, 0) - amount
            case ev.BidReturned() | ev.BidDisplaced() if event.trainer == account:
                sums[event.round] += event.amount
            case ev.LegLeased(round=number, leg=leg, trainer=trainer) if trainer == account:
                legs.add((number, leg))
            case ev.LegSettled() if (event.round, event.leg) in legs:
                sums[event.round] += event.bid_returned + event.reward
    return sums


@pytest.mark.parametrize("seed", range(6))
def test_every_round_brought_what_it_changed_in_the_balance(index: LineageIndex, seed: int) -> None:
    players = Players(random.Random(seed))
    players.setup()
    seen = 0
    for _ in range(4):
        for _ in range(120):
            players.play()
        events = read(index, players)
        for model, held in players.state.models.items():
            number = held.current.number
            for account in TRAINERS:
                found = index.past(model, account, number)
                assert found is not None
                expected = {each: wei for each, wei in brought(events, model, account).items() if each < number}
                assert {tried.round: tried.brought for tried in found.tries} == expected
                assert [tried.round for tried in found.tries] == sorted(expected)
                seen += sum(tried.ending is not None for tried in found.tries)
    assert seen


def test_nothing_is_told_of_a_round_that_the_index_has_not_read(index: LineageIndex) -> None:
    relay = Relay(History())
    relay.create()
    index.apply(relay.history.batch())
    assert index.past(relay.model, person("t1"), 2) is None


def test_before_the_first_round_there_is_nothing_to_read(index: LineageIndex) -> None:
    relay = Relay(History())
    relay.create()
    known = index.past(relay.model, person("t1"), 1)
    assert known is not None
    assert known.tries == ()
    assert known.reward == 0


def test_endings_and_the_reward_of_a_selected_leg_are_told(index: LineageIndex) -> None:
    relay = Relay(History())
    relay.create()
    relay.play(Attempt("t1", relay.genesis, "good", 5_000, True), Attempt("t2", relay.genesis, "bad", -10, False))
    index.apply(relay.history.batch())
    won, lost = (index.past(relay.model, person(name), 2) for name in ("t1", "t2"))
    assert won is not None
    assert lost is not None
    assert [tried.ending for tried in (*won.tries, *lost.tries)] == [LegEnding.SELECTED, LegEnding.INSUFFICIENT]
    assert won.tries[0].brought == won.reward > 0 > lost.tries[0].brought
    assert won.reward == lost.reward


def test_only_so_many_rounds_are_remembered(index: LineageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "REMEMBERED_ROUNDS", 2)
    relay = Relay(History())
    relay.create()
    for number in range(4):
        relay.play(Attempt("t1", relay.genesis, f"child {number}", 5_000, True))
    index.apply(relay.history.batch())
    found = index.past(relay.model, person("t1"), 5)
    assert found is not None
    assert [tried.round for tried in found.tries] == [3, 4]
