"""What the ledger refuses reaches a person as a sentence, and ends no running peer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from derelayl_node.api.status import Obstacle
from derelayl_node.pace import Pace
from derelayl_node.peer import HOLDUPS, Activity, Peer
from derelayl_node.ports import LedgerUnavailable
from derelayl_node.refusals import SENTENCES, sentence_of
from derelayl_node.rounds import RoundWatch
from derelayl_node.testing.clock import FakeClock
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.types import ModelId


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_is_a_sentence_with_a_remedy_and_its_numbers(reason: Reason) -> None:
    told = sentence_of(RuleViolation(reason, "3 of 5 tokens"))
    assert len(SENTENCES[reason].split()) > 6
    assert ": " in SENTENCES[reason] or "; " in SENTENCES[reason]
    assert told.endswith(f"({reason.value}: 3 of 5 tokens)")


def joining(refusal: Exception) -> Any:
    async def join() -> None:
        raise refusal

    settings = SimpleNamespace(works_with_data=False)
    return SimpleNamespace(
        settings=settings, roles=SimpleNamespace(validator=SimpleNamespace(join=join)), activity=Activity()
    )


class Looks:
    """As many looks at a round as there are, then none ever."""

    def __init__(self, count: int) -> None:
        self._left = count

    async def next(self) -> Any:
        if not self._left:
            await trio.sleep_forever()
        self._left -= 1
        return SimpleNamespace(number=7)


async def played(outcomes: list[Exception | None]) -> tuple[Obstacle, ...]:
    """What is in a seeder's way after steps with these outcomes."""

    async def step(view: object) -> None:
        if (error := left.pop(0)) is not None:
            raise error

    left, nobody = list(outcomes), SimpleNamespace(obstacle="")
    roles = SimpleNamespace(validator=None, trainer=nobody)
    peer: Any = SimpleNamespace(watch=Looks(len(outcomes)), activity=Activity(), roles=roles, trainer=nobody)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Peer._play, peer, "seeder", step)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return Peer.obstacles(peer)


async def test_what_holds_a_role_up_is_its_obstacle_until_its_next_good_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusal = RuleViolation(Reason.UNKNOWN_MODEL)
    assert await played([None, refusal, refusal]) == (Obstacle("seeder", sentence_of(refusal)),)
    assert caplog.text.count("seeder held up") == 1
    assert await played([refusal, None]) == ()


async def test_a_silent_chain_still_ends_a_start() -> None:
    with pytest.raises(LedgerUnavailable):
        await Peer.join(joining(LedgerUnavailable("silent")))


def test_a_refusal_holds_a_role_up_and_ends_no_peer() -> None:
    assert issubclass(RuleViolation, HOLDUPS)


async def test_a_chain_that_has_lost_the_model_is_asked_again(nursery: Any) -> None:
    refused: list[float] = []
    clock = FakeClock()

    class Lost:
        async def round(self, model: ModelId) -> None:
            refused.append(clock.now())
            raise RuleViolation(Reason.UNKNOWN_MODEL)

    watch = RoundWatch(Lost(), clock, ModelId(bytes(32)), Pace(clock, 1.0))  # type: ignore[arg-type]
    watch.missed(LedgerUnavailable("no log yet"))
    nursery.start_soon(watch.run)
    for _ in range(3):
        await clock.advance(30)
    assert len(refused) >= 3
    assert watch.latest is None
