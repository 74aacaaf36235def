"""What comes out of each attack, and by which rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derelayl_protocol.ledger.events import (
    BidDisplaced,
    Event,
    LegSettled,
    RoundSettled,
    RoundVoided,
    ValidatorCharged,
    ValidatorPaid,
    ValidatorSlashed,
)
from derelayl_protocol.ledger.presets import STANDARD
from derelayl_protocol.limits import MAX_BIDS
from derelayl_protocol.types import TOKEN, UNAVAILABLE, Address, Wei

from . import copies, holding, others, rings, trainers, validators
from .conduct import Conduct
from .income import CASES, capture, income
from .measuring import Attack, Range, Verdict, honest_history, measured, verdict_of
from .table import SECTIONS
from .world import IDLE, RULES, TRAINERS, VALIDATORS, World

ALL = [attack for _, attacks in SECTIONS for attack in attacks]
LOSING = [attack for attack in ALL if attack.verdict is Verdict.LOSES]
PAYING = {attack for attack in ALL if attack.verdict is Verdict.PAYS}


def played(attack: type[Attack], seed: int = 3) -> World:
    return World(seed, attack(), attack.rules).play()


def of_attackers(world: World, attack: type[Attack], kind: type[Event]) -> list[Event]:
    return [
        event
        for event in world.events
        if isinstance(event, kind) and getattr(event, "validator", None) in attack.attackers
    ]


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.__name__)
def test_an_attack_comes_out_as_the_table_says(attack: type[Attack]) -> None:
    assert verdict_of(measured(attack).gain) is attack.verdict


@pytest.mark.parametrize("attack", LOSING, ids=lambda attack: attack.__name__)
def test_who_does_not_attack_loses_little_by_an_attack_that_fails(attack: type[Attack]) -> None:
    """They lose at most what the attackers could have taken by honest play with the same luck."""
    outcome = measured(attack)
    bound = 0.05 * abs(outcome.gain.mean) + 0.5
    if attack is not validators.AgreedAnswers:
        assert outcome.victims.mean > -bound


def test_only_these_attacks_pay() -> None:
    """Each of them is explained in docs/SECURITY.md; one more, or one less, is news."""
    assert {
        trainers.Sniping,
        validators.Exaggeration,
        validators.AgreedAnswersOfMost,
        copies.FramingByMost,
        rings.BrazenRingOfEleven,
        rings.NudgingRingOfTwo,
        rings.NudgingRingOfEight,
        others.OwnerWithholdsAlone,
    } == PAYING


def test_the_same_seed_gives_the_same_history() -> None:
    assert played(trainers.Sniping).state == played(trainers.Sniping).state


# --- trainers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attack", [trainers.ChildWithheld, trainers.DuplicateRoot, trainers.FrontRun, trainers.StaleParent]
)
def test_a_child_that_is_not_the_leases_is_unavailable_to_every_seat(attack: type[Attack]) -> None:
    rounds = played(attack).settled
    judged = [
        seat.scores[number]
        for view in rounds
        for number, leg in enumerate(view.legs)
        if leg.trainer in attack.attackers and leg.parent != rounds[0].legs[0].parent
        for seat in view.seats
        if seat.scores is not None
    ]
    assert set(judged) == {UNAVAILABLE}


def test_a_copied_root_does_not_block_the_leg_that_it_was_copied_from() -> None:
    world = played(trainers.FrontRun)
    settled = [event for event in world.events if isinstance(event, LegSettled)]
    twins = [
        (one, other)
        for one in settled
        for other in settled
        if (one.round, one.child) == (other.round, other.child) and one.score == UNAVAILABLE != other.score
    ]
    assert twins
    assert not any(copy.selected for copy, _ in twins)
    assert any(original.selected for _, original in twins)


def test_no_poisoned_checkpoint_is_ever_accepted() -> None:
    world = played(trainers.PoisonedLeg)
    assert trainers.ATTACKER not in {record.owner for record in world.held.checkpoints.values()}


def test_32_tiny_bids_placed_first_keep_nobody_out() -> None:
    world = played(trainers.FullHouse)
    rounds = world.round.number - 1
    displaced = [event for event in world.events if isinstance(event, BidDisplaced)]
    assert len(displaced) == rounds * len(TRAINERS)
    assert {event.by for event in displaced} == set(TRAINERS)
    assert sum(isinstance(event, RoundSettled) for event in world.events) == rounds


def test_of_four_copies_of_one_training_one_at_most_is_selected() -> None:
    attackers = trainers.OneTrainingManyNames.attackers
    for world in (played(trainers.OneTrainingManyNames, seed) for seed in range(5)):
        trainer = {(view.number, leg): entry.trainer for view in world.settled for leg, entry in enumerate(view.legs)}
        settled = [event for event in world.events if isinstance(event, LegSettled)]
        chosen = [event.round for event in settled if event.selected and trainer[event.round, event.leg] in attackers]
        assert chosen
        assert len(chosen) == len(set(chosen))


def test_stalling_costs_all_the_bonds_of_a_round_and_puts_the_first_tip_last() -> None:
    histories = [played(holding.Stalling, seed) for seed in range(10)]
    stalled = 0
    for world in histories:
        assert isinstance(world.conduct, holding.Stalling)
        voided = {event.round for event in world.events if isinstance(event, RoundVoided)}
        assert voided == ({world.conduct.stalled} if world.conduct.stalled else set())
        for event in world.events:
            if isinstance(event, LegSettled) and event.round in voided:
                assert event.forfeited == 6 * TOKEN
                stalled += 1
    assert stalled >= MAX_BIDS


@given(seed=st.integers(0, 2**32), junk=st.integers(4, 8))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_four_or_more_junk_legs_never_bring_back_their_bonds(seed: int, junk: int) -> None:
    """They lift the number of selected legs, but what one leg gains by that is less than what they forfeit."""

    class Junk(copies.JunkLegs):
        attackers = (trainers.ATTACKER, *IDLE[:junk])

    gain = World(seed, Junk()).play().wealth(Junk.attackers) - honest_history(seed, TRAINERS, RULES).wealth(
        Junk.attackers
    )
    assert gain < 0


def test_junk_legs_lose_in_the_mean_even_where_bonds_and_pot_are_those_of_the_preset() -> None:
    """A bond is a thousandth of a round's emission there, so a single history tells nothing: luck is larger."""

    class AtTheFloor(Conduct):
        def bid(self, world: World, trainer: Address) -> Wei:
            return world.rules.min_bid

    class Junk(copies.JunkLegs):
        attackers = (trainers.ATTACKER, *IDLE[:12])

        def bid(self, world: World, trainer: Address) -> Wei:
            return world.rules.min_bid

    rules = replace(
        RULES,
        selection_bps=STANDARD.selection_bps,
        margin_ppm=STANDARD.margin_ppm,
        min_bid=STANDARD.min_bid,
        offer_deposit=STANDARD.offer_deposit,
        emission=STANDARD.emission,
    )
    gains = [
        World(seed, Junk(), rules).play().wealth(Junk.attackers)
        - World(seed, AtTheFloor(), rules).play().wealth(Junk.attackers)
        for seed in range(20)
    ]
    assert verdict_of(Range.of(gains)) is Verdict.LOSES


