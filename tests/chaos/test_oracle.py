"""The oracle finds each violation in facts that were doctored, and none in those of a good run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import pytest

from derelayl_protocol.ledger import events as ev
from derelayl_protocol.types import UNAVAILABLE, Address, ModelId, Root, Wei

from .oracle import Facts, Intent, PeerFacts, goodput, rounds_lost, violations
from .plan import Plan
from .virtual.world import play

UNKNOWN = Root(b"\x99" * 32)


@cache
def good() -> Facts:
    """The facts of a run without a fault."""
    return play(Plan(2, 3, (), ()))[0]


def doctored(kind: type[ev.Event], **changes: object) -> Facts:
    """Good facts in which the first event of a kind, a selected leg of those that are settled, is another."""
    facts = good()
    number = next(
        number
        for number, event in enumerate(facts.events)
        if isinstance(event, kind) and getattr(event, "selected", True)
    )
    changed = replace(facts.events[number], **changes)  # type: ignore[arg-type]
    return replace(facts, events=(*facts.events[:number], changed, *facts.events[number + 1 :]))


def twice(kind: type[ev.Event]) -> Facts:
    """Good facts in which the first event of a kind happened again at once."""
    facts = good()
    number = next(number for number, event in enumerate(facts.events) if isinstance(event, kind))
    return replace(facts, events=(*facts.events[: number + 1], *facts.events[number:]))


def peer(**changes: object) -> Facts:
    """Good facts in which the first trainer holds something else."""
    first, second, *others = good().peers
    return replace(good(), peers=(first, replace(second, **changes), *others))  # type: ignore[arg-type]


def changed(mapping: Mapping[Root, Root]) -> dict[Root, Root]:
    """The lineage with another parent for its newest checkpoint."""
    return {**mapping, list(mapping)[-1]: UNKNOWN}


def found(facts: Facts, sentence: str) -> bool:
    return any(sentence in line for line in violations(facts))


def selected() -> tuple[int, ev.LegLeased]:
    """The round and the lease of a selected leg."""
    settled = next(each for each in good().events if isinstance(each, ev.LegSettled) and each.selected)
    leases = (each for each in good().events if isinstance(each, ev.LegLeased))
    return settled.round, next(each for each in leases if (each.round, each.leg) == (settled.round, settled.leg))


def test_a_good_run_has_no_violation_and_loses_no_work() -> None:
    assert violations(good()) == ()
    assert goodput(good()) == 1.0
    assert rounds_lost(good()) == 0


def test_an_invalid_child_that_was_accepted_is_found() -> None:
    number, lease = selected()
    facts = replace(good(), invalid={(number, lease.trainer): "nobody could fetch it"})
    assert found(facts, "was accepted: nobody could fetch it")


def test_a_leg_that_was_settled_twice_is_found() -> None:
    assert found(twice(ev.LegSettled), "was settled 2 times")


def test_a_leg_that_was_settled_and_never_leased_is_found() -> None:
    assert found(doctored(ev.LegSettled, leg=7), "was settled and never leased")


def test_a_selected_leg_whose_bid_stays_away_is_found() -> None:
    assert found(doctored(ev.LegSettled, bid_returned=Wei(0)), "did not come back")


def test_a_selected_leg_without_a_reward_is_found() -> None:
    assert found(doctored(ev.LegSettled, reward=Wei(0)), "got no reward")


def test_a_stake_that_was_sent_twice_is_found() -> None:
    assert found(twice(ev.Staked), "staked 2000 wei and was told to stake 1000")


def test_a_deposit_that_was_sent_twice_is_found() -> None:
    assert found(twice(ev.Deposited), "deposited 50000 wei although")


def test_a_deposit_on_top_of_one_that_was_too_small_is_none_too_many() -> None:
    number, first = next((n, each) for n, each in enumerate(good().events) if isinstance(each, ev.Deposited))
    events = (*good().events[:number], replace(first, amount=Wei(1)), *good().events[number:])
    assert not found(replace(good(), events=events), "deposited")


def test_an_intent_that_was_executed_twice_is_found() -> None:
    assert found(peer(intents=(Intent("SubmitLeg of round 1", (b"one", b"other")),)), "was executed 2 times")


@pytest.mark.parametrize(
    "event",
    [
        lambda model, one, other: ev.TrainerEquivocated(model, 1, 0, one, other, Wei(1), Wei(0)),
        lambda model, one, other: ev.ValidatorEquivocated(model, 1, one, other, Wei(1), Wei(0)),
    ],
)
def test_an_honest_peer_that_signed_twice_is_found(event: Callable[[ModelId, Address, Address], ev.Event]) -> None:
    facts = good()
    more = event(facts.model, facts.peers[-1].account, facts.peers[0].account)
    assert found(replace(facts, events=(*facts.events, more)), "signed two")


def test_a_wei_that_was_made_is_found() -> None:
    place, amount = next(iter(good().held.amounts.items()))
    held = replace(good().held, amounts={**good().held.amounts, place: Wei(amount + 1)})
    assert found(replace(good(), held=held), f"the events say {amount}, the ledger holds {amount + 1}")


def test_tokens_that_the_ledger_owes_and_lacks_are_found() -> None:
    held = replace(good().held, tokens=Wei(good().held.tokens - 1))
    assert found(replace(good(), held=held), "tokens of the contract")


def test_a_log_with_a_gap_is_found() -> None:
    events = tuple(event for event in good().events if not isinstance(event, ev.ModelCreated))
    assert found(replace(good(), events=events), "the events contradict one another")


def test_a_relay_that_stands_still_is_found() -> None:
    assert found(replace(good(), rounds_expected=50), "at least 50 should be")


def test_a_peer_with_another_lineage_is_found() -> None:
    lineage = good().peers[1].lineage
    assert found(peer(lineage=changed(lineage)), f"after 0x{UNKNOWN.hex()}, the ledger after")
    assert found(peer(lineage={}), "not at all, the ledger as genesis")


def test_a_checkpoint_that_no_log_tells_of_is_found() -> None:
    facts = replace(good(), lineage={**good().lineage, UNKNOWN: next(iter(good().lineage))})
    assert found(facts, "is in no log")


def test_a_peer_that_does_not_keep_up_is_found() -> None:
    assert found(peer(block=good().head - 10), f"has read to block {good().head - 10}")


def test_a_statement_with_other_amounts_is_found() -> None:
    place, amount = next(iter(good().held.amounts.items()))
    assert found(peer(balances={**good().held.amounts, place: Wei(amount + 1)}), f"tells {amount + 1} wei as")


def test_an_accepted_checkpoint_that_nobody_has_is_found() -> None:
    peers = tuple(replace(each, roots=frozenset()) for each in good().peers)
    assert found(replace(good(), peers=peers), "no honest peer has the accepted checkpoint")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"damaged": ("chunk 0x1",)}, "holds the damaged chunk 0x1"),
        ({"orphans": ("process 7",)}, "left process 7 behind"),
        ({"descriptors": (20, 90)}, "had 20 descriptors open after its start and 90 at the end"),
    ],
)
def test_what_a_peer_leaves_behind_is_found(changes: dict[str, object], sentence: str) -> None:
    assert found(peer(**changes), sentence)


def test_a_peer_that_ended_is_found() -> None:
    assert found(replace(good(), leaks=("p3 ended: KeyError()",)), "p3 ended")


def test_steps_of_legs_that_nobody_could_judge_are_no_goodput() -> None:
    whole = good()
    submitted = next(event for event in whole.events if isinstance(event, ev.LegSettled))
    facts = doctored(ev.LegSettled, score=UNAVAILABLE) if submitted.selected else whole
    assert submitted.selected
    assert goodput(facts) < 1.0


def test_steps_that_were_taken_again_count_once() -> None:
    trained = {lease: 2 * steps for lease, steps in good().trained.items()}
    assert goodput(replace(good(), trained=trained)) == pytest.approx(0.5)


def test_a_world_may_leave_out_what_it_cannot_find() -> None:
    facts = good()
    peers = tuple(
        PeerFacts(
            name=each.name, account=each.account, block=each.block, lineage=each.lineage, stake_meant=each.stake_meant
        )
        for each in facts.peers
    )
    assert violations(replace(facts, peers=peers)) == ()
