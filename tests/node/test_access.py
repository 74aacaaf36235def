"""Chunks of a paid model: for buyers, owners and who works on the round; for nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derelayl_node.access import REFUSED_SECONDS, Doorkeeper, participants, works_on
from derelayl_node.ports import LedgerUnavailable
from derelayl_node.testing.clock import FakeClock
from derelayl_node.testing.ledger import FakeChain
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.chunk import HashedChunk
from derelayl_protocol.checkpoint.manifest import Manifest
from derelayl_protocol.ledger.commands import BuyAccess, CreateModel, Deposit, MatchRound, PlaceBid, Stake
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.ledger.state import RoundView
from derelayl_protocol.types import WHOLE_MODEL, Address, Digest, Root, Wei

from .conformance.ledger import PHASE_SECONDS, RULES
from .conformance.network import checkpoint

OWNER, TRAINER, JUDGE, BUYER, STRANGER = (Address(f"0x{number:040x}") for number in (1, 2, 3, 4, 5))
HOST = Address("0x" + "11" * 20)


class World:
    """A paid model, and a node of HOST whose store has its genesis."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.chain = FakeChain(dict.fromkeys((OWNER, TRAINER, JUDGE, BUYER), Wei(100_000)), self.clock)
        self.store = MemoryStore()
        self.genesis, self.manifest = checkpoint(self.store, chunks=3)
        self.model = model_id(OWNER, self.genesis, RULES)
        for account in (OWNER, TRAINER, JUDGE, BUYER):
            self.chain.execute(account, Deposit(Wei(10_000)))
        self.chain.execute(OWNER, CreateModel(RULES, self.genesis, Wei(0)))
        self.seen: RoundView | None = None
        ledger = self.chain.account(HOST)
        self.door = Doorkeeper(self.model, ledger, ledger, lambda: self.seen, self.store, self.clock)

    @property
    def view(self) -> RoundView:
        return self.chain.state.models[self.model].current

    async def seat_the_judge(self) -> None:
        """A round with one leg and one seat."""
        self.chain.execute(JUDGE, Stake(self.model, Wei(100)))
        self.chain.execute(TRAINER, PlaceBid(self.model, 1, WHOLE_MODEL, Wei(50)))
        await self.clock.advance(PHASE_SECONDS)
        self.chain.execute(OWNER, MatchRound(self.model, 1, (0,), (0,)))

    async def admits(self, account: Address, digest: Digest | None = None) -> bool:
        return await self.door.admits(account, digest or chunk(self.manifest))


def chunk(manifest: Manifest, number: int = 0) -> Digest:
    return manifest.chunks[number].digest


@pytest.fixture
def world() -> World:
    return World()


async def test_bidders_trainers_and_seats_take_part_in_a_round(world: World) -> None:
    assert participants(world.view) == frozenset()
    world.chain.execute(BUYER, PlaceBid(world.model, 1, WHOLE_MODEL, Wei(40)))
    assert participants(world.view) == {BUYER}
    seated = World()
    await seated.seat_the_judge()
    assert participants(seated.view) == {TRAINER, JUDGE}


async def test_a_stranger_gets_no_chunk_of_a_paid_model(world: World) -> None:
    assert not await world.admits(STRANGER)


async def test_a_chunk_of_no_complete_checkpoint_is_for_nobody_else(world: World) -> None:
    loose = world.store.put_chunk(HashedChunk(b"half a fetch"))
    assert not await world.admits(OWNER, loose)
    assert await world.admits(HOST, loose)


async def test_a_silent_chain_decides_nothing(world: World) -> None:
    world.chain.silent = True
    with pytest.raises(LedgerUnavailable):
        await world.admits(STRANGER)
    world.chain.silent = False
    assert await world.admits(OWNER)


async def test_owner_and_buyer_are_served_and_the_buyer_from_the_purchase_on(world: World) -> None:
    assert await world.admits(OWNER)
    assert not await world.admits(BUYER)
    world.chain.execute(BUYER, BuyAccess(world.model, world.genesis))
    await world.clock.advance(REFUSED_SECONDS)
    assert await world.admits(BUYER)


async def test_who_trains_or_judges_the_running_round_is_served_also_before_this_node_has_looked(world: World) -> None:
    await world.seat_the_judge()
    assert await world.admits(TRAINER)
    world.seen = world.view
    world.chain.silent = True  # a look that is there costs no question
    assert await world.admits(JUDGE)
    with pytest.raises(LedgerUnavailable):
        await world.admits(STRANGER)


async def test_who_bids_only_is_not_served(world: World) -> None:
    world.chain.execute(TRAINER, PlaceBid(world.model, 1, WHOLE_MODEL, Wei(50)))
    assert not await world.admits(TRAINER)
    assert not works_on(replace(world.view, legs=(), seats=()), TRAINER)


async def test_a_chunk_of_several_checkpoints_is_served_with_access_to_any_of_them(world: World) -> None:
    world.chain.execute(BUYER, BuyAccess(world.model, world.genesis))
    other, manifest = checkpoint(world.store, chunks=5)  # its first three chunks are those of the genesis
    assert other != world.genesis
    assert chunk(manifest) == chunk(world.manifest)
    assert await world.admits(BUYER, chunk(manifest))
    assert not await world.admits(BUYER, chunk(manifest, 4))


async def test_a_checkpoint_that_came_later_is_known(world: World) -> None:
    assert await world.admits(OWNER)
    root, manifest = checkpoint(world.store, chunks=2, seed=9)
    assert root != Root(world.genesis)
    assert not await world.admits(BUYER, chunk(manifest))


async def test_a_refused_account_asks_the_ledger_once_in_a_while(world: World) -> None:
    assert not await world.admits(STRANGER)
    world.chain.silent = True
    assert not await world.admits(STRANGER)
    await world.clock.advance(REFUSED_SECONDS)
    with pytest.raises(LedgerUnavailable):
        await world.admits(STRANGER)


async def test_access_that_was_seen_is_not_asked_for_again(world: World) -> None:
    assert await world.admits(OWNER)
    world.chain.silent = True
    assert await world.admits(OWNER)