# --- validators -------------------------------------------------------------------------------------------------------


def test_a_constant_answer_is_never_paid_and_never_charged() -> None:
    world = played(validators.ConstantAnswer)
    assert of_attackers(world, validators.ConstantAnswer, ValidatorPaid) == []
    assert of_attackers(world, validators.ConstantAnswer, ValidatorCharged) == []


def test_a_random_answer_is_charged_about_as_often_as_it_is_paid() -> None:
    worlds = [played(validators.RandomAnswer, seed) for seed in range(20)]
    paid = sum(len(of_attackers(world, validators.RandomAnswer, ValidatorPaid)) for world in worlds)
    charged = sum(len(of_attackers(world, validators.RandomAnswer, ValidatorCharged)) for world in worlds)
    assert 0.6 < paid / charged < 1.6


def test_a_guess_by_reputation_is_paid_less_than_half_of_what_measuring_is() -> None:
    outcome = measured(validators.ReputationAnswer)
    assert outcome.gain.mean < -outcome.honest.mean / 2


def test_exaggerating_pays_a_validator_a_tenth_at_most() -> None:
    outcome = measured(validators.Exaggeration)
    assert outcome.gain.mean < outcome.honest.mean / 10


@pytest.mark.parametrize("attack", [validators.CopiedCommit, validators.CommitWithoutReveal])
def test_every_seat_that_does_not_open_its_own_seal_is_slashed(attack: type[Attack]) -> None:
    world = played(attack)
    seats = sum(seat.validator in attack.attackers for view in world.settled for seat in view.seats)
    assert seats > 0
    assert len(of_attackers(world, attack, ValidatorSlashed)) == seats


