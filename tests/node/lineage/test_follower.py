"""The follower: failures are survived, visible and tried again with bounded pauses."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from derelayl_node.lineage import follower
from derelayl_node.lineage.database import IndexUnusable
from derelayl_node.lineage.follower import Progress, follow
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.pace import IDLE_SECONDS, MAX_BACKOFF_SECONDS, Pace
from derelayl_node.ports import AnotherChain, BlockRef, LogBatch
from derelayl_node.testing.clock import FakeClock
from derelayl_node.testing.history import named
from derelayl_node.testing.ledger import FakeChain
from derelayl_protocol.types import Timestamp

from .players import OWNER, Players

POLL_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
"""Of real time: a busy machine takes seconds for what the threads do here."""

PAUSE_SECONDS = 0.002
"""Between two looks: a loop without a pause would keep the interpreter from the threads it waits for."""


async def asleep(clock: FakeClock) -> None:
    """Wait until the follower sleeps; its work happens in threads, so blocked tasks alone do not tell."""
    with trio.fail_after(PATIENCE_SECONDS):
        while not clock.sleepers:
            await trio.testing.wait_all_tasks_blocked(PAUSE_SECONDS)


async def next_sleep(clock: FakeClock, seconds: float) -> None:
    """Wake the follower and wait until it sleeps again."""
    await clock.advance(seconds)
    await asleep(clock)


def world() -> tuple[Players, FakeClock]:
    players = Players(random.Random(1), blocks_per_batch=5)
    for _ in range(30):
        players.play()
    return players, FakeClock()


async def test_a_silent_chain_is_shown_and_asked_again_ever_more_rarely(
    index: LineageIndex, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    (players, clock), progress = world(), Progress()
    players.chain.silent = True
    nursery.start_soon(follow, players.chain.account(OWNER), index, clock, Pace(clock, POLL_SECONDS), progress)
    await asleep(clock)
    pauses = []
    for _ in range(8):
        pause = (clock.next_wake or 0) - clock.now()
        pauses.append(pause)
        await next_sleep(clock, pause)
    assert pauses == [4, 8, 16, 30, 30, 30, 30, 30]
    assert max(pauses) == MAX_BACKOFF_SECONDS
    assert (progress.reachable, progress.lag_seconds(clock.now())) == (False, None)
    assert "silent" in progress.error
    assert "the lineage index is not advancing" in caplog.text
    players.chain.silent = False
    await next_sleep(clock, MAX_BACKOFF_SECONDS)
    assert (progress.reachable, progress.error, progress.lag_seconds(clock.now())) == (True, "", 0)
    assert (clock.next_wake or 0) - clock.now() == POLL_SECONDS


async def test_a_failure_is_told_once_not_at_every_try(
    index: LineageIndex, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    players, clock = world()
    players.chain.silent = True
    nursery.start_soon(follow, players.chain.account(OWNER), index, clock, Pace(clock, POLL_SECONDS))
    await asleep(clock)
    for _ in range(5):
        await next_sleep(clock, MAX_BACKOFF_SECONDS)
    assert caplog.text.count("is not advancing") == 1


async def test_another_chain_is_told_once_takes_nothing_from_the_index_and_is_over_when_the_old_one_is_back(
    index: LineageIndex, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    (players, clock), progress, heard = world(), Progress(), Heard()
    ledger = SwitchedLedger(players.chain)
    nursery.start_soon(follow, ledger, index, clock, Pace(clock, POLL_SECONDS), progress, heard)
    await asleep(clock)
    before = index.head()
    other = FakeChain({}, clock)
    other.begin_anew()
    ledger.chain = other
    for _ in range(4):
        other.mine()
        await next_sleep(clock, MAX_BACKOFF_SECONDS)
        assert progress.another_chain
        assert not progress.reachable
        assert index.head() == before
        assert isinstance(heard.errors[-1], AnotherChain)
    assert caplog.text.count("is not advancing") == 1
    ledger.chain = players.chain
    players.play()
    await next_sleep(clock, MAX_BACKOFF_SECONDS)
    assert (progress.another_chain, progress.error) == (False, "")
    assert index.known_blocks()[-1] == players.chain.head


async def test_a_chain_that_is_behind_is_waited_for_and_does_not_count_as_caught_up(
    index: LineageIndex, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (players, clock), progress = world(), Progress()
    nursery.start_soon(follow, players.chain.account(OWNER), index, clock, Pace(clock, POLL_SECONDS), progress)
    await asleep(clock)
    before = index.head()
    players.chain.reorg(3)
    await next_sleep(clock, IDLE_SECONDS)
    assert index.head() == before
    assert "behind" in progress.error
    assert (progress.lag_seconds(clock.now()) or 0) > 0
    await next_sleep(clock, IDLE_SECONDS)
    assert caplog.text.count("is not advancing: the chain's node is behind") == 1
    assert "advancing again" not in caplog.text
    for _ in range(4):
        players.play()
    await next_sleep(clock, IDLE_SECONDS)
    assert (progress.error, caplog.text.count("advancing again")) == ("", 1)


class Heard:
    """Keeps what a listener is told."""

    def __init__(self) -> None:
        self.batches: list[tuple[LogBatch, bool]] = []
        self.errors: list[Exception] = []

    def heard(self, batch: LogBatch, undone: bool) -> None:
        self.batches.append((batch, undone))

    def missed(self, error: Exception) -> None:
        self.errors.append(error)


class SwitchedLedger:
    """A ledger whose chain may be exchanged."""

    account = OWNER

    def __init__(self, chain: FakeChain) -> None:
        self.chain = chain

    async def logs(self, known: Sequence[BlockRef]) -> LogBatch:
        return await self.chain.account(OWNER).logs(known)


async def test_an_index_that_cannot_write_keeps_the_follower_alive(
    index: LineageIndex, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    (players, clock), progress = world(), Progress()

    def full(batch: LogBatch) -> None:
        raise IndexUnusable("the disk is full; free some disk space")

    with monkeypatch.context() as patch:
        patch.setattr(index, "apply", full)
        nursery.start_soon(follow, players.chain.account(OWNER), index, clock, Pace(clock, POLL_SECONDS), progress)
        await asleep(clock)
        assert progress.error == "the disk is full; free some disk space"
        assert progress.reachable
    await next_sleep(clock, 2 * POLL_SECONDS)
    assert progress.error == ""
    assert index.known_blocks()[-1] == players.chain.head


class StubbornLedger:
    """Says that there is more, and gives nothing; or never answers."""

    account = OWNER

    def __init__(self, answers: bool) -> None:
        self._answers = answers

    async def logs(self, known: Sequence[BlockRef]) -> LogBatch:
        if not self._answers:
            await trio.sleep_forever()
        return LogBatch(-1, (), (), True)


@pytest.mark.parametrize(("answers", "error"), [(True, "gives none"), (False, "did not answer in time")])
async def test_a_nonsensical_or_hanging_endpoint_does_not_spin_or_block_the_follower(
    answers: bool, error: str, index: LineageIndex, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "LOGS_SECONDS", 0.01)
    clock, progress = FakeClock(), Progress()
    nursery.start_soon(follow, StubbornLedger(answers), index, clock, Pace(clock, POLL_SECONDS), progress)
    await asleep(clock)
    assert error in progress.error


async def test_the_index_reaches_the_head_and_follows_new_blocks_and_reorganisations(
    index: LineageIndex, nursery: trio.Nursery
) -> None:
    (players, clock), progress = world(), Progress()
    nursery.start_soon(follow, players.chain.account(OWNER), index, clock, Pace(clock, POLL_SECONDS), progress)
    await asleep(clock)
    assert index.known_blocks()[-1] == players.chain.head
    players.chain.reorg(7)
    for _ in range(8):
        players.play()
    await next_sleep(clock, IDLE_SECONDS)
    assert index.known_blocks()[-1] == players.chain.head
    assert progress.lag_seconds(clock.now() + 9) == 9


async def test_follow_ends_when_cancelled(index: LineageIndex) -> None:
    players, clock = world()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, players.chain.account(OWNER), index, clock, Pace(clock, POLL_SECONDS))
        await asleep(clock)
        nursery.cancel_scope.cancel()
    assert index.known_blocks()[-1] == players.chain.head


async def test_blocks_without_events_move_the_head(index: LineageIndex) -> None:
    block = BlockRef(7, named("seven"), Timestamp(9))
    index.apply(LogBatch(-1, (block,), (), False))
    assert (index.head().block, index.head().hash, index.head().events) == (7, named("seven"), 0)
