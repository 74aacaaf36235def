"""Equivocation: an honest node never does it, also over a crash; who does is reported with the proof."""

from __future__ import annotations

import pytest

from derelayl_node.evm.typed_data import signer
from derelayl_node.ports import LedgerUnavailable
from derelayl_node.roles.watcher import MAX_CLAIMS
from derelayl_node.testing.store import MemoryStore
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.ledger.commands import ReportManifests, ReportReveals, SignedReveal
from derelayl_protocol.ledger.entries import SignedEntry
from derelayl_protocol.ledger.events import LegSettled, TrainerEquivocated, ValidatorEquivocated
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.signed import RevealMessage
from derelayl_protocol.ledger.totals import conserved
from derelayl_protocol.types import Address, Ppm, Root

from .relay import BID, LEDGER, RULES, SUPPLY, Player, Relay


async def until_reveal(relay: Relay) -> None:
    await relay.bid_and_match()
    await relay.train()
    for player in relay.validators:
        await player.validator.step(relay.view)
    assert relay.view.phase == Phase.REVEAL


def reveal_of(relay: Relay, player: Player, *scores: int) -> SignedEntry:
    opened, salt = tuple(Ppm(score) for score in scores), b"\x0a" * 32
    own = tuple(range(len(scores)))
    sign = signer(player.key, LEDGER)
    signature = sign(RevealMessage(relay.model, relay.view.number, opened, own, salt))
    return SignedEntry(relay.model, relay.view.number, SignedReveal(player.key.address, opened, own, salt, signature))


async def second_child(relay: Relay, cheat: Player) -> Root:
    """Let a trainer sign and publish another child under its lease; returns the root."""
    leg = next(leg for leg in relay.view.legs if leg.trainer == cheat.key.address)
    parent = (await cheat.handoff.take(leg.parent, 10)).manifest
    job = await cheat.trainer_role._job(relay.view, leg.segment, leg.parent, parent, "second")
    result = await cheat.trainer.train(job)
    child = await cheat.handoff.hand_over(relay.model, 1, leg, parent, result.weights, {"again": True})
    await cheat.handoff.publish(relay.model, 1, child)
    return child.root


async def listen(watcher: Player) -> None:
    """Let a player's watcher hear every announcement that reached it."""
    while watcher.network._receive.statistics().current_buffer_used:
        watcher.watcher.hear_announcement(*await watcher.network.next_announcement())


# --- reveals ----------------------------------------------------------------------------------------------------------


async def test_one_reveal_heard_twice_is_no_equivocation(relay: Relay) -> None:
    await until_reveal(relay)
    watcher, vera = relay.players["founder"].watcher, relay.players["vera"]
    watcher.hear_entry(reveal_of(relay, vera, 1, 2))
    watcher.hear_entry(reveal_of(relay, vera, 1, 2))
    await watcher.step(relay.view)
    assert relay.commands(ReportReveals) == []


async def test_two_reveals_of_a_seat_cost_its_stake_and_pay_the_first_reporter(relay: Relay) -> None:
    await until_reveal(relay)
    vera = relay.players["vera"]
    for name in ("founder", "ann"):
        watcher = relay.players[name].watcher
        for scores in ((1, 2), (3, 4), (5, 6)):
            watcher.hear_entry(reveal_of(relay, vera, *scores))
        await watcher.step(relay.view)
        await watcher.step(relay.view)
    (event,) = relay.events(ValidatorEquivocated)
    assert isinstance(event, ValidatorEquivocated)
    assert (event.validator, event.reporter) == (vera.key.address, relay.keys["founder"].address)
    assert event.reward == event.amount * RULES.reporter_bps // 10_000 > 0
    assert conserved(relay.chain.state, SUPPLY)


async def test_a_report_that_the_chain_did_not_take_is_sent_again(relay: Relay) -> None:
    await until_reveal(relay)
    watcher, view = relay.players["founder"].watcher, relay.view
    for scores in ((1, 2), (3, 4)):
        watcher.hear_entry(reveal_of(relay, relay.players["vera"], *scores))
    relay.chain.silent = True
    with pytest.raises(LedgerUnavailable):
        await watcher.step(view)
    relay.chain.silent = False
    await watcher.step(view)
    assert len(relay.events(ValidatorEquivocated)) == 1


# --- children ---------------------------------------------------------------------------------------------------------


async def test_two_children_under_one_lease_cost_the_bid_and_the_leg(relay: Relay) -> None:
    await relay.players["founder"].watcher.step(relay.view)
    await relay.bid_and_match()
    await relay.train()
    await second_child(relay, relay.players["ann"])
    founder = relay.players["founder"]
    await listen(founder)
    await founder.watcher.step(relay.view)
    await founder.watcher.step(relay.view)
    (event,) = relay.events(TrainerEquivocated)
    assert isinstance(event, TrainerEquivocated)
    assert (event.trainer, event.amount) == (relay.keys["ann"].address, BID)
    await relay.judge()
    await relay.keep()
    selected = [event.leg for event in relay.events(LegSettled) if isinstance(event, LegSettled) and event.selected]
    assert event.leg not in selected
    assert conserved(relay.chain.state, SUPPLY)


