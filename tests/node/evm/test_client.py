"""The ledger port on a real contract: what each call does, refuses and repeats."""

import dataclasses
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from derelayl_node.devchain.server import ChainServer
from derelayl_node.evm import sending
from derelayl_node.evm.client import EvmLedger, open_ledger
from derelayl_node.evm.deploy import LIBRARIES, artifact, check_opcodes, deploy
from derelayl_node.evm.provider import CallReverted, Rpc, SendRefused
from derelayl_node.evm.sender import Sender
from derelayl_node.keys import NodeKey
from derelayl_node.ports import LedgerUnavailable
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.commands import (
    CreateModel,
    Deposit,
    Fund,
    OfferTip,
    PlaceBid,
    Release,
    Stake,
    Unstake,
    Withdraw,
)
from derelayl_protocol.ledger.events import BidPlaced, Deposited, ModelCreated, Staked, Unstaked
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.ledger.state import CheckpointRecord, TipEntry, Unbonding
from derelayl_protocol.types import NO_ROOT, Address, LedgerId, ModelId, Ppm, Root, Wei

from .world import ALICE, BOB, CAROL, COIN, RULES, Template, TickingClock, World, open_embedded, served_world

GENESIS = Root(b"\x07" * 32)
MODEL = model_id(ALICE.address, GENESIS, RULES)


async def ledger_of(world: World, key: NodeKey) -> EvmLedger:
    outbox = world.folder / f"{key.address}.outbox"
    return await open_ledger(world.url, key, world.addresses, outbox, clock=lambda: 0.0)


@pytest.fixture
async def alice(world: World) -> AsyncIterator[EvmLedger]:
    ledger = await ledger_of(world, ALICE)
    yield ledger
    ledger.close()


async def free(ledger: EvmLedger) -> int:
    return (await ledger.account_view(ledger.account)).free


@pytest.mark.parametrize(
    ("amount", "reason"),
    [(0, Reason.ZERO_AMOUNT), (2**96, Reason.AMOUNT_TOO_LARGE), (2**90, Reason.INSUFFICIENT_BALANCE)],
)
async def test_a_refused_deposit_names_the_rule_and_leaves_no_approval(
    alice: EvmLedger, world: World, amount: int, reason: Reason
) -> None:
    nonce = world.rpc.nonce(ALICE.address)
    with pytest.raises(RuleViolation) as refusal:
        await alice.send(Deposit(Wei(amount)))
    assert refusal.value.reason is reason
    assert world.rpc.nonce(ALICE.address) == nonce


async def test_a_deposit_approves_exactly_what_it_takes(alice: EvmLedger) -> None:
    assert await alice.send(Deposit(Wei(5))) == (Deposited(ALICE.address, Wei(5)),)
    assert await alice.send(Deposit(Wei(6))) == (Deposited(ALICE.address, Wei(6)),)
    view = await alice.account_view(ALICE.address)
    assert (view.wallet, view.free) == (1_000_000 * COIN - 11, 11)


def _go_back(file: Path, template: Template) -> None:
    """Let a chain's file be the template again."""
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()
    shutil.copy(template.file, file)


async def test_what_a_reorganisation_took_back_is_sent_again_once_the_log_shows_it(
    tmp_path: Path, template: Template
) -> None:
    """Nobody's pool has kept it, and no later command of the account comes along to fill the gap."""
    file = tmp_path / "chain.sqlite"
    shutil.copy(template.file, file)
    with ChainServer(open_embedded(file, TickingClock(template.now))) as server:
        port = int(server.url.rpartition(":")[2])
        ledger = await open_ledger(server.url, ALICE, template.addresses, tmp_path / "outbox", clock=lambda: 0.0)
        await ledger.send(Deposit(Wei(5)))
        known = (await ledger.logs(())).blocks
    _go_back(file, template)
    with ChainServer(open_embedded(file, TickingClock(template.now)), port=port) as server:
        bob = await open_ledger(server.url, BOB, template.addresses, tmp_path / "bobs", clock=lambda: 0.0)
        while (await bob.head()).number < known[-1].number:
            await bob.give(CAROL.address, Wei(0), 1)
        assert (await ledger.logs(known)).keep_through < known[-1].number
        with trio.fail_after(30):
            while await free(ledger) != 5:  # noqa: ASYNC110 - a chain has no events
                await trio.sleep(0.05)
        bob.close()
    ledger.close()


