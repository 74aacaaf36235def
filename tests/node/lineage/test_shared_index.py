"""Two followers of one index: each listener hears what happens, whoever of them reads it first."""

from __future__ import annotations

import random

import pytest
import trio

from derelayl_node.lineage import follower, index
from derelayl_node.lineage.follower import follow
from derelayl_node.lineage.index import LineageIndex
from derelayl_node.pace import IDLE_SECONDS, Pace
from derelayl_node.testing.clock import FakeClock

from .players import OWNER, Players
from .test_follower import POLL_SECONDS, Heard, asleep, next_sleep


class Shared:
    """A follower of an index, and another process, on its database, that reads first."""

    def __init__(self, index: LineageIndex, nursery: trio.Nursery) -> None:
        self.players, self.clock, self.ears = Players(random.Random(1), blocks_per_batch=1_000), FakeClock(), Heard()
        self.index, self._nursery = index, nursery
        self._other = self.players.chain.account(OWNER)
        for _ in range(30):
            self.players.play()

    async def start(self) -> None:
        """Follow, from what the other one has read already."""
        await self.read_first()
        pace = Pace(self.clock, POLL_SECONDS)
        mine = self.players.chain.account(OWNER)
        self._nursery.start_soon(follow, mine, self.index, self.clock, pace, None, self.ears)
        await asleep(self.clock)
        self.ears.batches.clear()

    async def read_first(self) -> None:
        """Be faster than the follower."""
        self.index.apply(await self._other.logs(self.index.known_blocks()))

    async def hear(self) -> tuple[int, bool]:
        """How many entries the follower tells at its next look, and whether something was undone."""
        await next_sleep(self.clock, IDLE_SECONDS)
        batch, undone = self.ears.batches[-1]
        return len(batch.entries), undone


@pytest.fixture
async def shared(index: LineageIndex, nursery: trio.Nursery) -> Shared:
    shared = Shared(index, nursery)
    await shared.start()
    return shared


async def test_a_listener_hears_what_another_process_has_put_into_the_index_once(shared: Shared) -> None:
    before = sum(1 for _ in shared.index.log())
    for _ in range(3):
        shared.players.play()
    await shared.read_first()
    assert await shared.hear() == (sum(1 for _ in shared.index.log()) - before, False)
    assert await shared.hear() == (0, False)


async def test_a_new_block_without_events_that_another_process_has_read_is_no_news(shared: Shared) -> None:
    shared.players.chain.mine()
    await shared.read_first()
    assert await shared.hear() == (0, False)


async def test_a_listener_hears_that_another_process_has_undone_blocks(shared: Shared) -> None:
    shared.players.chain.reorg(3)
    for _ in range(4):
        shared.players.play()
    await shared.read_first()
    assert await shared.hear() == (0, True)
    assert await shared.hear() == (0, False)


async def test_who_has_missed_more_than_is_told_has_to_look(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (follower, index):
        monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    for _ in range(5):
        shared.players.play()
    await shared.read_first()
    assert await shared.hear() == (2, True)
