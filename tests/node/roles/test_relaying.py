"""Signed entries: what is refused, what one batch holds, and that a relayer who drops them costs time only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from derelayl_node.evm.typed_data import signer
from derelayl_node.ports import LedgerUnavailable
from derelayl_node.roles.admission import check_entry, may_be_posted
from derelayl_node.roles.relayer import RelayerRole
from derelayl_node.roles.submission import FALLBACK_SHARE, RELAY_SHARE
from derelayl_protocol.errors import Ignored, PeerFault
from derelayl_protocol.ledger.commands import (
    BidBySig,
    Command,
    CommitBySig,
    CommitScores,
    Deposit,
    PlaceBid,
    RevealBySig,
    RevealScores,
    SignedBid,
    SignedCommit,
    SignedReveal,
    SubmitBySig,
    SubmitLeg,
)
from derelayl_protocol.ledger.entries import SignedEntry
from derelayl_protocol.ledger.events import Event, ScoresCommitted, ValidatorSlashed
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.signed import BidMessage, CommitMessage, RevealMessage
from derelayl_protocol.ledger.totals import conserved
from derelayl_protocol.limits import MAX_BIDS
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Address, Ppm, Timestamp, Wei

from .relay import BID, LEDGER, RULES, SUPPLY, Relay

NEVER = Timestamp(2**40)
SALT = b"\x0a" * 32


@pytest.fixture
async def relay(tmp_path: Path) -> Relay:
    """A relay in which everybody signs, and the founder relays."""
    world = Relay(tmp_path, relayed=True)
    await world.begin()
    return world


async def bid_and_match(relay: Relay) -> None:
    """Bids through the relayer, then the matching."""
    for player in relay.trainers:
        await player.trainer_role.step(relay.view)
    relay.deliver("founder")
    await relay.clock.advance(RULES.bid_seconds * RELAY_SHARE)
    await relay.post()
    await relay.clock.advance(RULES.bid_seconds)
    await relay.keep()


async def validate(relay: Relay, *names: str) -> None:
    for name in names or ("vera", "vito", "vlad"):
        await relay.players[name].validator.step(relay.view)


def bid_entry(
    relay: Relay,
    name: str = "ann",
    *,
    amount: int = BID,
    segment: int = WHOLE_MODEL,
    expiry: int = NEVER,
    signed: int | None = None,
) -> SignedEntry:
    """The bid of a player, who signs `signed` if that is not the amount."""
    key = relay.keys[name]
    message = BidMessage(
        relay.model, relay.view.number, segment, Wei(amount if signed is None else signed), Timestamp(expiry)
    )
    signature = signer(key, LEDGER)(message)
    bid = SignedBid(key.address, segment, Wei(amount), Timestamp(expiry), signature)
    return SignedEntry(relay.model, relay.view.number, bid)


def commit_entry(relay: Relay, name: str, commitment: bytes = b"\x0c" * 32) -> SignedEntry:
    key = relay.keys[name]
    signature = signer(key, LEDGER)(CommitMessage(relay.model, relay.view.number, commitment))
    return SignedEntry(relay.model, relay.view.number, SignedCommit(key.address, commitment, signature))


def reveal_entry(relay: Relay, name: str, scores: tuple[int, ...], salt: bytes = SALT) -> SignedEntry:
    key, opened = relay.keys[name], tuple(Ppm(score) for score in scores)
    own = tuple(range(len(scores)))
    message = RevealMessage(relay.model, relay.view.number, opened, own, salt)
    signature = signer(key, LEDGER)(message)
    return SignedEntry(relay.model, relay.view.number, SignedReveal(key.address, opened, own, salt, signature))


def check(relay: Relay, entry: SignedEntry) -> None:
    check_entry(entry, relay.view, RULES, relay.clock.now(), relay.recover)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda relay: bid_entry(relay, segment=RULES.segments),
        lambda relay: bid_entry(relay, amount=RULES.min_bid - 1),
        lambda relay: replace(
            bid_entry(relay), content=replace(bid_entry(relay).content, trainer=relay.keys["bob"].address)
        ),
        lambda relay: replace(bid_entry(relay), content=replace(bid_entry(relay).content, signature=bytes(64))),
        lambda relay: bid_entry(relay, signed=BID + 1),
    ],
    ids=["segment", "too small", "somebody else's", "no signature", "another amount"],
)
async def test_a_bid_that_no_honest_account_signs_is_its_author_s_fault(
    relay: Relay, make: Callable[[Relay], SignedEntry]
) -> None:
    with pytest.raises(PeerFault):
        check(relay, make(relay))


async def test_a_commit_to_nothing_is_its_author_s_fault(relay: Relay) -> None:
    with pytest.raises(PeerFault, match="commits to nothing"):
        check(relay, commit_entry(relay, "vera", bytes(32)))


async def test_what_the_running_round_has_no_use_for_is_ignored(relay: Relay) -> None:
    useless = [
        replace(bid_entry(relay), round=relay.view.number + 1),
        bid_entry(relay, expiry=int(relay.clock.now())),
        commit_entry(relay, "vera"),  # no committee yet
        reveal_entry(relay, "vera", (1, 2)),
    ]
    await relay.players["ann"].ledger.send(Deposit(BID))
    await relay.players["ann"].ledger.send(PlaceBid(relay.model, 1, WHOLE_MODEL, BID))
    useless.append(bid_entry(relay))  # has bid
    for entry in useless:
        with pytest.raises(Ignored):
            check(relay, entry)


async def test_a_commit_of_an_account_without_a_seat_is_ignored(relay: Relay) -> None:
    await bid_and_match(relay)
    with pytest.raises(Ignored):
        check(relay, commit_entry(relay, "ann"))


async def test_an_entry_may_be_a_phase_early(relay: Relay) -> None:
    await bid_and_match(relay)
    assert relay.view.phase == Phase.TRAIN
    check(relay, commit_entry(relay, "vera"))
    assert not may_be_posted(commit_entry(relay, "vera"), relay.view, relay.clock.now())


async def test_a_reveal_that_the_ledger_would_refuse_is_not_posted(relay: Relay) -> None:
    await bid_and_match(relay)
    await relay.train()
    await validate(relay)
    await relay.post()
    assert relay.view.phase == Phase.REVEAL
    sealed = relay.players["vera"].journal.read(relay.model, 1)
    assert sealed is not None
    good = reveal_entry(relay, "vera", sealed.scores, sealed.salt)
    assert may_be_posted(good, relay.view, relay.clock.now())
    assert not may_be_posted(good, relay.view, relay.view.deadline)
    for scores in ((5,), (5, 6), (UNAVAILABLE, UNAVAILABLE)):
        entry = reveal_entry(relay, "vera", scores, sealed.salt)
        assert not may_be_posted(entry, relay.view, relay.clock.now())


# --- batches ----------------------------------------------------------------------------------------------------------


async def test_a_round_goes_through_in_one_batch_a_phase(relay: Relay) -> None:
    await bid_and_match(relay)
    await relay.train()
    for _ in range(2):
        await validate(relay)
        await relay.post()
    assert relay.view.phase == Phase.SETTLE
    founder = relay.keys["founder"].address
    for kind, count in ((BidBySig, 2), (SubmitBySig, 2), (CommitBySig, 3), (RevealBySig, 3)):
        ((sender, command),) = relay.commands(kind)
        assert sender == founder
        lists = ("bids", "children", "commits", "reveals")
        entries = next(getattr(command, name) for name in lists if hasattr(command, name))
        assert len(entries) == count
    for unsent in (PlaceBid, SubmitLeg, CommitScores, RevealScores):
        assert relay.commands(unsent) == []
    await relay.keep()
    assert conserved(relay.chain.state, SUPPLY)


async def test_a_batch_waits_for_the_missing_until_its_share_of_the_phase_is_over_and_the_late_one_follows(
    relay: Relay,
) -> None:
    await bid_and_match(relay)
    await relay.train()
    await validate(relay, "vera", "vito")
    await relay.post()
    assert relay.events(ScoresCommitted) == []
    await relay.clock.advance(RULES.commit_seconds * RELAY_SHARE)
    await relay.post()
    assert len(relay.events(ScoresCommitted)) == 2
    await relay.post()
    await validate(relay, "vlad")
    await relay.post()
    assert [len(command.commits) for _, command in relay.commands(CommitBySig)] == [2, 1]  # type: ignore[union-attr]
    assert relay.view.phase == Phase.REVEAL


async def test_a_silent_chain_loses_no_batch(relay: Relay) -> None:
    await bid_and_match(relay)
    await relay.train()
    await validate(relay)
    view = relay.view
    relay.deliver("founder")
    relay.chain.silent = True
    with pytest.raises(LedgerUnavailable):
        await relay.players["founder"].relayer.step(view)
    relay.chain.silent = False
    await relay.players["founder"].relayer.step(view)
    assert relay.view.phase == Phase.REVEAL


async def test_a_bid_that_is_not_covered_is_left_out(relay: Relay) -> None:
    founder = relay.players["founder"]
    founder.relayer.hear(bid_entry(relay, "ann"))
    await relay.clock.advance(RULES.bid_seconds * RELAY_SHARE)
    await founder.relayer.step(relay.view)
    assert relay.commands(BidBySig) == []


async def test_more_bids_than_a_round_takes_push_out_the_lowest(relay: Relay) -> None:
    founder = relay.players["founder"]
    relayer = RelayerRole(founder.kit)
    bid = bid_entry(relay).content
    assert isinstance(bid, SignedBid)
    for number in range(MAX_BIDS + 5):
        one = replace(bid, trainer=Address(f"0x{number:040x}"), amount=Wei(100 + number))
        relayer.hear(SignedEntry(relay.model, 1, one))
    amounts = [entry.content.amount for entry in relayer._entries.values() if isinstance(entry.content, SignedBid)]
    assert min(amounts) == 105
    assert len(amounts) == MAX_BIDS


async def test_a_new_round_forgets_the_old_one_s_entries(relay: Relay) -> None:
    relayer = relay.players["founder"].relayer
    relayer.hear(bid_entry(relay))
    relayer.hear(replace(bid_entry(relay, "bob"), round=2))
    assert [entry.account for entry in relayer._entries.values()] == [relay.keys["bob"].address]
    relayer.hear(bid_entry(relay))
    assert len(relayer._entries) == 1


# --- a relayer that drops them ----------------------------------------------------------------------------------------


async def test_dropped_bids_are_sent_by_their_trainers_themselves(relay: Relay) -> None:
    for player in relay.trainers:
        await player.trainer_role.step(relay.view)
        await player.trainer_role.step(relay.view)
    assert not relay.view.bids
    await relay.clock.advance(RULES.bid_seconds * FALLBACK_SHARE)
    for player in relay.trainers:
        await player.trainer_role.step(relay.view)
    assert len(relay.commands(PlaceBid)) == 2
    assert {bid.trainer for bid in relay.view.bids} == {player.key.address for player in relay.trainers}


async def test_that_nobody_sent_an_entry_is_told_once(relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ann, old = relay.players["ann"], relay.view
    await ann.trainer_role.step(old)
    await relay.clock.advance(RULES.bid_seconds * FALLBACK_SHARE)
    for _ in range(2):
        await ann.trainer_role.step(old)
    assert caplog.text.count("nobody sent our PlaceBid in time") == 1


async def test_dropped_commits_and_reveals_cost_time_and_never_the_seat(relay: Relay) -> None:
    await bid_and_match(relay)
    await relay.train()
    for kind, seconds in ((CommitScores, RULES.commit_seconds), (RevealScores, RULES.reveal_seconds)):
        await validate(relay)
        assert relay.commands(kind) == []
        await relay.clock.advance(seconds * FALLBACK_SHARE)
        await validate(relay)
        assert len(relay.commands(kind)) == 3
    assert relay.view.phase == Phase.SETTLE
    await relay.keep()
    assert relay.events(ValidatorSlashed) == []


async def test_who_is_ready_late_sends_at_once(relay: Relay) -> None:
    await bid_and_match(relay)
    await relay.train()
    await relay.clock.advance(RULES.commit_seconds * FALLBACK_SHARE)
    await validate(relay, "vera")
    assert len(relay.commands(CommitScores)) == 1
    assert relay.deliver("founder") == 0


async def test_an_entry_is_told_once_however_often_the_round_is_looked_at(relay: Relay) -> None:
    ann = relay.players["ann"]
    for _ in range(3):
        await ann.trainer_role.step(relay.view)
    assert len(relay.players["founder"].network.entries_heard()) == 1
    assert len(relay.commands(Deposit)) == 1 + 1 + 3  # the model's budget, ann's cover, the stakes


async def test_who_has_no_coins_for_gas_bids_though_it_cannot_offer_its_tip(relay: Relay) -> None:
    owner = relay.players["founder"]
    await owner.ledger.send(Deposit(BID))

    async def refuse(*arguments: object, **more: object) -> tuple[Event, ...]:
        raise LedgerUnavailable("no coins for gas")

    owner.ledger.send = refuse  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            await owner.trainer_role.step(relay.view)
    ((_, entry),) = relay.players["ann"].network.entries_heard()
    assert isinstance(entry.content, SignedBid)


class HearingRegistry:
    """A registry whose answer takes as long as it takes a gossiped entry to come in."""

    def __init__(self, relay: Relay, news: Callable[[], SignedEntry]) -> None:
        self._relay, self._news = relay, news

    async def free(self, account: Address) -> Wei:
        self._relay.players["founder"].relayer.hear(self._news())
        return BID


async def test_an_entry_that_comes_in_while_others_are_looked_up_waits_for_the_next_look(relay: Relay) -> None:
    relayer = relay.players["founder"].relayer
    registry = HearingRegistry(relay, lambda: bid_entry(relay, "bob"))
    relayer._kit = replace(relayer._kit, registry=registry)  # type: ignore[arg-type]
    relayer.hear(bid_entry(relay, "ann"))
    await relayer.step(relay.view)
    assert {entry.account for entry in relayer._entries.values()} == {
        relay.keys[name].address for name in ("ann", "bob")
    }


async def test_a_batch_that_is_mined_in_a_later_round_takes_nothing_from_that_one(relay: Relay) -> None:
    founder = relay.players["founder"]
    for player in relay.trainers:
        await player.trainer_role.step(relay.view)
    relay.deliver("founder")
    later = replace(bid_entry(relay), round=2)

    class SlowLedger:
        account = founder.key.address

        async def send(self, command: Command, key: str | None = None) -> tuple[Event, ...]:
            founder.relayer.hear(later)
            return ()

    founder.relayer._kit = replace(founder.relayer._kit, ledger=SlowLedger())  # type: ignore[arg-type]
    await relay.clock.advance(RULES.bid_seconds * RELAY_SHARE)
    await founder.relayer.step(relay.view)
    assert list(founder.relayer._entries.values()) == [later]
    assert not founder.relayer._sent
