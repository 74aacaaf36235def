"""Children as signed entries: what is refused, what a list holds, what is told before COMMIT, and what two prove."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from derelayl_node.evm.typed_data import signer
from derelayl_node.ports import LedgerUnavailable
from derelayl_node.roles.admission import check_entry, may_be_posted
from derelayl_node.roles.submission import FALLBACK_SHARE, RELAY_SHARE
from derelayl_protocol.checkpoint.messages import Announcement
from derelayl_protocol.errors import Ignored, PeerFault
from derelayl_protocol.ledger.commands import Command, ReportManifests, SignedChild, SubmitBySig, SubmitLeg
from derelayl_protocol.ledger.entries import LeasedChild, SignedEntry, encode_entry
from derelayl_protocol.ledger.events import Event, LegSubmitted, TrainerEquivocated
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.signed import HandOverMessage
from derelayl_protocol.ledger.state import CheckpointRecord, LegEntry
from derelayl_protocol.types import NO_ROOT, ModelId, Root

from .relay import LEDGER, RULES, Relay

CHILD, OTHER = Root(b"\x0c" * 32), Root(b"\x0d" * 32)


@pytest.fixture
async def relay(tmp_path: Path) -> Relay:
    """A relay in which everybody signs and the founder relays, with the legs leased."""
    world = Relay(tmp_path, relayed=True)
    await world.begin()
    for player in world.trainers:
        await player.trainer_role.step(world.view)
    world.deliver("founder")
    await world.clock.advance(RULES.bid_seconds * RELAY_SHARE)
    await world.post()
    await world.clock.advance(RULES.bid_seconds)
    await world.keep()
    assert world.view.phase == Phase.TRAIN
    return world


def lease(relay: Relay, name: str = "ann") -> LegEntry:
    return next(leg for leg in relay.view.legs if leg.trainer == relay.keys[name].address)


def child_entry(relay: Relay, name: str = "ann", child: Root = CHILD, parent: Root | None = None) -> SignedEntry:
    key, leased = relay.keys[name], relay.view.legs[0].parent if parent is None else parent
    signature = signer(key, LEDGER)(HandOverMessage(relay.model, relay.view.number, leased, child))
    return SignedEntry(relay.model, relay.view.number, LeasedChild(key.address, leased, child, signature))


def bent(entry: SignedEntry, **changes: object) -> SignedEntry:
    return replace(entry, content=replace(entry.content, **changes))  # type: ignore[arg-type]


def check(relay: Relay, entry: SignedEntry) -> None:
    check_entry(entry, relay.view, RULES, relay.clock.now(), relay.recover)


def lists(relay: Relay) -> list[tuple[SignedChild, ...]]:
    return [command.children for _, command in relay.commands(SubmitBySig) if isinstance(command, SubmitBySig)]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda relay: child_entry(relay, child=NO_ROOT),
        lambda relay: bent(child_entry(relay), child=OTHER),
        lambda relay: bent(child_entry(relay), signature=bytes(64)),
        lambda relay: bent(child_entry(relay), trainer=relay.keys["bob"].address),
    ],
    ids=["nothing", "another child", "no signature", "somebody else's"],
)
async def test_a_child_that_no_honest_trainer_signs_is_its_author_s_fault(
    relay: Relay, make: Callable[[Relay], SignedEntry]
) -> None:
    with pytest.raises(PeerFault):
        check(relay, make(relay))


async def test_a_child_of_no_lease_or_of_another_parent_than_leased_is_ignored(relay: Relay) -> None:
    for entry in (child_entry(relay, "vera"), child_entry(relay, parent=OTHER)):
        with pytest.raises(Ignored):
            check(relay, entry)
        assert not may_be_posted(entry, relay.view, relay.clock.now())


async def test_a_child_that_the_ledger_has_is_ignored_and_another_one_of_its_lease_is_heard(relay: Relay) -> None:
    await relay.train()
    for name in ("ann", "bob"):
        with pytest.raises(Ignored):
            check(relay, child_entry(relay, name, lease(relay, name).child))
        second = child_entry(relay, name)
        check(relay, second)
        assert not may_be_posted(second, relay.view, relay.clock.now())


async def test_a_child_is_posted_until_the_deadline_and_once(relay: Relay) -> None:
    entry = child_entry(relay)
    assert may_be_posted(entry, relay.view, relay.view.deadline - 1)
    assert not may_be_posted(entry, relay.view, relay.view.deadline)
    await relay.players["ann"].ledger.send(SubmitLeg(relay.model, 1, relay.view.legs.index(lease(relay)), OTHER))
    assert not may_be_posted(entry, relay.view, relay.clock.now())


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_a_list_waits_for_the_missing_child_until_its_share_of_the_phase_is_over(relay: Relay) -> None:
    ann, bob = relay.trainers
    await ann.trainer_role.step(relay.view)
    await relay.post()
    assert lists(relay) == []
    await relay.clock.advance(RULES.train_seconds * RELAY_SHARE)
    await relay.post()
    await bob.trainer_role.step(relay.view)
    await relay.post()
    assert [len(children) for children in lists(relay)] == [1, 1]
    assert relay.view.phase == Phase.COMMIT
    assert relay.commands(SubmitLeg) == []


class Asked:
    """A registry that counts what it is asked for."""

    def __init__(self, relay: Relay) -> None:
        self._registry = relay.players["founder"].ledger
        self.roots: list[Root] = []

    async def checkpoint(self, model: ModelId, root: Root) -> CheckpointRecord | None:
        self.roots.append(root)
        return await self._registry.checkpoint(model, root)


async def test_a_child_that_the_ledger_knows_as_a_checkpoint_spoils_no_list_and_is_looked_up_once(
    relay: Relay,
) -> None:
    relayer, asked = relay.players["founder"].relayer, Asked(relay)
    relayer._kit = replace(relayer._kit, registry=asked)  # type: ignore[arg-type]
    relayer.hear(child_entry(relay, "ann", relay.genesis))
    relayer.hear(child_entry(relay, "bob"))
    await relayer.step(relay.view)
    await relay.clock.advance(RULES.train_seconds * RELAY_SHARE)
    await relayer.step(relay.view)
    ((only,),) = lists(relay)
    assert (only.child, relay.view.legs[only.leg].trainer) == (CHILD, relay.keys["bob"].address)
    assert sorted(asked.roots) == sorted([relay.genesis, CHILD])


async def test_a_flood_of_children_is_one_entry_at_a_relayer_and_ends_with_the_first_report(relay: Relay) -> None:
    founder = relay.players["founder"]
    for number in range(1, 40):
        entry = child_entry(relay, child=Root(bytes([number]) * 32))
        check(relay, entry)
        founder.relayer.hear(entry)
        founder.watcher.hear_entry(entry)
    assert len(founder.relayer._entries) == 1
    assert [len(children) for children in founder.watcher._children.values()] == [2]
    await founder.watcher.step(relay.view)
    assert lease(relay).disqualified
    with pytest.raises(Ignored):
        check(relay, child_entry(relay, child=OTHER))


# --- the trainer ------------------------------------------------------------------------------------------------------


async def test_what_is_told_before_commit_is_root_and_signature_alone(relay: Relay) -> None:
    ann, bob = relay.trainers
    await ann.trainer_role.step(relay.view)
    ((_, entry),) = [each for each in bob.network.entries_heard() if isinstance(each[1].content, LeasedChild)]
    assert isinstance(entry.content, LeasedChild)
    told = json.loads(encode_entry(entry))
    assert set(told) == {"kind", "model", "round", "account", "signature", "parent", "child"}
    assert await bob.network.request_manifest("ann", entry.content.child) is None
    kept = ann.journal.child(relay.model, 1, entry.content.parent)
    assert kept is not None
    ann.store.put_manifest(kept.root, kept.manifest)
    assert await bob.handoff.signature_of(kept.root, "ann") == entry.content.signature


async def test_a_leg_is_told_once_and_neither_trained_nor_read_again_however_often_the_round_is_looked_at(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ann = relay.players["ann"]
    for _ in range(3):
        await ann.trainer_role.step(relay.view)
    assert caplog.text.count("sent our signed SubmitLeg to the peers") == 1
    assert "continuing with the child" not in caplog.text
    assert ann.stages.count("training") == 1


async def test_a_restarted_trainer_tells_the_same_child(relay: Relay) -> None:
    ann, founder = relay.players["ann"], relay.players["founder"]
    await ann.trainer_role.step(relay.view)
    reborn = relay._player("ann", relay.keys["ann"], ann.store, RULES)
    reborn.trainer.fail_next("a restarted trainer must not train the leg again")
    await reborn.trainer_role.step(relay.view)
    told = [entry for _, entry in founder.network.entries_heard() if isinstance(entry.content, LeasedChild)]
    assert len(told) == 2
    assert told[0] == told[1]


async def test_dropped_children_are_sent_by_their_trainers_themselves(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for player in relay.trainers:
        await player.trainer_role.step(relay.view)
    assert relay.commands(SubmitLeg) == []
    await relay.clock.advance(RULES.train_seconds * FALLBACK_SHARE)
    for player in relay.trainers:
        await player.trainer_role.step(relay.view)
    assert len(relay.commands(SubmitLeg)) == 2
    assert relay.view.phase == Phase.COMMIT
    assert caplog.text.count("nobody sent our SubmitLeg in time") == 2


async def test_a_late_child_of_an_account_without_coins_for_gas_goes_through_a_relayer(relay: Relay) -> None:
    ann = relay.players["ann"]

    async def refuse(*arguments: object, **more: object) -> tuple[Event, ...]:
        raise LedgerUnavailable("no coins for gas")

    ann.ledger.send = refuse  # type: ignore[method-assign]
    await relay.clock.advance(RULES.train_seconds * FALLBACK_SHARE)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            await ann.trainer_role.step(relay.view)
    assert relay.deliver("founder") == 1
    await relay.post()
    assert [leg.submitted for leg in relay.view.legs if leg.trainer == ann.key.address] == [True]


async def test_a_child_that_a_relayer_sent_first_is_no_refusal(relay: Relay) -> None:
    ann, old = relay.players["ann"], relay.view
    await ann.trainer_role.step(old)
    await relay.clock.advance(RULES.train_seconds * FALLBACK_SHARE)
    await relay.post()
    await ann.trainer_role.step(old)
    assert ann.trainer_role.obstacle == ""
    assert len(relay.events(LegSubmitted)) == 1


# --- two children of one lease ----------------------------------------------------------------------------------------


async def test_two_children_told_of_one_lease_cost_the_bid_before_either_is_on_the_ledger(relay: Relay) -> None:
    watcher = relay.players["founder"].watcher
    for child in (CHILD, CHILD):
        watcher.hear_entry(child_entry(relay, child=child))
    await watcher.step(relay.view)
    assert relay.commands(ReportManifests) == []
    watcher.hear_entry(child_entry(relay, child=OTHER))
    await watcher.step(relay.view)
    await watcher.step(relay.view)
    (event,) = relay.events(TrainerEquivocated)
    assert isinstance(event, TrainerEquivocated)
    assert event.trainer == relay.keys["ann"].address


async def test_a_child_told_and_another_one_shown_are_two(relay: Relay) -> None:
    await relay.train()
    watcher = relay.players["founder"].watcher
    await watcher.step(relay.view)
    watcher.hear_entry(child_entry(relay))
    watcher.hear_announcement("ann", Announcement(relay.model, 1, lease(relay).child, relay.keys["ann"].address))
    await watcher.step(relay.view)
    assert len(relay.events(TrainerEquivocated)) == 1


async def test_what_others_say_beside_a_told_child_proves_nothing(relay: Relay) -> None:
    watcher = relay.players["founder"].watcher
    await watcher.step(relay.view)
    watcher.hear_entry(child_entry(relay))
    watcher.hear_announcement("bob", Announcement(relay.model, 1, OTHER, relay.keys["ann"].address))
    await watcher.step(relay.view)
    assert relay.commands(ReportManifests) == []


async def test_children_of_two_parents_are_of_two_leases_that_the_chain_has_given(relay: Relay) -> None:
    watcher = relay.players["founder"].watcher
    watcher.hear_entry(child_entry(relay, parent=OTHER))
    watcher.hear_entry(child_entry(relay))
    await watcher.step(relay.view)
    assert relay.commands(ReportManifests) == []
    watcher.hear_entry(child_entry(relay, child=OTHER))
    await watcher.step(relay.view)
    assert len(relay.events(TrainerEquivocated)) == 1


async def test_a_list_that_the_ledger_refuses_is_not_sent_again(relay: Relay) -> None:
    founder = relay.players["founder"]
    founder.relayer.hear(bent(child_entry(relay), signature=bytes(64)))
    await relay.clock.advance(RULES.train_seconds * RELAY_SHARE)
    sent: list[Command] = []
    send = founder.ledger.send

    async def counting(command: Command, *more: str) -> tuple[Event, ...]:
        sent.append(command)
        return await send(command, *more)

    founder.ledger.send = counting  # type: ignore[method-assign,assignment]
    for _ in range(2):
        await founder.relayer.step(relay.view)
    assert len(sent) == 1
    assert lists(relay) == []
