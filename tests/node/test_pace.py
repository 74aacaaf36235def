"""How often a node looks at its chain."""

import trio
import trio.testing

from derelayl_node.pace import BUSY_SECONDS, IDLE_SECONDS, Pace
from derelayl_node.testing.clock import FakeClock


def test_nothing_happens_at_first_and_the_looks_are_rare() -> None:
    assert Pace(FakeClock(), 1.0).seconds() == IDLE_SECONDS


async def test_an_event_makes_them_frequent_for_a_while() -> None:
    clock = FakeClock()
    pace = Pace(clock, 1.0)
    pace.hurry()
    assert pace.seconds() == 1.0
    await clock.advance(BUSY_SECONDS)
    assert pace.seconds() == IDLE_SECONDS


async def test_a_phase_is_looked_at_the_more_often_the_nearer_its_end() -> None:
    clock = FakeClock()
    pace = Pace(clock, 1.0)
    pace.phase_ends(clock.now() + 3_600)
    assert pace.seconds() == IDLE_SECONDS
    await clock.advance(3_450)
    assert pace.seconds() == 3.0
    await clock.advance(140)
    assert pace.seconds() == 1.0
    await clock.advance(10 + BUSY_SECONDS - 1)
    assert pace.seconds() == 1.0, "somebody is about to move the round on"
    await clock.advance(1)
    assert pace.seconds() == IDLE_SECONDS, "nobody does"


def test_who_asks_for_rare_looks_gets_them() -> None:
    assert Pace(FakeClock(), 30.0).seconds() == 30.0


async def test_a_sleeper_is_woken_by_what_happens_but_never_early(nursery: trio.Nursery) -> None:
    clock = FakeClock()
    pace, woken = Pace(clock, 2.0), []

    async def sleep() -> None:
        await pace.sleep()
        woken.append(clock.now())

    began = clock.now()
    nursery.start_soon(sleep)
    await trio.testing.wait_all_tasks_blocked()
    pace.hurry()
    await trio.testing.wait_all_tasks_blocked()
    assert woken == []
    await clock.advance(2.0)
    assert woken == [began + 2.0]
    await clock.advance(BUSY_SECONDS)
    nursery.start_soon(sleep)
    await clock.advance(3.0)
    pace.hurry()
    await trio.testing.wait_all_tasks_blocked()
    assert len(woken) == 2


async def test_a_sleeper_that_nothing_wakes_sleeps_until_the_next_rare_look(nursery: trio.Nursery) -> None:
    clock = FakeClock()
    pace, woken = Pace(clock, 2.0), []

    async def sleep() -> None:
        await pace.sleep()
        woken.append(clock.now())

    began = clock.now()
    nursery.start_soon(sleep)
    await clock.advance(IDLE_SECONDS)
    assert woken == [began + IDLE_SECONDS]