def test_silence_of_a_third_voids_rounds_and_forfeits_nobodys_bid() -> None:
    worlds = [played(validators.VoidingMinority, seed) for seed in range(20)]
    voided = [event for world in worlds for event in world.events if isinstance(event, RoundVoided)]
    numbers = {(id(world), event.round) for world in worlds for event in world.events if isinstance(event, RoundVoided)}
    legs = [
        event
        for world in worlds
        for event in world.events
        if isinstance(event, LegSettled) and (id(world), event.round) in numbers
    ]
    assert voided
    assert sum(leg.forfeited for leg in legs) == 0


def test_the_choice_of_a_seed_costs_more_than_all_that_honest_seats_earn() -> None:
    outcome = measured(validators.LastRevealer)
    assert outcome.gain.mean < -outcome.honest.mean


# --- rings, owners, relayers ------------------------------------------------------------------------------------------


def test_a_brazen_ring_needs_more_than_two_fifths_of_the_validators() -> None:
    gains = [
        measured(ring).gain.mean
        for ring in (rings.BrazenRingOfFive, rings.BrazenRingOfEight, rings.BrazenRingOfNine, rings.BrazenRingOfEleven)
    ]
    assert gains == sorted(gains)
    assert gains[1] < 0 < gains[2]


def test_what_a_nudging_ring_takes_stays_below_what_honest_play_earns_it_up_to_a_tenth_of_the_validators() -> None:
    outcome = measured(rings.NudgingRingOfTwo)
    assert outcome.gain.mean < outcome.honest.mean / 3


def test_a_larger_committee_is_harder_to_capture() -> None:
    assert capture(9, 3, 5) == 15 / 126
    assert capture(20, 8, 11) < capture(20, 8, 5)
    assert capture(300, 100, 15) < capture(45, 15, 5) < capture(45, 20, 5)


def test_a_tip_outlives_the_owner_that_does_not_serve_it() -> None:
    assert measured(others.OwnerWithholds).victims.least == measured(others.OwnerWithholds).victims.greatest == 0


def test_a_wash_purchase_costs_at_least_the_share_of_the_pot() -> None:
    outcome = measured(others.WashAccess)
    world = played(others.WashAccess)
    bought = sum(len(buyers) for buyers in world.held.buyers.values())
    honest = honest_history(3, others.WashAccess.trainers, RULES)
    lost = honest.wealth(others.WashAccess.attackers) - world.wealth(others.WashAccess.attackers)
    assert bought > 0
    assert lost > 0
    assert outcome.gain.greatest <= 0


def test_a_dropped_commit_costs_only_who_never_looks() -> None:
    assert measured(others.RelayerDrops).victims.mean == 0
    trusting = measured(others.RelayerDropsTheTrusting)
    assert trusting.victims.greatest < 0
    assert trusting.gain.greatest == 0


# --- honest validators ------------------------------------------------------------------------------------------------


def test_measuring_pays_at_every_error_and_less_so_the_larger_it_is() -> None:
    incomes = [income(error, tolerance).tokens for error, tolerance in CASES[:5]]
    assert incomes == sorted(incomes, reverse=True)
    assert incomes[-1] > 0


def test_a_round_with_a_single_leg_pays_no_validator_and_carries_its_share_on() -> None:
    world = honest_history(0, TRAINERS[:1], RULES, rounds=1)
    assert [len(view.legs) for view in world.settled] == [1]
    assert not any(isinstance(event, ValidatorPaid | ValidatorCharged) for event in world.events)
    settled = next(event for event in world.events if isinstance(event, RoundSettled))
    assert settled.carry >= settled.pot * RULES.validator_bps // 10_000 > 0
    assert world.wealth(VALIDATORS) == 2_000 * TOKEN * len(VALIDATORS)
