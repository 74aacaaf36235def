"""What is in a role's way is told until it is gone, and what the ledger will never take is sent once."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from derelayl_node.roles.trainer import SEEN_SECONDS
from derelayl_protocol.errors import Reason, RuleViolation
from derelayl_protocol.ledger.commands import Command, PlaceBid, RevealScores, SubmitLeg
from derelayl_protocol.ledger.events import (
    Event,
)
from derelayl_protocol.spelling import exact_tokens
from derelayl_protocol.types import Timestamp, Wei

from .relay import RULES, Player, Relay


async def test_scores_that_the_ledger_will_never_take_are_refused_once_and_that_is_told(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    await relay.bid_and_match()
    await relay.train()
    for player in relay.validators:
        await player.validator.step(relay.view)
    vera = relay.players["vera"]
    sealed = vera.journal.read(relay.model, 1)
    assert sealed is not None
    for path in (relay.folder / "vera" / "journal").iterdir():
        path.unlink()
    vera.journal.write(relay.model, 1, replace(sealed, salt=b"\x99" * 32))
    asked = tried(vera)
    for _ in range(3):
        await vera.validator.step(relay.view)
    assert asked == [RevealScores]
    assert "run the node with the HOME that sealed them (CommitMismatch" in vera.validator.obstacle
    assert caplog.text.count("reveal refused") == 1
    for name in ("vito", "vlad"):
        await relay.players[name].validator.step(relay.view)
    await relay.clock.advance(RULES.reveal_seconds)
    await relay.keep()
    await relay.keep()
    await vera.validator.step(relay.view)
    assert relay.view.number == 2
    assert "refused" not in vera.validator.obstacle
    assert "tokens at stake of the" in vera.validator.obstacle  # slashed for it: told without a restart


async def test_a_refusal_that_may_pass_is_tried_again_and_told_once(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    await relay.bid_and_match()
    await relay.train()
    vera = relay.players["vera"]
    tried(vera, [RuleViolation(Reason.WRONG_PHASE)] * 2)  # another address of the chain is a block behind
    for _ in range(2):
        await vera.validator.step(relay.view)
    assert "commit refused" in vera.validator.obstacle
    assert caplog.text.count("commit refused") == 1
    await vera.validator.step(relay.view)
    assert vera.validator.obstacle == ""


async def test_a_trainer_whose_look_is_older_than_its_submission_submits_once(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await relay.bid_and_match()
    old, ann = relay.view, relay.players["ann"]
    asked = tried(ann)
    for _ in range(3):
        await ann.trainer_role.step(old)
    assert asked == [SubmitLeg]
    assert caplog.text.count("submitted 0x") == 1
    await relay.clock.advance(SEEN_SECONDS)
    await ann.trainer_role.step(replace(old, deadline=Timestamp(old.deadline + 100)))
    assert asked == [SubmitLeg, SubmitLeg]  # the chain may have dropped it


async def test_a_bid_that_no_round_takes_is_refused_once_a_round(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    ann = relay.players["ann"]
    asked = tried(ann, [RuleViolation(Reason.BID_TOO_SMALL, "1 of 5")] * 9)
    for _ in range(3):
        await ann.trainer_role.step(relay.view)
    assert asked == [PlaceBid]
    assert "raise --bid (BidTooSmall" in ann.trainer_role.obstacle


def tried(player: Player, refusals: list[RuleViolation] | None = None) -> list[type[Command]]:
    """The kinds of what a player sends from now on; the first ones are refused with these."""
    send, kinds, left = player.ledger.send, list[type[Command]](), list(refusals or ())

    async def watched(command: Command, key: str | None = None, *, cover: Wei | None = None) -> tuple[Event, ...]:
        kinds.append(type(command))
        if left:
            raise left.pop(0)
        return await send(command, key, cover=cover)

    player.ledger.send = watched  # type: ignore[method-assign]
    return kinds


async def test_a_slashed_stake_is_told_with_its_numbers_and_not_topped_up(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    vera = relay.players["vera"]
    state = relay.chain.state.models[relay.model]
    required = RULES.validator_stake
    for left, seat in ((required - 1, "may still be seated"), (required // 2 - 1, "gets no seat"), (0, "gets no seat")):
        slashed = replace(state, stakes={**state.stakes, vera.key.address: Wei(left)})
        monkeypatch.setitem(relay.chain.state.models, relay.model, slashed)
        before = relay.chain.head
        await vera.validator.join()
        told = f"{exact_tokens(Wei(left))} tokens at stake of .* {seat}.*`derelayl stake add`"
        assert re.search(told, vera.validator.obstacle)
        assert relay.chain.head == before


async def test_a_stake_is_compared_once_a_round_and_an_added_one_ends_the_obstacle(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    vera = relay.players["vera"]
    state, view = relay.chain.state.models[relay.model], relay.view
    low = replace(state, stakes={**state.stakes, vera.key.address: Wei(1)})
    monkeypatch.setitem(relay.chain.state.models, relay.model, low)
    await vera.validator.step(view)
    assert "at stake of the" in vera.validator.obstacle
    monkeypatch.setitem(relay.chain.state.models, relay.model, state)
    await vera.validator.step(view)
    assert "at stake of the" in vera.validator.obstacle
    await vera.validator.step(replace(view, number=view.number + 1))
    assert vera.validator.obstacle == ""


async def test_a_stake_that_a_reorganisation_dropped_is_sent_again_by_a_validator_without_a_seat(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    vera = relay.players["vera"]
    state, view = relay.chain.state.models[relay.model], relay.view
    dropped = replace(state, stakes={**state.stakes, vera.key.address: Wei(0)})
    monkeypatch.setitem(relay.chain.state.models, relay.model, dropped)

    async def settle() -> int:
        monkeypatch.setitem(relay.chain.state.models, relay.model, state)
        return 0

    monkeypatch.setattr(vera.ledger, "settle", settle)
    await vera.validator.step(view)
    assert vera.validator.obstacle == ""


async def test_a_first_stake_that_the_ledger_refuses_is_told_and_ends_no_peer(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    vera = relay.players["vera"]
    state = relay.chain.state.models[relay.model]
    monkeypatch.setitem(relay.chain.state.models, relay.model, replace(state, stakes={}))
    tried(vera, [RuleViolation(Reason.INSUFFICIENT_BALANCE, "50 tokens are needed")])
    await vera.validator.join()
    await vera.validator.step(relay.view)
    assert "send the account tokens" in vera.validator.obstacle
