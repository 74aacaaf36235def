"""What every `Ledger` does, whether in memory or on an EVM chain: the same as the reference, told the same way.

`check_ledger(make)` plays one history through the port and through `derelayl_protocol.ledger.apply`, at the times of
the blocks that the port reports, and compares events, refusals, rounds and models on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import pytest

from derelayl_node.evm.typed_data import recoverer, sign_message
from derelayl_node.keys import NodeKey
from derelayl_node.ports import AnotherChain, BlockRef, Ledger, LogBatch, LogEntry, Registry
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.access import has_access
from derelayl_protocol.ledger.apply import apply
from derelayl_protocol.ledger.commands import (
    Advance,
    BidBySig,
    BuyAccess,
    CollectRoyalty,
    Command,
    CommitBySig,
    CommitScores,
    CreateModel,
    Deposit,
    Fund,
    MatchRound,
    OfferTip,
    PlaceBid,
    Release,
    ReportManifests,
    ReportReveals,
    RevealBySig,
    RevealScores,
    SettleRound,
    SignedBid,
    SignedChild,
    SignedCommit,
    SignedReveal,
    Stake,
    SubmitBySig,
    SubmitLeg,
    Unstake,
    Withdraw,
)
from derelayl_protocol.ledger.events import BidPlaced, Event, PhaseChanged
from derelayl_protocol.ledger.matching import bid_order, tip_order
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.presets import MINIMAL
from derelayl_protocol.ledger.rules import model_id
from derelayl_protocol.ledger.scoring import commitment
from derelayl_protocol.ledger.settlement import leg_order, seat_order
from derelayl_protocol.ledger.signed import BidMessage, CommitMessage, HandOverMessage, RevealMessage, SignedMessage
from derelayl_protocol.ledger.state import LedgerState, ModelState, RoundView
from derelayl_protocol.types import WHOLE_MODEL, LedgerId, ModelId, Ppm, Root, Timestamp, Wei

FUNDS = Wei(10**6)
"""Wei in each account's wallet at the beginning."""

PHASE_SECONDS = 1_000
"""Every phase is this long: far longer than a chain needs for the few blocks of a check, whatever its clock does."""

RULES = replace(
    MINIMAL,
    legs_per_tip=1,
    selection_bps=10_000,
    bid_seconds=PHASE_SECONDS,
    train_seconds=PHASE_SECONDS,
    commit_seconds=PHASE_SECONDS,
    reveal_seconds=PHASE_SECONDS,
    committee_size=1,
    quorum=1,
    margin_ppm=Ppm(1),
    validator_stake=Wei(100),
    unbonding_seconds=PHASE_SECONDS,
    access_fee=Wei(40),
)

GENESIS, CHILD, OTHER, SALT = (hashlib.sha256(name).digest() for name in (b"genesis", b"child", b"other", b"salt"))
MAX_BATCHES = 100
"""Answers of `logs` in a row that may say `more`."""


class FullLedger(Ledger, Registry, Protocol):
    """Both ports of the ledger, as its adapters have them, and all of a model at once, as commands want it."""

    async def model(self, model: ModelId) -> ModelState: ...


@dataclass(frozen=True)
class LedgerWorld:
    """A fresh ledger: three accounts or more, each with exactly FUNDS wei in its wallet, nothing deposited.

    `keys` are those of the accounts; `identity` is the ledger that signatures are for.

    `advance` makes the next block at least so many seconds later. `reorg` drops as many of the newest blocks as it is
    told, and what was in them is not mined again by itself; None where the chain cannot.
    """

    ledgers: Sequence[FullLedger]
    keys: Sequence[NodeKey]
    identity: LedgerId
    advance: Callable[[float], Awaitable[None]]
    reorg: Callable[[int], Awaitable[None]] | None = None

    def sign(self, number: int, message: SignedMessage) -> bytes:
        """Sign as one of the accounts."""
        return sign_message(self.keys[number], message, self.identity)


