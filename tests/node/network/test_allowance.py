"""An author of news has a burst and then so much a second, whatever others say."""

from __future__ import annotations

from derelayl_node.network.allowance import MAX_AUTHORS, Allowance


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_beyond_its_burst_an_author_is_not_heard_until_time_has_passed() -> None:
    clock = Clock()
    allowance = Allowance(clock, burst=3, per_second=0.5)
    assert [allowance.take("a") for _ in range(5)] == [True, True, True, False, False]
    clock.now = 2.0
    assert [allowance.take("a") for _ in range(2)] == [True, False]


def test_one_author_that_floods_takes_nothing_from_another() -> None:
    allowance = Allowance(Clock(), burst=1)
    assert [allowance.take(author) for author in "aaab"] == [True, False, False, True]


def test_silence_saves_up_no_more_than_a_burst() -> None:
    clock = Clock()
    allowance = Allowance(clock, burst=2)
    clock.now = 1_000.0
    assert [allowance.take("a") for _ in range(3)] == [True, True, False]


def test_the_memory_of_authors_is_bounded_and_whoever_speaks_stays_in_it() -> None:
    allowance = Allowance(Clock(), burst=2)
    assert [allowance.take("loud") for _ in range(3)] == [True, True, False]
    for number in range(MAX_AUTHORS - 1):
        allowance.take(str(number))
    assert not allowance.take("loud")
    for number in range(MAX_AUTHORS):
        allowance.take(f"more {number}")
    assert allowance.take("loud")
