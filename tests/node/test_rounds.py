"""When the round is asked for, and what the roles get."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from derelayl_node.pace import IDLE_SECONDS, Pace
from derelayl_node.ports import AnotherChain, BlockRef, LedgerUnavailable, LogBatch, LogEntry
from derelayl_node.rounds import READ_AGAIN_SECONDS, RoundWatch
from derelayl_node.testing.clock import FakeClock
from derelayl_node.testing.history import named
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.commands import Command
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.types import Address, ModelId, Timestamp, Wei

from .lineage.players import Players

MODEL, OTHER = ModelId(named("model")), ModelId(named("other"))
SOMEBODY = Address("0x" + "11" * 20)
POLL_SECONDS = 1.0
BLOCK = BlockRef(1, named("block"), Timestamp(1))


class CountingLedger:
    """Counts how often the round is asked for."""

    account = SOMEBODY

    def __init__(self) -> None:
        self.asked = 0
        self.silent = False

    async def send(self, command: Command, key: str | None = None, *, cover: Wei | None = None) -> tuple[ev.Event, ...]:
        raise AssertionError("a watch sends nothing")

    async def settle(self) -> int:
        raise AssertionError("a watch sends nothing")

    async def logs(self, known: Sequence[BlockRef]) -> LogBatch:
        raise AssertionError("the follower reads the log")

    async def round(self, model: ModelId) -> RoundView:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        if self.silent:
            raise LedgerUnavailable("silent")
        return RoundView(
            number=self.asked,
            phase=Phase.BID,
            deadline=Timestamp(0),
            seed=bytes(32),
            bids=(),
            tips=(),
            legs=(),
            seats=(),
        )


class World:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.clock, self.ledger = FakeClock(), CountingLedger()
        self.watch = RoundWatch(self.ledger, self.clock, MODEL, Pace(self.clock, POLL_SECONDS))
        self.looks: list[int] = []
        nursery.start_soon(self.watch.run)
        nursery.start_soon(self._listen)

    async def _listen(self) -> None:
        while True:
            self.looks.append((await self.watch.next()).number)

    async def hear(self, *events: ev.Event, more: bool = False, undone: bool = False) -> None:
        entries = tuple(LogEntry(event, BLOCK, named("transaction"), number) for number, event in enumerate(events))
        self.watch.heard(LogBatch(0, (BLOCK,), entries, more), undone)
        await trio.testing.wait_all_tasks_blocked()


async def test_no_round_is_given_before_the_log_has_told_whose_chain_this_is(nursery: trio.Nursery) -> None:
    world = World(nursery)
    await world.clock.advance(60)
    assert (world.ledger.asked, world.looks) == (0, [])
    await world.hear()
    assert world.looks == [1]


async def test_a_quiet_log_costs_no_call_and_the_roles_still_look(nursery: trio.Nursery) -> None:
    world = World(nursery)
    await world.hear()
    await world.clock.advance(10 * IDLE_SECONDS)
    assert world.ledger.asked == 1
    assert world.looks == [1] * 11


async def test_an_event_of_the_model_is_answered_at_once_and_one_of_another_model_is_not(nursery: trio.Nursery) -> None:
    world = World(nursery)
    await world.hear()
    await world.hear(ev.Funded(OTHER, SOMEBODY, Wei(1)), ev.Deposited(SOMEBODY, Wei(1)))
    assert world.ledger.asked == 1
    await world.hear(ev.Funded(MODEL, SOMEBODY, Wei(1)))
    assert world.looks == [1, 2]
    await world.clock.advance(3 * POLL_SECONDS)
    assert world.looks == [1, 2, 2, 2, 2], "something happens: the roles look often"


async def test_what_a_reorganisation_took_back_is_looked_at_again(nursery: trio.Nursery) -> None:
    world = World(nursery)
    await world.hear()
    await world.hear(undone=True)
    assert world.ledger.asked == 2


async def test_the_round_is_asked_for_now_and_then_without_an_event(nursery: trio.Nursery) -> None:
    world = World(nursery)
    await world.hear()
    await world.clock.advance(READ_AGAIN_SECONDS + IDLE_SECONDS)
    assert world.ledger.asked == 2


@pytest.mark.parametrize("far", [True, False])
async def test_while_the_log_is_not_followed_the_round_is_asked_for_at_every_look(
    nursery: trio.Nursery, far: bool
) -> None:
    world = World(nursery)
    if far:
        await world.hear(more=True)
    else:
        world.watch.missed(LedgerUnavailable("the index has no room"))
    await trio.testing.wait_all_tasks_blocked()
    await world.clock.advance(4 * IDLE_SECONDS)
    assert world.ledger.asked == 5


async def test_of_another_chain_nothing_is_given_until_the_right_one_is_back(nursery: trio.Nursery) -> None:
    world = World(nursery)
    await world.hear()
    world.watch.missed(AnotherChain("another one"))
    await world.clock.advance(10 * IDLE_SECONDS)
    assert world.looks == [1]
    await world.hear()
    await world.clock.advance(IDLE_SECONDS)
    assert world.looks[:2] == [1, 2]


async def test_a_silent_chain_is_told_once_and_asked_ever_more_rarely(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(nursery)
    world.ledger.silent = True
    await world.hear()
    await world.clock.advance(100)
    assert world.ledger.asked <= 8
    assert caplog.text.count("silent") == 1
    world.ledger.silent = False
    await world.clock.advance(30)
    assert world.looks


def test_a_round_changes_by_events_of_its_model_alone() -> None:
    """What lets the watch go without asking."""
    players = Players(random.Random(3), blocks_per_batch=10_000)
    views: dict[ModelId, RoundView] = {}
    for _ in range(400):
        length = len(players.chain.logs(()).entries)
        players.play()
        told = {getattr(entry.event, "model", None) for entry in players.chain.logs(()).entries[length:]}
        now = {model: state.current for model, state in players.state.models.items()}
        assert {model for model, view in now.items() if views.get(model) != view} <= told
        views = now