async def test_what_others_say_of_a_trainer_proves_nothing_and_makes_room_again(relay: Relay) -> None:
    founder, ann = relay.players["founder"], relay.players["ann"]
    await founder.watcher.step(relay.view)
    await relay.bid_and_match()
    await relay.train()
    bob_s = next(leg.child for leg in relay.view.legs if leg.trainer != ann.key.address)
    for number in range(MAX_CLAIMS + 2):
        lie = Announcement(relay.model, 1, Root(bytes([number + 1]) * 32), ann.key.address)
        founder.watcher.hear_announcement("bob", lie)
    founder.watcher.hear_announcement("bob", Announcement(relay.model, 2**50, Root(b"\x01" * 32), ann.key.address))
    await founder.watcher.step(relay.view)
    founder.watcher.hear_announcement("bob", Announcement(relay.model, 1, bob_s, ann.key.address))
    await listen(founder)
    await founder.watcher.step(relay.view)
    assert relay.commands(ReportManifests) == []
    await second_child(relay, ann)
    await listen(founder)
    await founder.watcher.step(relay.view)
    assert len(relay.events(TrainerEquivocated)) == 1


async def test_a_trainer_killed_between_signing_and_submitting_goes_on_with_the_same_child(relay: Relay) -> None:
    await relay.players["founder"].watcher.step(relay.view)
    await relay.bid_and_match()
    ann = relay.players["ann"]
    view = relay.view
    honest = ann.ledger.send
    noted: list[Root] = []

    async def die(*arguments: object, **more: object) -> None:
        leg = next(leg for leg in view.legs if leg.trainer == ann.key.address)
        child = ann.journal.child(relay.model, 1, leg.parent)
        assert child is not None
        noted.append(child.root)
        raise LedgerUnavailable("killed")

    ann.ledger.send = die  # type: ignore[method-assign,assignment]
    with pytest.raises(LedgerUnavailable):
        await ann.trainer_role.step(view)
    ann.ledger.send = honest  # type: ignore[method-assign]
    reborn = relay._player("ann", relay.keys["ann"], ann.store, RULES)
    reborn.trainer.fail_next("a restarted trainer must not train the leg again")
    await reborn.trainer_role.step(relay.view)
    submitted = next(leg.child for leg in relay.view.legs if leg.trainer == ann.key.address)
    assert noted == [submitted]
    founder = relay.players["founder"]
    await listen(founder)
    await founder.watcher.step(relay.view)
    assert relay.commands(ReportManifests) == []


async def test_nobody_gets_a_child_while_others_can_still_submit(relay: Relay) -> None:
    await relay.bid_and_match()
    ann, bob = relay.trainers
    await ann.trainer_role.step(relay.view)
    (child,) = (leg.child for leg in relay.view.legs if leg.submitted)
    await ann.trainer_role.step(relay.view)
    assert await bob.network.request_manifest("ann", child) is None
    await bob.trainer_role.step(relay.view)
    assert relay.view.phase == Phase.COMMIT
    await ann.trainer_role.step(relay.view)
    assert await bob.network.request_manifest("ann", child) is not None


async def test_a_trainer_restarted_while_its_child_is_judged_publishes_it(relay: Relay) -> None:
    await relay.bid_and_match()
    await relay.train()
    child = next(leg.child for leg in relay.view.legs if leg.trainer == relay.players["ann"].key.address)
    reborn = relay._player("ann", relay.keys["ann"], MemoryStore(), RULES)
    await reborn.trainer_role.step(relay.view)
    assert reborn.store.manifest(child) is not None


# --- what is worth a line of the log ----------------------------------------------------------------------------------


async def test_only_the_first_announcement_of_a_leased_trainer_in_the_running_round_is_news(relay: Relay) -> None:
    await relay.bid_and_match()
    watcher = relay.players["founder"].watcher
    await watcher.step(relay.view)
    number, ann, stranger = relay.view.number, relay.keys["ann"].address, relay.keys["vera"].address

    def said(trainer: Address, byte: int, round_number: int = number) -> bool:
        return watcher.hear_announcement(
            "x", Announcement(relay.model, round_number, Root(bytes([byte]) * 32), trainer)
        )

    assert not said(stranger, 1)
    assert not said(ann, 1, number + 1)
    assert said(ann, 1)
    assert not any(said(ann, byte) for byte in range(1, 20))
