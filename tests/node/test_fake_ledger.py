"""The ledger in memory and the clock that stands still: the port's conformance, and what only the fakes can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from derelayl_node.evm.typed_data import recoverer
from derelayl_node.keys import NodeKey
from derelayl_node.ports import Clock, LedgerUnavailable
from derelayl_node.testing.clock import START_SECONDS, FakeClock
from derelayl_node.testing.ledger import FakeChain
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.commands import CreateModel, Deposit
from derelayl_protocol.ledger.events import Deposited
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.types import Address, LedgerId, ModelId, Root, Wei

from .conformance.ledger import FUNDS, GENESIS, RULES, LedgerWorld, check_ledger

KEYS = tuple(NodeKey(bytes([number]) * 32) for number in (1, 2, 3))
ALICE, BOB, CAROL = (key.address for key in KEYS)
LEDGER = LedgerId(1, Address("0x" + "1e" * 20))


def new_chain(clock: FakeClock | None = None, *, blocks_per_batch: int = 256) -> FakeChain:
    wallets = dict.fromkeys((ALICE, BOB, CAROL), FUNDS)
    recover = recoverer(LEDGER)
    return FakeChain(wallets, clock or FakeClock(), blocks_per_batch=blocks_per_batch, recover=recover)


@asynccontextmanager
async def fake_world(blocks_per_batch: int) -> AsyncIterator[LedgerWorld]:
    clock = FakeClock()
    chain = new_chain(clock, blocks_per_batch=blocks_per_batch)

    async def reorg(depth: int) -> None:
        chain.reorg(depth)

    yield LedgerWorld([chain.account(key.address) for key in KEYS], KEYS, LEDGER, clock.advance, reorg)


# --- ledger -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks_per_batch", [1, 3, 256])
async def test_the_fake_passes_the_ports_conformance(blocks_per_batch: int) -> None:
    await check_ledger(partial(fake_world, blocks_per_batch))


async def test_a_silent_chain_answers_nothing_and_forgets_nothing() -> None:
    chain = new_chain()
    alice = chain.account(ALICE)
    chain.silent = True
    model = ModelId(bytes(32))
    for ask in (
        partial(alice.send, Deposit(Wei(1))),
        partial(alice.round, model),
        partial(alice.model, model),
        partial(alice.logs, ()),
    ):
        with pytest.raises(LedgerUnavailable):
            await ask()
    chain.silent = False
    assert await alice.send(Deposit(Wei(1))) == (Deposited(ALICE, Wei(1)),)


async def test_a_refused_command_mines_no_block() -> None:
    chain = new_chain()
    head = chain.head
    with pytest.raises(RuleViolation) as refusal:
        await chain.account(ALICE).send(Deposit(Wei(FUNDS + 1)))
    assert refusal.value.reason == Reason.INSUFFICIENT_BALANCE
    assert chain.head == head


async def test_a_reorganisation_takes_back_the_newest_blocks_only() -> None:
    chain = new_chain()
    alice = chain.account(ALICE)
    await alice.send(Deposit(Wei(1)))
    kept = chain.head
    await alice.send(CreateModel(RULES, Root(GENESIS), Wei(0)))
    chain.mine()
    chain.reorg(2)
    assert chain.head == kept
    assert chain.state.free == {ALICE: 1}
    with pytest.raises(RuleViolation):
        await alice.round(model_id(ALICE, Root(GENESIS), RULES))


async def test_a_new_block_at_an_old_height_has_another_hash() -> None:
    chain = new_chain()
    chain.mine()
    first = chain.head
    chain.reorg(1)
    chain.mine()
    assert (chain.head.number, chain.head.time) == (first.number, first.time)
    assert chain.head.hash != first.hash


@pytest.mark.parametrize("depth", [2, -1])
def test_block_zero_stays(depth: int) -> None:
    chain = new_chain()
    chain.mine()
    with pytest.raises(ValueError, match="cannot be dropped"):
        chain.reorg(depth)


async def test_each_account_retries_only_its_own_commands() -> None:
    chain = new_chain()
    command = CreateModel(RULES, Root(GENESIS), Wei(0))
    alice, bob = chain.account(ALICE), chain.account(BOB)
    first = await alice.send(command)
    height = chain.head.number
    assert await alice.send(command) == first
    assert chain.head.number == height
    assert await bob.send(command) != first


async def test_a_blocks_time_never_runs_backwards() -> None:
    clock = FakeClock()
    chain = new_chain(clock)
    await clock.advance(90.5)
    chain.mine()
    assert chain.head.time == int(START_SECONDS + 90)
    earlier = FakeChain({}, FakeClock(5.9))
    assert earlier.head.time == 5


# --- clock ------------------------------------------------------------------------------------------------------------


async def test_time_moves_forward_only() -> None:
    clock: Clock = FakeClock(100.0)
    with pytest.raises(ValueError, match="backwards"):
        await FakeClock().advance(-1)
    assert clock.now() == 100.0


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = FakeClock(0.0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float, times: int = 1) -> None:
        for _ in range(times):
            await clock.sleep(seconds)
            woken.append((name, clock.now()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleeper, "late", 9.0)
        nursery.start_soon(sleeper, "often", 2.0, 3)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(sleeper, "second of two", 4.0)
        await clock.advance(8.0)
        assert woken == [("often", 2.0), ("second of two", 4.0), ("often", 4.0), ("often", 6.0)]
        assert (clock.now(), clock.sleepers, clock.next_wake) == (8.0, 1, 9.0)
        await clock.advance(1.0)
    assert woken[-1] == ("late", 9.0)
    assert clock.next_wake is None


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.sleep, 5)
        nursery.start_soon(clock.sleep, 7)
        await trio.testing.wait_all_tasks_blocked()
        assert clock.sleepers == 2
        nursery.cancel_scope.cancel()
    assert clock.sleepers == 0


async def test_no_time_is_slept_at_once_but_others_get_their_turn() -> None:
    clock = FakeClock()
    with trio.CancelScope() as scope:
        scope.cancel()
        await clock.sleep(0)
    assert scope.cancelled_caught
    await clock.sleep(-1)
    assert clock.now() == START_SECONDS