@dataclass
class History:
    """What the ledger was asked and told, with the reference beside it."""

    world: LedgerWorld
    state: LedgerState
    blocks: list[BlockRef] = field(default_factory=list)
    entries: list[LogEntry] = field(default_factory=list)

    async def follow(self) -> list[LogEntry]:
        """Read the log to its end; returns what is new."""
        new: list[LogEntry] = []
        for _ in range(MAX_BATCHES):
            batch = await self.world.ledgers[0].logs(self.blocks)
            self._check_batch(batch)
            self.blocks += batch.blocks
            new += batch.entries
            if not batch.more:
                break
        else:
            raise AssertionError("the log has no end")
        self.entries += new
        return new

    def _check_batch(self, batch: LogBatch) -> None:
        if self.blocks:
            assert batch.keep_through == self.blocks[-1].number, "nothing known is dropped without a reorganisation"
        numbers = [batch.keep_through, *(block.number for block in batch.blocks)]
        assert numbers == sorted(set(numbers))
        assert all(entry.block in batch.blocks for entry in batch.entries)
        assert [entry.block.number for entry in batch.entries] == sorted(e.block.number for e in batch.entries)

    async def do(self, ledger: Ledger, command: Command) -> tuple[Event, ...]:
        """Send a command; events and log must be the reference's, at the block's time."""
        events = await ledger.send(command)
        new = await self.follow()
        assert tuple(entry.event for entry in new) == events, f"{command} returned what the log does not show"
        assert len({(entry.block, entry.transaction) for entry in new}) == 1
        recover = recoverer(self.world.identity)
        self.state, expected = apply(self.state, command, ledger.account, new[0].block.time, recover)
        assert events == expected
        return events

    async def refuse(self, reason: Reason, ledger: Ledger, command: Command) -> None:
        """Send a command that breaks a rule; it leaves no trace."""
        with pytest.raises(RuleViolation) as refusal:
            await ledger.send(command)
        assert refusal.value.reason == reason
        assert await self.follow() == []

    async def compare(self, model: ModelId) -> RoundView:
        """Check that every account sees the model as the reference has it."""
        for ledger in self.world.ledgers:
            expected = self.state.models[model]
            own = {account: entry for account, entry in expected.unbonding.items() if account == ledger.account}
            assert await ledger.model(model) == replace(expected, unbonding=own, buyers={})
            assert await ledger.round(model) == expected.current
            await self._compare_facts(model)
        return self.state.models[model].current

    async def _compare_facts(self, model: ModelId) -> None:
        """Check the single facts that an account sees against the reference."""
        asked, state = self.world.ledgers[0], self.state.models[model]
        assert await asked.rules(model) == state.rules
        for root in (*state.checkpoints, Root(b"\xee" * 32)):
            assert await asked.checkpoint(model, root) == state.checkpoints.get(root)
        for ledger in self.world.ledgers:
            assert await asked.free(ledger.account) == self.state.free.get(ledger.account, 0)
            gone = Wei(0) if ledger.account in state.unbonding else None
            assert await asked.stake(model, ledger.account) == state.stakes.get(ledger.account, gone)
            for root in state.checkpoints:
                assert await asked.access(model, root, ledger.account) == has_access(state, root, ledger.account)


Make = Callable[[], AbstractAsyncContextManager[LedgerWorld]]


async def check_ledger(make: Make) -> None:
    """Play the history: the beginnings, a settled round, a voided one, the log, and a reorganisation where possible."""
    async with make() as world:
        accounts = [ledger.account for ledger in world.ledgers]
        assert len(set(accounts)) == len(accounts) >= 3
        assert all(account == account.lower() for account in accounts)
        history = History(world, LedgerState(wallets=dict.fromkeys(accounts, FUNDS)))
        await history.follow()
        model = await _check_beginnings(history)
        await _check_a_settled_round(history, model)
        await _check_a_voided_round(history, model)
        await _check_a_round_by_signature(history, model)
        await _check_who_leaves(history, model)
        await _check_the_log(history)
        if world.reorg is not None:
            await _check_a_reorganisation(history, world.reorg, model)


