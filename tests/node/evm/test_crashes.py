"""A payment happens once: whatever dies wherever, and asks again on the same outbox."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from derelayl_node.devchain.server import ChainServer
from derelayl_node.evm.client import EvmLedger, open_ledger
from derelayl_node.keys import NodeKey
from derelayl_node.roles.validator import ValidatorRole
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.commands import Command, CreateModel, Deposit, PlaceBid, Stake, Unstake, Withdraw
from derelayl_protocol.ledger.events import Deposited, Event, Staked
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.types import Root, Wei

from ..conformance.ledger import FUNDS, LedgerWorld, check_ledger
from .crashing import POINTS, Crash, DyingLedger, open_dying, reopened
from .world import (
    ALICE,
    BOB,
    CAROL,
    COIN,
    RULES,
    Template,
    TickingClock,
    World,
    open_embedded,
    served_world,
)

PLAYERS = tuple(NodeKey(bytes([number]) * 32) for number in (11, 12, 13))
GENESIS = Root(b"\x07" * 32)
MODEL = model_id(ALICE.address, GENESIS, RULES)
GRANT = Wei(1_000)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
async def test_every_command_that_is_cut_off_and_asked_again_is_executed_once(world: World, point: str) -> None:
    """The whole history of the conformance suite, which compares the log with the reference after each command."""
    crashed: set[type[object]] = set()

    @asynccontextmanager
    async def make() -> AsyncIterator[LedgerWorld]:
        treasury = await open_ledger(world.url, ALICE, world.addresses, world.folder / "treasury.sqlite")
        for key in PLAYERS:
            await treasury.give(key.address, FUNDS, Wei(COIN))
        treasury.close()

        async def advance(seconds: float) -> None:
            world.clock.now += seconds

        ledgers: list[Any] = [DyingLedger(world, key, point, crashed, await reopened(world, key)) for key in PLAYERS]
        yield LedgerWorld(ledgers, PLAYERS, world.addresses.ledger, advance)
        for ledger in ledgers:
            ledger.close()

    await check_ledger(make)
    assert crashed == set(get_args(Command))


async def _found(world: World) -> None:
    """Alice founds a model and gives Bob tokens in his wallet."""
    alice = await reopened(world, ALICE)
    await alice.give(BOB.address, GRANT, COIN)
    await alice.send(CreateModel(RULES, GENESIS, Wei(0)))
    alice.close()


def _role(ledger: EvmLedger) -> ValidatorRole:
    return ValidatorRole(SimpleNamespace(model=MODEL, rules=RULES, ledger=ledger, registry=ledger), bytes)  # type: ignore[arg-type]


async def _die_everywhere(world: World, key: NodeKey, point: str, act: Callable[[EvmLedger], Awaitable[Any]]) -> int:
    """Do it again and again on one outbox, dying one transaction later each time; returns how often it died."""
    for number in count():
        # What is mined stays mined, and is looked up again by each process: it has to come one look further.
        ledger, rpc = await open_dying(world, key, point, 1 + number if point == "mined" else 1)
        try:
            await act(ledger)
        except Crash:
            continue
        finally:
            ledger.close()
        if not rpc.died:
            return number
    raise AssertionError("never")


async def _events(world: World, kind: type[Any]) -> list[Any]:
    ledger = await reopened(world, CAROL)
    batch = await ledger.logs(())
    ledger.close()
    return [entry.event for entry in batch.entries if isinstance(entry.event, kind)]


@pytest.mark.parametrize("point", POINTS)
async def test_a_validator_killed_around_each_transaction_of_its_first_stake_stakes_once(
    world: World, point: str
) -> None:
    await _found(world)
    assert await _die_everywhere(world, BOB, point, lambda ledger: _role(ledger).join()) > 0
    assert await _events(world, Staked) == [Staked(MODEL, BOB.address, RULES.validator_stake)]
    assert await _events(world, Deposited) == [Deposited(BOB.address, RULES.validator_stake)]


async def test_a_stake_on_its_way_from_the_command_line_is_waited_for_before_a_node_stakes(world: World) -> None:
    await _found(world)
    ledger, _ = await open_dying(world, BOB, "signed", 3)  # after approval and deposit
    with pytest.raises(Crash):
        await ledger.send(Stake(MODEL, RULES.validator_stake), cover=RULES.validator_stake)
    ledger.close()
    ledger, _ = await open_dying(world, BOB, "never")
    await _role(ledger).join()
    ledger.close()
    assert len(await _events(world, Staked)) == 1


async def test_who_has_unstaked_is_not_made_a_validator_again_by_a_restart(world: World) -> None:
    await _found(world)
    bob = await reopened(world, BOB)
    await _role(bob).join()
    await bob.send(Unstake(MODEL))
    role = _role(bob)
    await role.join()
    assert re.search(r"0 tokens at stake of the 0\.00000000000000001 .* gets no seat.*stake add", role.obstacle)
    assert len(await _events(world, Staked)) == 1
    bob.close()


@pytest.mark.parametrize("point", POINTS)
async def test_a_bid_that_is_paid_for_out_of_the_wallet_is_paid_for_once(world: World, point: str) -> None:
    await _found(world)
    bid = PlaceBid(MODEL, 1, 255, Wei(70))
    await _die_everywhere(world, BOB, point, lambda ledger: ledger.send(bid, cover=bid.amount))
    bob = await reopened(world, BOB)
    view = await bob.account_view(BOB.address)
    bob.close()
    assert (view.wallet, view.free) == (GRANT - 70, 0)


@pytest.mark.parametrize("point", POINTS)
async def test_a_gift_that_is_cut_off_is_given_once_and_given_anew_when_its_end_was_told(
    world: World, point: str
) -> None:
    for times in (1, 2):
        await _die_everywhere(world, ALICE, point, lambda ledger: ledger.give(CAROL.address, Wei(5), 7))
        alice = await reopened(world, ALICE)
        assert (await alice.account_view(CAROL.address)).wallet == 5 * times
        assert await alice.gas_balance(CAROL.address) == 7 * times
        alice.close()


async def test_what_was_cut_off_is_told_apart_from_what_is_asked_for(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, _ = await open_dying(world, ALICE, "mined", 2)
    with pytest.raises(Crash):
        await ledger.send(Deposit(Wei(5)))
    ledger.close()
    alice = await reopened(world, ALICE)
    for free in (5, 10):
        await alice.send(Deposit(Wei(5)))
        assert await alice.free(ALICE.address) == free
    assert [record.getMessage().split()[0] for record in caplog.records if "outcome" in record.message] == ["Deposit"]
    assert await alice.settle() == 0
    alice.close()


async def test_a_deposit_whose_tokens_went_elsewhere_is_made_again_at_the_second_try(world: World) -> None:
    await _found(world)
    create = CreateModel(replace(RULES, quorum=2), GENESIS, Wei(70))
    ledger, _ = await open_dying(world, BOB, "signed", 3)  # the creation: approval and deposit are through
    with pytest.raises(Crash):
        await ledger.send(create, cover=create.budget)
    ledger._outbox._connection.execute("delete from attempt where intent = 3")  # it died a moment before signing
    ledger._outbox._connection.execute("delete from intent where id = 3")
    ledger.close()
    bob = await reopened(world, BOB)
    await bob.send(Withdraw(Wei(70)))
    with pytest.raises(RuleViolation):
        await bob.send(create, cover=create.budget)
    await bob.send(create, cover=create.budget)
    assert (await bob.account_view(BOB.address)).wallet == GRANT - 70
    bob.close()


async def test_an_empty_purse_is_told_what_it_has_and_what_is_needed(world: World) -> None:
    await _found(world)
    bob = await reopened(world, BOB)
    await bob.send(Deposit(Wei(100)))
    with pytest.raises(RuleViolation) as refusal:
        await bob.send(Stake(MODEL, Wei(5_000)), cover=Wei(5_000))
    assert refusal.value.reason is Reason.INSUFFICIENT_BALANCE
    assert "0.000000000000005 tokens are needed" in str(refusal.value)
    assert "0.0000000000000009 in its wallet and 0.0000000000000001 free in the ledger" in str(refusal.value)
    await bob.send(Stake(MODEL, Wei(GRANT)), cover=GRANT)  # neither has that much, both together have
    await bob.send(Unstake(MODEL))
    with pytest.raises(RuleViolation):
        await bob.send(Withdraw(Wei(1)))
    bob.close()


class LateClock(TickingClock):
    """Ticks, and so brings blocks, once it is told to."""

    ticks = False

    def __call__(self) -> float:
        return super().__call__() if self.ticks else self.now


async def test_a_deposit_that_a_reorganisation_takes_before_the_stake_is_made_again(
    tmp_path: Path, template: Template
) -> None:
    with served_world(tmp_path, template) as world:
        await _found(world)
        now = world.clock.now
    file, before = tmp_path / "chain.sqlite", tmp_path / "before.sqlite"
    shutil.copy(file, before)
    server = ChainServer(open_embedded(file, TickingClock(now)))
    with ExitStack() as chain:
        chain.enter_context(server)
        bob = await open_ledger(server.url, BOB, template.addresses, tmp_path / "bob.sqlite")
        once, turns = bob._sending._once, count()
        clock = LateClock(now + 1_000)

        async def after_a_reorganisation(intent: str, command: Command) -> tuple[Event, ...]:
            if isinstance(command, Stake) and next(turns) == 1:  # the first try asks for the deposit
                chain.close()
                shutil.copy(before, file)
                port = int(server.url.rpartition(":")[2])
                chain.enter_context(ChainServer(open_embedded(file, clock), port))
                with pytest.raises(RuleViolation):  # the deposit is sent again meanwhile, and waits for a block
                    await once(intent, command)
                clock.ticks = True
                raise RuleViolation(Reason.INSUFFICIENT_BALANCE)
            return await once(intent, command)

        bob._sending._once = after_a_reorganisation  # type: ignore[method-assign]
        await bob.send(Stake(MODEL, Wei(10)), cover=Wei(10))
        assert await bob.stake(MODEL, BOB.address) == 10
        assert (await bob.account_view(BOB.address)).wallet == GRANT - 10
        bob.close()
