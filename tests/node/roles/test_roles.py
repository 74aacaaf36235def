"""The roles play whole rounds over the fakes, and everything that may go wrong in one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from derelayl_node.handoff import FetchFailed, Handoff
from derelayl_node.journal import SignedChild
from derelayl_node.ports import LedgerUnavailable, TrainingFailed
from derelayl_node.roles.bidder import Bidder
from derelayl_node.roles.duties import KEEPER_STEP_SECONDS, KEEPERS, patience
from derelayl_node.roles.trainer import SUBMIT_RESERVE_SECONDS
from derelayl_node.roles.validator import COMMIT_RESERVE_SECONDS, ValidatorRole
from derelayl_node.testing.ledger import FakeLedger
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.manifest import Manifest, encode_manifest, parse_manifest, root_of
from derelayl_protocol.errors import PeerFault
from derelayl_protocol.ledger.commands import MatchRound
from derelayl_protocol.ledger.events import (
    BidPlaced,
    LegSettled,
    RoundSettled,
    RoundVoided,
    RoyaltyCollected,
    ScoresRevealed,
    ValidatorSlashed,
)
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import LegEntry
from derelayl_protocol.ledger.totals import conserved
from derelayl_protocol.types import UNAVAILABLE, ModelId, Root, Wei
from derelayl_training.jobs import Record, WeightsFile

from .relay import BID, LEDGER, RULES, SUPPLY, WALLET, Relay


def settled_legs(relay: Relay) -> list[LegSettled]:
    return [event for event in relay.events(LegSettled) if isinstance(event, LegSettled)]


# --- a leg that goes wrong --------------------------------------------------------------------------------------------


async def test_a_trainer_without_tokens_sits_the_round_out(relay: Relay) -> None:
    ann = relay.players["ann"]
    ann.trainer_role._bidder = Bidder(ann.kit, Wei(WALLET + 1), Wei(0), None)
    await ann.trainer_role.step(relay.view)
    assert not relay.events(BidPlaced)


async def test_a_peer_that_could_not_train_does_not_bid(relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    ann = relay.players["ann"]
    ann.trainer_role._policy = replace(ann.trainer_role._policy, segment="7")
    await ann.trainer_role.step(relay.view)
    assert not relay.events(BidPlaced)
    assert "could not train segment 7: segment 7 does not exist" in caplog.text


async def test_a_peer_that_finds_no_tip_at_any_peer_does_not_bid(relay: Relay) -> None:
    ann = relay.players["ann"]
    relay.hub.leave("founder")
    await ann.trainer_role.step(relay.view)
    assert not relay.events(BidPlaced)


async def test_a_failed_training_loses_the_bid_and_nothing_else(relay: Relay) -> None:
    await relay.bid_and_match()
    ann, bob = relay.trainers
    ann.trainer.fail_next("the loss is not finite")
    with pytest.raises(TrainingFailed, match="not finite"):
        await ann.trainer_role.step(relay.view)
    assert ann.stages[-1] == "idle"
    await bob.trainer_role.step(relay.view)
    await relay.clock.advance(RULES.train_seconds)
    await relay.keep()
    await relay.judge()
    await relay.keep()
    by_trainer = {leg.child != bytes(32): leg for leg in settled_legs(relay)}
    assert by_trainer[False].forfeited == BID
    assert by_trainer[True].selected


async def test_what_a_lost_leg_left_on_disk_is_removed_by_the_next(relay: Relay) -> None:
    left = relay.folder / "ann" / "scratch" / "child-0-0.safetensors.snapshot"
    left.write_bytes(b"half a leg")
    await relay.play_round()
    assert not left.exists()


async def test_a_leg_too_near_its_deadline_is_given_up(relay: Relay) -> None:
    await relay.bid_and_match()
    await relay.clock.advance(RULES.train_seconds - SUBMIT_RESERVE_SECONDS + 0.5)
    ann = relay.players["ann"]
    await ann.trainer_role.step(relay.view)
    assert ann.trainer.jobs == []


async def test_a_silent_chain_stops_a_role_with_the_reason(relay: Relay) -> None:
    relay.chain.silent = True
    with pytest.raises(LedgerUnavailable):
        await relay.players["ann"].trainer_role.step(relay.view)


# --- a child that is no good ------------------------------------------------------------------------------------------


async def score_of_the_other(relay: Relay, number: int) -> tuple[int, int]:
    """Judge and return the scores of leg `number` and of the other one, by the first validator."""
    await relay.judge()
    reveal = next(event for event in relay.events(ScoresRevealed) if isinstance(event, ScoresRevealed))
    return reveal.scores[number], reveal.scores[1 - number]


def leg_of(relay: Relay, name: str) -> int:
    return next(n for n, leg in enumerate(relay.view.legs) if leg.trainer == relay.keys[name].address)


async def test_a_withheld_child_is_unavailable_and_costs_the_other_leg_nothing(relay: Relay) -> None:
    await relay.bid_and_match()
    number = leg_of(relay, "ann")
    await relay.train()
    relay.hub.leave("ann")
    await relay.clock.advance(RULES.commit_seconds - COMMIT_RESERVE_SECONDS - 1)  # leaves a second for judging
    withheld, other = await score_of_the_other(relay, number)
    assert withheld == UNAVAILABLE
    assert other > 0


async def test_a_child_that_names_another_parent_is_unavailable(relay: Relay) -> None:
    await relay.bid_and_match()
    number = leg_of(relay, "ann")
    ann = relay.players["ann"]
    honest = ann.handoff.hand_over

    async def lie(*arguments: object) -> SignedChild:
        model, round_number, leg, parent, weights, record = arguments
        return await honest(model, round_number, replace(leg, parent=Root(b"\x07" * 32)), parent, weights, record)  # type: ignore[type-var,arg-type]

    ann.handoff.hand_over = lie  # type: ignore[method-assign,assignment]
    await relay.train()
    lied, other = await score_of_the_other(relay, number)
    assert lied == UNAVAILABLE
    assert other > 0


async def test_a_copy_of_a_rival_s_child_is_unavailable(relay: Relay) -> None:
    await relay.bid_and_match()
    number = leg_of(relay, "bob")
    ann, bob = relay.trainers
    await ann.trainer_role.step(relay.view)
    leg = relay.view.legs[1 - number]
    stolen = ann.journal.child(relay.model, 1, leg.parent)
    assert stolen is not None

    async def copy(*arguments: object) -> SignedChild:
        return stolen

    bob.handoff.hand_over = copy  # type: ignore[method-assign,assignment]
    await bob.trainer_role.step(relay.view)
    copied, original = await score_of_the_other(relay, number)
    assert copied == UNAVAILABLE
    assert original > 0


async def test_a_manifest_with_a_wrong_signature_is_its_sender_s_fault(relay: Relay) -> None:
    await relay.bid_and_match()
    await relay.train()
    leg = relay.view.legs[leg_of(relay, "ann")]
    ann, vera, vito = (relay.players[name] for name in ("ann", "vera", "vito"))
    await vito.handoff.take(leg.child, 10)  # a second holder, an honest one
    manifest = parse_manifest(ann.store.manifest(leg.child) or b"")
    forged = replace(manifest, signature=bytes([manifest.signature[0] ^ 1]) + manifest.signature[1:])
    assert root_of(forged) == leg.child
    relay.hub.wrong_manifests["ann"] = encode_manifest(forged)
    taken = await vera.handoff.take(leg.child, 10, hints=["ann"])
    assert taken.manifest.signature == manifest.signature


async def test_a_checkpoint_that_nobody_has_is_not_taken(relay: Relay) -> None:
    with pytest.raises(FetchFailed, match="its manifest is missing"):
        await relay.players["ann"].handoff.take(Root(b"\x55" * 32), 0.1)


async def test_a_child_under_another_lease_is_refused_before_its_weights_are_fetched(relay: Relay) -> None:
    await relay.bid_and_match()
    await relay.train()
    leg = relay.view.legs[leg_of(relay, "ann")]
    vera = relay.players["vera"]
    parent = await vera.handoff.take(leg.parent, 10)
    requests = len(vera.network.requests)
    with pytest.raises(PeerFault, match="trainer"):
        await vera.handoff.take_child(
            relay.model, 1, replace(leg, trainer=relay.keys["bob"].address), parent.manifest, 10
        )
    assert len(vera.network.requests) == requests


async def test_a_chunk_damaged_on_disk_is_fetched_again_when_it_is_needed(relay: Relay) -> None:
    vera = relay.players["vera"]
    taken = await vera.handoff.take(relay.genesis, 10)
    vera.store.damage(taken.manifest.chunks[0].digest)
    assert (await vera.handoff.weights(relay.genesis)).exists()


async def test_a_trainer_that_runs_twice_submits_and_publishes_the_child_that_its_journal_has(relay: Relay) -> None:
    await relay.bid_and_match()
    ann = relay.players["ann"]
    number, honest = leg_of(relay, "ann"), ann.handoff.hand_over
    others: list[SignedChild] = []

    async def be_late(
        model: ModelId, round_number: int, leg: LegEntry, parent: Manifest, weights: WeightsFile, record: Record
    ) -> SignedChild:
        others.append(await honest(model, round_number, leg, parent, weights, record))
        ann.journal.write_child(model, round_number, leg.parent, others[0])  # as the other process does meanwhile
        return await honest(model, round_number, leg, parent, weights, {**record, "bytes_fetched": 12345})

    ann.handoff.hand_over = be_late  # type: ignore[method-assign]
    await relay.train()
    assert relay.view.legs[number].child == others[0].root
    await ann.trainer_role.step(relay.view)
    assert ann.store.manifest(others[0].root) == others[0].manifest


# --- a validator that goes wrong --------------------------------------------------------------------------------------


async def test_a_validator_without_its_journal_cannot_reveal_and_is_slashed(relay: Relay) -> None:
    await relay.bid_and_match()
    await relay.train()
    for player in relay.validators:
        await player.validator.step(relay.view)
    seated = next(player for player in relay.validators if player.name == "vera")
    for path in (relay.folder / "vera" / "journal").iterdir():
        path.unlink()
    for player in relay.validators:
        await player.validator.step(relay.view)
    await relay.clock.advance(RULES.reveal_seconds)
    await relay.keep()
    await relay.keep()
    slashed = [event for event in relay.events(ValidatorSlashed) if isinstance(event, ValidatorSlashed)]
    assert [event.validator for event in slashed] == [seated.key.address]


async def test_a_validator_restarted_between_commit_and_reveal_opens_its_own_seal(relay: Relay) -> None:
    await relay.bid_and_match()
    await relay.train()
    for player in relay.validators:
        await player.validator.step(relay.view)
    reborn = relay._player("vera", relay.keys["vera"], relay.players["vera"].store, RULES)
    reborn.trainer.fail_next("a restarted validator must not judge again")
    relay.players["vera"] = reborn
    for player in relay.validators:
        await player.validator.step(relay.view)
    assert relay.view.phase == Phase.SETTLE


async def test_a_validator_that_runs_twice_seals_once_and_opens_what_it_has_sealed(relay: Relay) -> None:
    await relay.bid_and_match()
    await relay.train()
    twin = ValidatorRole(relay.players["vera"].kit, lambda: b"another salt".ljust(32))
    async with trio.open_nursery() as nursery:  # both judge before one of them seals
        nursery.start_soon(twin.step, relay.view)
        nursery.start_soon(relay.players["vera"].validator.step, relay.view)
    for player in relay.validators[1:]:
        await player.validator.step(relay.view)
    for player in relay.validators:
        await player.validator.step(relay.view)
    assert relay.view.phase == Phase.SETTLE
    assert not relay.events(ValidatorSlashed)


async def test_joining_twice_stakes_once(relay: Relay) -> None:
    vera = relay.players["vera"]
    before = relay.chain.head
    await vera.validator.join()
    assert relay.chain.head == before


# --- rounds that go well ----------------------------------------------------------------------------------------------


async def test_a_whole_round_selects_the_better_child_and_pays(relay: Relay) -> None:
    await relay.play_round()
    settled = relay.events(RoundSettled)
    assert len(settled) == 1
    legs = settled_legs(relay)
    best = max(legs, key=lambda leg: leg.score)
    assert best.selected
    assert [tip.root for tip in relay.view.tips] == [best.child]
    assert conserved(relay.chain.state, SUPPLY)


async def test_rounds_follow_one_another_and_royalties_reach_the_founder(relay: Relay) -> None:
    founder = relay.players["founder"]
    for _ in range(3):
        await relay.bid_and_match()
        await founder.owner.step(relay.view)
        await relay.train()
        await relay.judge()
        await relay.keep()
        await founder.owner.step(relay.view)
    collected = [event for event in relay.events(RoyaltyCollected) if isinstance(event, RoyaltyCollected)]
    assert collected[0].owner == founder.key.address
    assert collected[0].kept > 0
    assert relay.view.number == 4
    assert conserved(relay.chain.state, SUPPLY)


async def test_an_owner_that_was_away_collects_once_the_log_is_read(relay: Relay) -> None:
    await relay.play_round()
    founder = relay.players["founder"]
    await founder.owner.step(relay.view)
    assert relay.events(RoyaltyCollected) == []
    relay.indexed = True
    relay.chain.silent = True
    with pytest.raises(LedgerUnavailable):
        await founder.owner.step(relay.view)
    relay.chain.silent = False
    for _ in range(2):
        await founder.owner.step(relay.view)
    assert len(relay.events(RoyaltyCollected)) == 1


async def test_a_seeder_keeps_tips_and_children_alive(relay: Relay) -> None:
    await relay.bid_and_match()
    await relay.train()
    founder = relay.players["founder"]
    await founder.seeder.step(relay.view)
    assert {leg.child for leg in relay.view.legs} < set(founder.store.roots())


async def test_a_tip_whose_owner_serves_nobody_is_had_from_any_seat_that_judged_it(relay: Relay) -> None:
    """Or the owner of the trunk's tip could take the bids of all who lease it."""
    await relay.begin(replace(RULES, selection_bps=10_000))
    await relay.play_round()
    tips = sorted(relay.view.tips, key=lambda tip: -tip.score)
    hostage = relay.players[next(name for name in ("ann", "bob") if relay.keys[name].address == tips[0].owner)]
    for name in set(relay.players) - {"vito"}:
        relay.hub.unreachable.add(name)
    stranger = MemoryStore()
    network = relay.hub.join("stranger", stranger)
    handoff = Handoff(network, stranger, relay.keys["founder"], LEDGER, relay.folder / "stranger")
    taken = await handoff.take(tips[0].root, 10)
    assert taken.manifest.header.trainer == hostage.key.address
    assert {peer for peer, _ in network.requests} == {"vito"}


