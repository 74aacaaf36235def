"""A chain that keeps only its newest state refuses a reading that a block overtakes; it is done again, not for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from derelayl_node.evm.client import EvmLedger
from derelayl_node.evm.one_block import FRESH_HEADS
from derelayl_node.evm.outbox import Outbox
from derelayl_node.evm.provider import Rpc, StateGone
from derelayl_protocol.ledger.commands import CreateModel, Deposit, Stake
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.types import Root, Wei

from .world import ALICE, BOB, RULES, World, transfer

GENESIS = Root(b"\x07" * 32)
MODEL = model_id(ALICE.address, GENESIS, RULES)


class Forgetful:
    """The world's chain as a node serves it that keeps the newest state only; `overtaken` readings meet a new block."""

    def __init__(self, world: World) -> None:
        self.provider, self._world, self._inner = self, world, world.rpc._w3.provider
        self.overtaken = 0
        self.refused = 0

    def make_request(self, method: Any, params: Any) -> Any:
        if method == "eth_call" and params[1] != "latest":
            if self.overtaken:
                self.overtaken -= 1
                self._world.rpc.send_raw(transfer(BOB, self._world.rpc.nonce(BOB.address)))
            if int(params[1], 16) != self._world.rpc.head().ref.number:
                self.refused += 1
                return {"error": {"code": -32000, "message": "missing trie node"}}
        return self._inner.make_request(method, params)


@pytest.fixture
def chain(world: World) -> Forgetful:
    return Forgetful(world)


@pytest.fixture
async def alice(world: World, chain: Forgetful) -> AsyncIterator[EvmLedger]:
    rpc = Rpc(chain, world.url)  # type: ignore[arg-type]
    ledger = EvmLedger(rpc, ALICE, world.addresses, Outbox(world.folder / "outbox", "test"), clock=lambda: 0.0)
    await ledger.send(Deposit(Wei(1_000)))
    await ledger.send(CreateModel(RULES, GENESIS, Wei(600)))
    await ledger.send(Stake(MODEL, Wei(40)))
    yield ledger
    ledger.close()


async def test_a_state_that_is_gone_each_time_ends_in_a_sentence_with_the_nodes_reason_and_a_remedy(
    alice: EvmLedger, chain: Forgetful
) -> None:
    chain.overtaken = 1_000
    with pytest.raises(StateGone, match=r"refused eth_call at block \d+ \(missing trie node\).*use a node that keeps"):
        await alice.model(MODEL)
    assert chain.refused == FRESH_HEADS


async def test_a_block_of_the_callers_choice_is_asked_for_once(alice: EvmLedger, chain: Forgetful) -> None:
    block = (await alice.head()).number
    with pytest.raises(StateGone):
        await alice.view_at(block - 1, "freeOf", ALICE.address)
    assert chain.refused == 1


async def test_a_model_that_a_block_overtakes_is_read_again_at_a_fresh_head(alice: EvmLedger, chain: Forgetful) -> None:
    chain.overtaken = FRESH_HEADS - 1
    state = await alice.model(MODEL)
    assert (state.budget, dict(state.stakes), chain.refused) == (600, {ALICE.address: 40}, FRESH_HEADS - 1)


async def test_an_account_that_a_block_overtakes_is_read_again_at_a_fresh_head(
    alice: EvmLedger, chain: Forgetful
) -> None:
    chain.overtaken = FRESH_HEADS - 1
    view = await alice.account_view(ALICE.address)
    assert (view.free, dict(view.stakes), chain.refused) == (360, {MODEL: 40}, FRESH_HEADS - 1)
