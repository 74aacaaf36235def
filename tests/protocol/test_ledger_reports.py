"""Equivocation, proven by anyone: what it costs, whom it pays, what goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger.commands import Release, Stake, Unstake
from derelayl_protocol.ledger.events import (
    DepositReturned,
    LegSettled,
    RoundSettled,
    TrainerEquivocated,
    ValidatorCharged,
    ValidatorEquivocated,
    ValidatorSlashed,
)
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.types import Ppm, Wei

from .relay import GENESIS, JUDGES, OWNER, RULES, SALT, STRANGER, TRAINERS, Relay, in_phase, of, with_rules

JUDGE = JUDGES[0]


# --- manifests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leg", [-1, 2])
def test_a_leg_that_does_not_exist_has_no_manifests(leg: int) -> None:
    relay = in_phase(Phase.TRAIN)
    relay.refuse(Reason.NO_SUCH_LEG, STRANGER, replace(relay.two_manifests(0), leg=leg))


def test_one_manifest_shown_twice_proves_nothing() -> None:
    relay = in_phase(Phase.TRAIN)
    relay.refuse(Reason.SAME_MESSAGE, STRANGER, relay.two_manifests(0, ("same", "same")))


def test_both_manifests_must_be_the_trainers_own() -> None:
    relay = in_phase(Phase.TRAIN)
    report, others = relay.two_manifests(0), relay.two_manifests(1)
    for wrong in (
        replace(report, leg=1),
        replace(report, signatures=(report.signatures[0], others.signatures[1])),
        replace(report, signatures=(others.signatures[0], report.signatures[1])),
        replace(report, signatures=report.signatures[::-1]),
    ):
        relay.refuse(Reason.BAD_SIGNATURE, STRANGER, wrong)


def test_a_bid_is_lost_once() -> None:
    relay = in_phase(Phase.TRAIN)
    relay.do(STRANGER, relay.two_manifests(0))
    relay.refuse(Reason.NOTHING_TO_SLASH, STRANGER, relay.two_manifests(0, ("a third", "a fourth")))


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.COMMIT, Phase.REVEAL, Phase.SETTLE])
def test_two_manifests_cost_the_bid_in_every_phase_of_a_lease(phase: Phase) -> None:
    relay = in_phase(phase)
    free, carry, deadline = relay.free(STRANGER), relay.held.carry, relay.round.deadline
    relay.now = max(relay.now, deadline)  # a deadline does not matter
    assert relay.do(STRANGER, relay.two_manifests(0)) == (
        TrainerEquivocated(relay.model, 1, 0, TRAINERS[0], STRANGER, Wei(100), Wei(40)),
    )
    assert (relay.free(STRANGER) - free, relay.held.carry - carry) == (40, 60)
    assert (relay.round.phase, relay.round.deadline) == (phase, deadline)
    assert relay.round.legs[0].disqualified


def test_an_equivocators_leg_is_judged_but_never_selected_and_its_deposit_returns() -> None:
    relay = in_phase(Phase.TRAIN)
    relay.do(STRANGER, relay.two_manifests(0))
    relay.train()
    relay.judge(*[(9_000, 2_000)] * 3)
    events = relay.settle()
    first, second = of(LegSettled, events)
    assert (first.score, first.selected, first.bid_returned, first.forfeited) == (9_000, False, 0, 0)
    assert second.selected
    assert of(DepositReturned, events) == [DepositReturned(relay.model, 1, GENESIS, OWNER, Wei(5))] * 2
    assert of(RoundSettled, events)[0].pot == 60 + RULES.emission


def test_an_equivocator_that_never_submits_loses_nothing_more() -> None:
    relay = in_phase(Phase.TRAIN)
    relay.do(STRANGER, relay.two_manifests(0))
    relay.do(STRANGER, relay.two_manifests(1))
    events = relay.advance()
    assert [(event.bid_returned, event.forfeited) for event in of(LegSettled, events)] == [(0, 0), (0, 0)]
    assert relay.held.carry == 60 + 60


def test_a_report_by_the_equivocator_itself_costs_it_the_rest_of_the_bid() -> None:
    relay = in_phase(Phase.TRAIN)
    free = relay.free(TRAINERS[0])
    relay.do(TRAINERS[0], relay.two_manifests(0))
    assert relay.free(TRAINERS[0]) - free == 40


def test_a_model_may_pay_reporters_nothing() -> None:
    relay = Relay(with_rules(reporter_bps=0))
    relay.lease(100)
    free = relay.free(STRANGER)
    (event,) = of(TrainerEquivocated, relay.do(STRANGER, relay.two_manifests(0)))
    assert (event.amount, event.reward, relay.free(STRANGER), relay.held.carry) == (100, 0, free, 100)


# --- reveals ----------------------------------------------------------------------------------------------------------


def test_one_reveal_shown_twice_proves_nothing() -> None:
    relay = Relay()
    report = relay.two_reveals(JUDGE)
    same = replace(report, scores=(report.scores[0],) * 2, signatures=(report.signatures[0],) * 2)
    relay.refuse(Reason.SAME_MESSAGE, STRANGER, same)


def test_both_reveals_must_be_the_validators_own_for_that_round() -> None:
    relay = Relay()
    report = relay.two_reveals(JUDGE)
    for wrong in (
        replace(report, validator=JUDGES[1]),
        replace(report, round=2),
        replace(report, salts=(SALT, bytes(32))),
        replace(report, scores=(report.scores[0], (Ppm(3),))),
        replace(report, signatures=report.signatures[::-1]),
    ):
        relay.refuse(Reason.BAD_SIGNATURE, STRANGER, wrong)


def test_who_has_no_stake_left_has_nothing_to_lose() -> None:
    relay = Relay()
    relay.refuse(Reason.NOTHING_TO_SLASH, STRANGER, relay.two_reveals(OWNER))
    relay.do(STRANGER, relay.two_reveals(JUDGE))
    relay.refuse(Reason.NOTHING_TO_SLASH, STRANGER, relay.two_reveals(JUDGE, number=2))


@pytest.mark.parametrize("number", [1, 7])
def test_two_reveals_cost_the_whole_stake_whatever_the_round(number: int) -> None:
    relay = Relay()
    free = relay.free(STRANGER)
    assert relay.do(STRANGER, relay.two_reveals(JUDGE, number)) == (
        ValidatorEquivocated(relay.model, number, JUDGE, STRANGER, Wei(1_000), Wei(400)),
    )
    assert (relay.free(STRANGER) - free, relay.held.carry) == (400, 600)
    assert relay.held.stakes[JUDGE] == 0
    assert relay.held.validators == JUDGES


def test_a_stake_that_unbonds_is_lost_too() -> None:
    relay = Relay()
    relay.do(JUDGE, Unstake(relay.model))
    relay.do(JUDGE, Stake(relay.model, Wei(5_000)))
    (event,) = of(ValidatorEquivocated, relay.do(STRANGER, relay.two_reveals(JUDGE)))
    assert (event.amount, event.reward) == (6_000, 2_400)
    assert (relay.held.stakes[JUDGE], relay.held.unbonding) == (0, {})
    relay.now += RULES.unbonding_seconds
    relay.refuse(Reason.NOTHING_UNBONDING, JUDGE, Release(relay.model))


def test_a_stake_that_only_unbonds_is_lost_and_lists_nobody() -> None:
    relay = Relay()
    relay.do(JUDGE, Unstake(relay.model))
    assert of(ValidatorEquivocated, relay.do(STRANGER, relay.two_reveals(JUDGE)))
    assert JUDGE not in relay.held.stakes
    assert relay.held.unbonding == {}


def test_a_seat_keeps_its_weight_and_has_nothing_left_to_be_slashed_or_charged() -> None:
    relay = Relay(with_rules(committee_size=4))
    relay.lease(200, 100)
    relay.train()
    relay.judge((4_000, 2_000), (2_000, 4_000), None, (4_000, 2_000))
    _, straying, silent, _ = relay.seated()
    weights = [seat.weight for seat in relay.round.seats]
    for judge in (straying, silent):
        relay.do(STRANGER, relay.two_reveals(judge))
    assert [seat.weight for seat in relay.round.seats] == weights
    events = relay.settle()
    touched = {event.validator for event in events if isinstance(event, ValidatorSlashed | ValidatorCharged)}
    assert touched.isdisjoint({straying, silent})


def test_an_equivocator_gets_no_further_seat_until_it_stakes_again() -> None:
    relay = Relay(with_rules(committee_size=4, quorum=1))
    relay.do(STRANGER, relay.two_reveals(JUDGE))
    relay.whole_round((100,), (2_000,))
    relay.lease(100, offered=False)
    assert set(relay.seated()) == set(JUDGES[1:])
    relay.train()
    relay.judge(*[(2_000,)] * 3)
    relay.settle()
    relay.refuse(Reason.STAKE_TOO_SMALL, JUDGE, Stake(relay.model, Wei(999)))
    relay.do(JUDGE, Stake(relay.model, Wei(1_000)))
    relay.lease(100, offered=False)
    assert set(relay.seated()) == set(JUDGES)