async def test_a_keeper_whose_look_is_old_looks_again_and_sends_nothing(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for player in relay.trainers:
        await player.trainer_role.step(relay.view)
    await relay.clock.advance(RULES.bid_seconds)
    stale = relay.view
    ann, bob = relay.trainers
    for player in (ann, bob):
        await player.keeper.step(stale)
    assert relay.view.phase == Phase.TRAIN, "whoever is first does not wait"
    await relay.clock.advance(2 * KEEPERS * KEEPER_STEP_SECONDS)
    monkeypatch.setattr(FakeLedger, "send", None)
    for player in (ann, bob):
        await player.keeper.step(stale)


async def test_when_the_first_keeper_is_dead_the_next_acts_after_a_step(relay: Relay) -> None:
    for player in relay.trainers:
        await player.trainer_role.step(relay.view)
    await relay.clock.advance(RULES.bid_seconds)
    second = max(relay.trainers, key=lambda player: patience(relay.view, RULES, player.key.address))
    await second.keeper.step(relay.view)
    await relay.clock.advance(KEEPER_STEP_SECONDS - 0.1)
    await second.keeper.step(relay.view)
    assert not relay.commands(MatchRound)
    await relay.clock.advance(0.1)
    await second.keeper.step(relay.view)
    assert [sender for sender, _ in relay.commands(MatchRound)] == [second.key.address]


async def test_a_round_with_no_delivery_voids_and_the_tip_lives_on(relay: Relay) -> None:
    await relay.bid_and_match()
    await relay.clock.advance(RULES.train_seconds)
    await relay.keep()
    assert len(relay.events(RoundVoided)) == 1
    assert [tip.root for tip in relay.view.tips] == [relay.genesis]


def test_scratch_is_left_empty_after_a_leg(tmp_path: Path) -> None:
    async def play() -> list[Path]:
        relay = Relay(tmp_path)
        await relay.begin()
        await relay.play_round()
        return [path for player in relay.trainers for path in (tmp_path / player.name / "scratch").iterdir()]

    assert trio.run(play) == []
