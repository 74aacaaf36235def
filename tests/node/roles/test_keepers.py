"""Real keepers at one deadline after another, on a chain with blocks: how many pay for nothing, how long it takes."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock

from derelayl_node.roles import keeper
from derelayl_node.roles.duties import _ticket
from derelayl_node.roles.keeper import Keeper
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.commands import Command
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.presets import DEVNET, STANDARD
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.ledger.state import LegEntry, RoundView, SeatEntry
from derelayl_protocol.types import Address, ModelId, Ppm, Root, Timestamp, Wei

MODEL = ModelId(b"m" * 32)
POLL_SECONDS = 1.0
DEADLINES = 40


@dataclass
class Deadline:
    """A round whose reveals are over, and the keepers at it. Blocks come every `block_seconds`."""

    view: RoundView
    block_seconds: float
    ended_at: float = 0.0
    paid: int = 0

    async def send(self, account: Address) -> None:
        self._check()  # the estimate, for which nobody pays
        self.paid += 1
        await trio.sleep(self.block_seconds - trio.current_time() % self.block_seconds)
        self._check()
        self.view = replace(self.view, phase=Phase.BID, deadline=Timestamp(0))
        self.ended_at = trio.current_time()

    def _check(self) -> None:
        if self.view.phase is Phase.BID:
            raise RuleViolation(Reason.WRONG_PHASE)


class SeenBy:
    """The deadline as one account's ledger."""

    def __init__(self, deadline: Deadline, account: Address) -> None:
        self.deadline, self.account = deadline, account

    async def round(self, model: ModelId) -> RoundView:
        await trio.lowlevel.checkpoint()
        return self.deadline.view

    async def send(self, command: Command, key: str | None = None) -> None:
        await self.deadline.send(self.account)


def account(number: int) -> Address:
    return Address(f"0x{number:040x}")


def a_round(seed: int) -> RoundView:
    """Accounts 1 and 2 have legs, 3 to 5 seats and revealed; whoever comes after them is a stranger."""
    legs = tuple(
        LegEntry(account(n), Root(b"t" * 32), account(1), 0, Wei(5), Wei(0), Root(bytes([n] * 32))) for n in (1, 2)
    )
    seats = tuple(SeatEntry(account(n), Wei(7), b"k" * 32, (Ppm(1), Ppm(2))) for n in (3, 4, 5))
    return RoundView(3, Phase.REVEAL, Timestamp(1), seed.to_bytes(32), (), (), legs, seats)


async def play(
    rules: Rules, block_seconds: float, peers: int, dead: frozenset[int] = frozenset()
) -> tuple[float, float]:
    """Lost transactions for each deadline, and the mean seconds from the deadline to the block that ends it."""
    dice, lost, waited = random.Random(1), 0, 0.0
    for seed in range(DEADLINES):
        deadline = Deadline(a_round(seed), block_seconds)
        begin = trio.current_time()

        async def look(number: int, offset: float, deadline: Deadline = deadline) -> None:
            ledger = SeenBy(deadline, account(number))
            clock = SimpleNamespace(now=trio.current_time)
            role = Keeper(SimpleNamespace(model=MODEL, rules=rules, ledger=ledger, clock=clock))  # type: ignore[arg-type]
            await trio.sleep(offset)
            while deadline.view.phase is not Phase.BID:
                await role.step(deadline.view)
                await trio.sleep(POLL_SECONDS)

        async with trio.open_nursery() as nursery:
            for number in range(1, peers + 1):
                if number not in dead:
                    nursery.start_soon(look, number, dice.random() * POLL_SECONDS)
        lost += deadline.paid - 1
        waited += deadline.ended_at - begin
        await trio.sleep(dice.random() * block_seconds + 10)
    return lost / DEADLINES, waited / DEADLINES


def measure(rules: Rules, block_seconds: float, peers: int, dead: frozenset[int] = frozenset()) -> tuple[float, float]:
    return trio.run(play, rules, block_seconds, peers, dead, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(("rules", "block_seconds"), [(DEVNET, 1.0), (STANDARD, 12.0)])
@pytest.mark.parametrize("peers", [7, 30])
def test_one_keeper_pays_for_a_deadline(rules: Rules, block_seconds: float, peers: int) -> None:
    lost, seconds = measure(rules, block_seconds, peers)
    assert lost == 0
    assert seconds < block_seconds + POLL_SECONDS


def test_without_turns_a_deadline_costs_several_keepers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "patience", lambda view, _, account: 3 * _ticket(view, account))
    assert measure(DEVNET, 1.0, 7)[0] > 0.5
    assert measure(STANDARD, 12.0, 7)[0] > 2


@pytest.mark.parametrize("dead", [{3}, {3, 4}, {1, 2, 3, 4, 5}])
def test_the_round_goes_on_within_seconds_when_keepers_are_dead(dead: set[int]) -> None:
    lost, seconds = measure(DEVNET, 1.0, 12, frozenset(dead))
    assert lost < 1
    assert seconds < 15