async def test_a_retry_with_the_same_key_deposits_once(alice: EvmLedger) -> None:
    first = await alice.send(Deposit(Wei(5)), key="only once")
    assert await alice.send(Deposit(Wei(5)), key="only once") == first
    assert await free(alice) == 5


async def test_a_repeated_command_with_a_content_key_is_executed_once_also_after_a_restart(
    alice: EvmLedger, world: World
) -> None:
    create = CreateModel(RULES, GENESIS, Wei(0))
    events = await alice.send(create)
    alice.close()
    again = await ledger_of(world, ALICE)
    assert await again.send(create) == events
    again.close()


async def test_commands_at_once_are_all_executed_once(alice: EvmLedger) -> None:
    async with trio.open_nursery() as nursery:
        for amount in range(1, 6):
            nursery.start_soon(alice.send, Deposit(Wei(amount)))
    assert await free(alice) == 15


async def test_two_accounts_at_once_do_not_disturb_each_other(alice: EvmLedger, world: World) -> None:
    bob = await ledger_of(world, BOB)
    await alice.give(BOB.address, Wei(100), 0)

    async def deposits(ledger: EvmLedger) -> None:
        for _ in range(3):
            await ledger.send(Deposit(Wei(7)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deposits, alice)
        nursery.start_soon(deposits, bob)
    assert (await free(alice), await free(bob)) == (21, 21)
    bob.close()


async def test_a_model_reads_back_as_it_was_created(alice: EvmLedger) -> None:
    await alice.send(Deposit(Wei(1_000)))
    events = await alice.send(CreateModel(RULES, GENESIS, Wei(600)))
    assert events[0] == ModelCreated(MODEL, ALICE.address, GENESIS, RULES)
    state = await alice.model(MODEL)
    genesis = CheckpointRecord(ALICE.address, NO_ROOT, Ppm(0), 0, Wei(0))
    assert (state.rules, state.creator, state.budget, state.next_seed) == (RULES, ALICE.address, 600, MODEL)
    assert state.checkpoints == {GENESIS: genesis}
    assert state.current == await alice.round(MODEL)
    assert state.current.tips == (TipEntry(GENESIS, ALICE.address, Ppm(0), offered=False),)
    assert await alice.models() == (MODEL,)
    assert await alice.checkpoint(MODEL, GENESIS) == genesis
    assert await alice.checkpoint(MODEL, Root(b"\x09" * 32)) is None


async def test_what_a_running_node_asks_needs_no_names_out_of_the_log(
    alice: EvmLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alice.send(Deposit(Wei(1_000)))
    await alice.send(CreateModel(RULES, GENESIS, Wei(600)))
    monkeypatch.setattr(Rpc, "logs", None)
    assert await alice.rules(MODEL) == RULES
    assert await alice.checkpoint(MODEL, GENESIS) is not None
    assert await alice.stake(MODEL, ALICE.address) is None
    assert (await alice.round(MODEL)).number == 1
    assert (await alice.free(ALICE.address), await alice.access(MODEL, GENESIS, ALICE.address)) == (400, True)


async def test_the_round_is_read_again_only_after_a_new_block(
    alice: EvmLedger, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await alice.send(Deposit(Wei(1_000)))
    await alice.send(CreateModel(RULES, GENESIS, Wei(600)))
    first = await alice.round(MODEL)
    asked: list[object] = []
    call = Rpc.call

    def noted(rpc: Rpc, *words: Any, **more: Any) -> bytes:
        asked.append(words)
        return call(rpc, *words, **more)

    monkeypatch.setattr(Rpc, "call", noted)
    assert await alice.round(MODEL) is first
    assert asked == []
    await alice.send(OfferTip(MODEL, 1, GENESIS))
    assert (await alice.round(MODEL)).tips[0].offered


async def test_an_unknown_model_is_a_rule_violation_everywhere(alice: EvmLedger) -> None:
    nowhere = ModelId(b"\x66" * 32)
    for call in (alice.round(nowhere), alice.model(nowhere), alice.send(Fund(nowhere, Wei(1)))):
        with pytest.raises(RuleViolation) as refusal:
            await call
        assert refusal.value.reason is Reason.UNKNOWN_MODEL


async def test_a_stake_shows_in_model_and_account_and_goes_back(alice: EvmLedger, world: World) -> None:
    await alice.send(Deposit(Wei(1_000)))
    await alice.send(CreateModel(RULES, GENESIS, Wei(0)))
    assert await alice.send(Stake(MODEL, Wei(40))) == (Staked(MODEL, ALICE.address, Wei(40)),)
    state = await alice.model(MODEL)
    assert (state.validators, dict(state.stakes)) == ((ALICE.address,), {ALICE.address: 40})
    assert dict((await alice.account_view(ALICE.address)).stakes) == {MODEL: 40}
    (left,) = await alice.send(Unstake(MODEL))
    assert isinstance(left, Unstaked)
    view = await alice.account_view(ALICE.address)
    assert (dict(view.stakes), dict(view.unbonding)) == ({}, {MODEL: Unbonding(Wei(40), left.release_time)})
    assert dict((await alice.model(MODEL)).unbonding) == {ALICE.address: Unbonding(Wei(40), left.release_time)}
    world.clock.now += RULES.unbonding_seconds
    await alice.send(Release(MODEL))
    assert dict((await alice.account_view(ALICE.address)).unbonding) == {}
    await alice.send(Withdraw(Wei(1_000)))
    assert await free(alice) == 0


async def test_the_log_gives_the_events_of_the_commands(alice: EvmLedger) -> None:
    expected = [
        *await alice.send(Deposit(Wei(1_000))),
        *await alice.send(CreateModel(RULES, GENESIS, Wei(1))),
        *await alice.send(PlaceBid(MODEL, 1, 255, Wei(10))),
    ]
    batch = await alice.logs(())
    assert [entry.event for entry in batch.entries] == expected
    assert isinstance(expected[-2], BidPlaced)
    assert (await alice.round(MODEL)).phase is Phase.BID
    following = await alice.logs(batch.blocks)
    assert following.keep_through == batch.blocks[-1].number
    assert following.blocks == ()


async def test_a_bid_on_the_wrong_round_is_refused_without_a_transaction(alice: EvmLedger, world: World) -> None:
    await alice.send(Deposit(Wei(1_000)))
    await alice.send(CreateModel(RULES, GENESIS, Wei(1)))
    nonce = world.rpc.nonce(ALICE.address)
    with pytest.raises(RuleViolation) as refusal:
        await alice.send(PlaceBid(MODEL, 2, 255, Wei(10)))
    assert refusal.value.reason is Reason.WRONG_ROUND
    assert world.rpc.nonce(ALICE.address) == nonce


async def test_giving_moves_tokens_and_coins_once(alice: EvmLedger) -> None:
    for _ in range(2):
        await alice.give(CAROL.address, Wei(5), 7, key="grant")
    assert (await alice.account_view(CAROL.address)).wallet == 5
    assert await alice.gas_balance(CAROL.address) == 7
    assert await alice.token_supply() == 1_000_000 * COIN
    with pytest.raises(RuleViolation) as refusal:
        await alice.give(CAROL.address, Wei(2**90), 0)
    assert refusal.value.reason is Reason.INSUFFICIENT_BALANCE


async def test_a_contract_that_is_not_there_is_named(world: World) -> None:
    wrong = dataclasses.replace(world.addresses, ledger=LedgerId(world.addresses.ledger.chain_id, CAROL.address))
    with pytest.raises(LedgerUnavailable, match="no contract at"):
        await open_ledger(world.url, ALICE, wrong, world.folder / "outbox")


async def test_a_chain_that_goes_away_is_unavailable_and_comes_back(tmp_path: Path, template: Template) -> None:
    with served_world(tmp_path, template) as world:
        ledger = await ledger_of(world, ALICE)
        await ledger.send(Deposit(Wei(5)))
        port = int(world.url.rsplit(":", 1)[1])
    with pytest.raises(LedgerUnavailable, match="does not answer"):
        await ledger.send(Deposit(Wei(6)), key="six")
    with ChainServer(open_embedded(tmp_path / "chain.sqlite", TickingClock(world.clock.now)), port):
        await ledger.send(Deposit(Wei(6)), key="six")
        assert await free(ledger) == 11
    ledger.close()


async def test_cancelling_a_command_ends_at_once_and_a_retry_finishes_it(
    alice: EvmLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen = monkeypatch.context()
    with unseen as patch:
        patch.setattr(Rpc, "receipt", lambda *_: None)
        with trio.move_on_after(1) as scope:
            await alice.send(CreateModel(RULES, GENESIS, Wei(0)))
        assert scope.cancelled_caught
    events = await alice.send(CreateModel(RULES, GENESIS, Wei(0)))
    assert isinstance(events[0], ModelCreated)


async def test_a_chain_that_is_silent_for_a_moment_fails_no_command_that_is_stored(
    alice: EvmLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, silent = Sender.outcome, iter(range(3))

    def sometimes(sender: Sender, id_: int) -> Any:
        if next(silent, None) is not None:
            raise LedgerUnavailable("asked too often")
        return outcome(sender, id_)

    monkeypatch.setattr(Sender, "outcome", sometimes)
    assert await alice.send(Deposit(Wei(5))) == (Deposited(ALICE.address, Wei(5)),)
    assert await free(alice) == 5


async def test_a_command_that_is_not_mined_says_why(alice: EvmLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise SendRefused("exceeds block gas limit")

    monkeypatch.setattr(Rpc, "send_raw", refuse)
    monkeypatch.setattr(sending, "SEND_DEADLINE_S", 1)
    with pytest.raises(LedgerUnavailable, match=r"within 1 s \(the node said: exceeds block gas limit\): it stays in"):
        await alice.send(CreateModel(RULES, GENESIS, Wei(0)))


async def test_the_cap_of_the_price_holds_for_commands(world: World) -> None:
    outbox = world.folder / "capped"
    ledger = await open_ledger([world.url], ALICE, world.addresses, outbox, max_fee_gwei=0.001)
    with pytest.raises(LedgerUnavailable, match=r"max_fee_gwei allows 0\.001"):
        await ledger.send(CreateModel(RULES, GENESIS, Wei(0)))
    ledger.close()


# --- deployment ---


def test_a_chain_older_than_cancun_is_refused() -> None:
    class Old(Rpc):
        def __init__(self) -> None:
            """No connection."""

        def call(self, *_: Any, **__: Any) -> bytes:
            raise CallReverted(b"", "invalid opcode: TSTORE")

    with pytest.raises(LedgerUnavailable, match="Cancun"):
        check_opcodes(Old())


def test_a_silent_chain_is_not_taken_for_an_old_one() -> None:
    class Silent(Rpc):
        def __init__(self) -> None:
            """No connection."""

        def call(self, *_: Any, **__: Any) -> bytes:
            raise LedgerUnavailable("asked too often")

    with pytest.raises(LedgerUnavailable, match="asked too often"):
        check_opcodes(Silent())


def test_a_deployment_that_was_cut_off_goes_on_where_it_stopped(world: World, tmp_path: Path) -> None:
    outbox = tmp_path / "deployment"
    before = world.rpc.nonce(BOB.address)
    first = deploy(world.rpc, BOB, supply=Wei(5), outbox=outbox)
    assert deploy(world.rpc, BOB, supply=Wei(5), outbox=outbox).ledger == first.ledger
    assert world.rpc.nonce(BOB.address) == before + 2 + len(LIBRARIES)


def test_the_ledger_knows_its_token(world: World) -> None:
    token = world.rpc.call(world.addresses.ledger.address, bytes.fromhex("fc0c546a"))
    assert Address("0x" + token[-20:].hex()) == world.addresses.token


def test_a_missing_artifact_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"Nothing\.json"):
        artifact("Nothing")