async def _check_beginnings(history: History) -> ModelId:
    owner, trainer, judge = history.world.ledgers[:3]
    model = model_id(owner.account, Root(GENESIS), RULES)
    for ask in (
        partial(owner.round, model),
        partial(owner.model, model),
        partial(owner.rules, model),
        partial(owner.checkpoint, model, Root(GENESIS)),
        partial(owner.stake, model, judge.account),
    ):
        with pytest.raises(RuleViolation) as refusal:
            await ask()
        assert refusal.value.reason == Reason.UNKNOWN_MODEL
    await history.refuse(Reason.UNKNOWN_MODEL, owner, Fund(model, Wei(1)))
    await history.refuse(Reason.ZERO_AMOUNT, owner, Deposit(Wei(0)))
    await history.refuse(Reason.INSUFFICIENT_BALANCE, owner, Deposit(Wei(FUNDS + 1)))
    for ledger in (owner, trainer, judge):
        await history.do(ledger, Deposit(Wei(FUNDS // 4)))
        # The same content, but meant twice: a deposit is no retry of another.
        await history.do(ledger, Deposit(Wei(FUNDS // 4)))
    await history.refuse(Reason.INSUFFICIENT_BALANCE, owner, Withdraw(Wei(FUNDS)))
    await history.do(owner, Withdraw(Wei(7)))
    await history.do(owner, CreateModel(RULES, Root(GENESIS), Wei(1_500)))
    await history.do(trainer, Fund(model, Wei(11)))
    await history.refuse(Reason.STAKE_TOO_SMALL, judge, Stake(model, Wei(99)))
    await history.do(judge, Stake(model, Wei(100)))
    await history.do(judge, Stake(model, Wei(1)))
    await history.compare(model)
    return model


async def _check_a_settled_round(history: History, model: ModelId) -> None:
    owner, trainer, judge = history.world.ledgers[:3]
    bid = PlaceBid(model, 1, WHOLE_MODEL, Wei(50))
    await history.refuse(Reason.WRONG_ROUND, trainer, PlaceBid(model, 2, WHOLE_MODEL, Wei(50)))
    await history.refuse(Reason.NOTHING_TO_ADVANCE, owner, Advance(model, 1))
    await history.do(owner, OfferTip(model, 1, Root(GENESIS)))
    placed = await history.do(trainer, bid)
    assert await trainer.send(bid) == placed, "a bid sent again is the same bid"
    assert await history.follow() == []
    await history.refuse(Reason.ALREADY_BID, trainer, PlaceBid(model, 1, 0, Wei(60)))
    round = await history.compare(model)
    matching = MatchRound(model, 1, bid_order(round.seed, round.bids), tip_order(round.seed, round.tips))
    await history.refuse(Reason.TOO_EARLY, owner, matching)
    await history.world.advance(PHASE_SECONDS)
    await history.refuse(Reason.TOO_LATE, owner, PlaceBid(model, 1, 0, Wei(60)))
    await history.do(owner, matching)
    await history.refuse(Reason.STAKE_IN_USE, judge, Unstake(model))
    await history.refuse(Reason.NOT_YOUR_LEASE, owner, SubmitLeg(model, 1, 0, Root(CHILD)))
    await history.do(trainer, SubmitLeg(model, 1, 0, Root(CHILD)))
    await history.compare(model)
    scores = (Ppm(1_234),)
    seal = commitment(model, 1, judge.account, SALT, scores, (0,))
    await history.refuse(Reason.NOT_SEATED, owner, CommitScores(model, 1, seal))
    await history.do(judge, CommitScores(model, 1, seal))
    await history.compare(model)
    await history.refuse(Reason.COMMIT_MISMATCH, judge, RevealScores(model, 1, (Ppm(1_235),), (0,), SALT))
    await history.do(judge, RevealScores(model, 1, scores, (0,), SALT))
    round = await history.compare(model)
    order = leg_order(round.legs, round.seats)
    await history.refuse(Reason.WRONG_ORDER, owner, SettleRound(model, 1, (), ()))
    await history.refuse(Reason.WRONG_SEAT_ORDER, owner, SettleRound(model, 1, order, ()))
    await history.do(owner, SettleRound(model, 1, order, seat_order(order, round.seats)))
    round = await history.compare(model)
    assert (round.number, [tip.root for tip in round.tips]) == (2, [CHILD])
    assert await history.do(owner, CollectRoyalty(model, Root(CHILD), 2))
    await history.compare(model)


async def _check_a_voided_round(history: History, model: ModelId) -> None:
    owner, _, judge = history.world.ledgers[:3]
    await history.do(owner, PlaceBid(model, 2, 1, Wei(70)))
    round = await history.compare(model)
    await history.world.advance(PHASE_SECONDS)
    await history.do(judge, MatchRound(model, 2, bid_order(round.seed, round.bids), tip_order(round.seed, round.tips)))
    await history.refuse(Reason.TOO_EARLY, judge, Advance(model, 2))
    await history.world.advance(PHASE_SECONDS)
    await history.refuse(Reason.TOO_LATE, owner, SubmitLeg(model, 2, 0, Root(SALT)))
    events = await history.do(judge, Advance(model, 2))
    assert events[-1] == PhaseChanged(model, 3, Phase.BID, Timestamp(0))
    await history.compare(model)


async def _check_a_round_by_signature(history: History, model: ModelId) -> None:
    """One relayer sends what others have signed; who signs two things where one was due is reported."""
    world, (owner, trainer, judge) = history.world, history.world.ledgers[:3]
    expiry = Timestamp(history.blocks[-1].time + 10 * PHASE_SECONDS)
    signature = world.sign(1, BidMessage(model, 3, WHOLE_MODEL, Wei(60), expiry))
    bid = SignedBid(trainer.account, WHOLE_MODEL, Wei(60), expiry, signature)
    await history.refuse(Reason.BAD_SIGNATURE, owner, BidBySig(model, 3, (replace(bid, amount=Wei(61)),)))
    await history.do(owner, BidBySig(model, 3, (bid,)))
    round = await history.compare(model)
    await world.advance(PHASE_SECONDS)
    await history.do(owner, MatchRound(model, 3, bid_order(round.seed, round.bids), tip_order(round.seed, round.tips)))
    await _check_two_children(history, model)
    parent = history.state.models[model].current.legs[0].parent
    child = SignedChild(0, Root(OTHER), world.sign(1, HandOverMessage(model, 3, parent, Root(OTHER))))
    await history.refuse(Reason.BAD_SIGNATURE, owner, SubmitBySig(model, 3, (replace(child, child=Root(SALT)),)))
    await history.do(owner, SubmitBySig(model, 3, (child,)))
    scores = (Ppm(77),)
    seal = commitment(model, 3, judge.account, SALT, scores, (0,))
    commit = SignedCommit(judge.account, seal, world.sign(2, CommitMessage(model, 3, seal)))
    await history.refuse(Reason.BAD_SIGNATURE, owner, CommitBySig(model, 3, (replace(commit, commitment=SALT),)))
    await history.do(owner, CommitBySig(model, 3, (commit,)))
    signature = world.sign(2, RevealMessage(model, 3, scores, (0,), SALT))
    reveal = SignedReveal(judge.account, scores, (0,), SALT, signature)
    await history.refuse(Reason.BAD_SIGNATURE, owner, RevealBySig(model, 3, (replace(reveal, salt=CHILD),)))
    await history.do(owner, RevealBySig(model, 3, (reveal,)))
    await _check_two_reveals(history, model, reveal)
    round = await history.compare(model)
    order = leg_order(round.legs, round.seats)
    await history.do(owner, SettleRound(model, 3, order, seat_order(order, round.seats)))
    await history.compare(model)


async def _check_two_children(history: History, model: ModelId) -> None:
    world, owner = history.world, history.world.ledgers[0]
    parent = history.state.models[model].current.legs[0].parent
    children = (Root(OTHER), Root(SALT))
    one, other = (world.sign(1, HandOverMessage(model, 3, parent, child)) for child in children)
    await history.refuse(Reason.BAD_SIGNATURE, owner, ReportManifests(model, 3, 0, children, (other, one)))
    await history.refuse(Reason.SAME_MESSAGE, owner, ReportManifests(model, 3, 0, (children[0],) * 2, (one, one)))
    await history.do(owner, ReportManifests(model, 3, 0, children, (one, other)))
    await history.refuse(Reason.NOTHING_TO_SLASH, owner, ReportManifests(model, 3, 0, children[::-1], (other, one)))
    await history.compare(model)


async def _check_two_reveals(history: History, model: ModelId, reveal: SignedReveal) -> None:
    world, owner, account = history.world, history.world.ledgers[0], reveal.validator
    signatures = (reveal.signature, world.sign(2, RevealMessage(model, 3, reveal.scores, (1,), SALT)))
    scores, originals = (reveal.scores, reveal.scores), (reveal.originals, (1,))
    report = ReportReveals(model, 3, account, scores, originals, (SALT, SALT), signatures)
    await history.refuse(Reason.BAD_SIGNATURE, owner, replace(report, signatures=signatures[::-1]))
    await history.do(owner, report)
    await history.compare(model)


async def _check_who_leaves(history: History, model: ModelId) -> None:
    """Access for a fee; a stake that unbonds."""
    owner, trainer, judge = history.world.ledgers[:3]
    await history.refuse(Reason.UNKNOWN_CHECKPOINT, judge, BuyAccess(model, Root(SALT)))
    await history.do(judge, BuyAccess(model, Root(GENESIS)))
    await history.do(judge, Unstake(model))
    await history.refuse(Reason.NO_STAKE, trainer, Unstake(model))
    await history.do(trainer, Stake(model, Wei(150)))
    await history.do(trainer, Unstake(model))
    await history.refuse(Reason.TOO_EARLY, trainer, Release(model))
    await history.refuse(Reason.NOTHING_UNBONDING, owner, Release(model))
    await history.compare(model)
    await history.world.advance(PHASE_SECONDS)
    await history.do(trainer, Release(model))
    await history.compare(model)


async def _check_the_log(history: History) -> None:
    again = History(history.world, history.state)
    await again.follow()
    assert again.entries == history.entries
    assert (again.blocks[0], again.blocks[-1]) == (history.blocks[0], history.blocks[-1])
    places = [(entry.block.hash, entry.transaction, entry.index) for entry in again.entries]
    assert len(set(places)) == len(places)
    known = again.blocks[: len(again.blocks) // 2]
    rest = await History(history.world, history.state, blocks=list(known)).follow()
    assert rest == [entry for entry in again.entries if entry.block not in known]
    # A caller that stood on another fork keeps what both have in common.
    common, stray = again.blocks[-2], again.blocks[-1]
    fork = BlockRef(stray.number, hashlib.sha256(stray.hash).digest(), stray.time)
    batch = await history.world.ledgers[1].logs([*again.blocks[:-1], fork])
    assert (batch.keep_through, batch.blocks) == (common.number, (stray,))
    with pytest.raises(AnotherChain):
        await history.world.ledgers[1].logs([fork])


async def _check_a_reorganisation(history: History, reorg: Callable[[int], Awaitable[None]], model: ModelId) -> None:
    trainer = history.world.ledgers[1]
    bid = PlaceBid(model, 4, 0, Wei(40))
    before, state = list(history.blocks), history.state
    await history.do(trainer, bid)
    await reorg(len(history.blocks) - len(before))
    batch = await trainer.logs(history.blocks)
    assert batch.lagging, "a shorter chain may be one that has not seen the rest yet"
    assert (batch.keep_through, batch.entries) == (history.blocks[-1].number, ())
    history.blocks, history.state = before, state
    await history.compare(model)
    # What a reorganisation undid is done again when it is sent again, in a block of another hash.
    placed = await history.do(trainer, bid)
    assert isinstance(placed[0], BidPlaced)
    await history.compare(model)
