"""Two signed messages where one was due: what is lost, who gets it, and what is no proof."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest

from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger import commands, events
from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.types import UNAVAILABLE, Address, Ppm, Timestamp, Wei

from .game import Game
from .relay import CREATOR, RULES, TRAINERS, VALIDATORS, root

FIRST, SECOND = TRAINERS[:2]
REPORTER = TRAINERS[7]
CHILDREN = root(7001), root(7002)
SCORES = ((Ppm(5000), UNAVAILABLE), (Ppm(5000), Ppm(4000)))
SALTS = b"\x01" * 32, b"\x01" * 32


@lru_cache
def reached(phase: Phase) -> Game:
    """A game in that phase: three legs of an offered tip, all submitted from COMMIT on."""
    game = Game(replace(RULES, selection_bps=10_000))
    game.send(CREATOR, commands.OfferTip, game.genesis)
    if phase is not Phase.BID:
        game.to_train(40, 30, 20)
    if phase in (Phase.COMMIT, Phase.REVEAL, Phase.SETTLE):
        game.submit()
    if phase in (Phase.REVEAL, Phase.SETTLE):
        game.to_reveal(*[(5000, 4000, 3000)] * 3)
    if phase is Phase.SETTLE:
        game.reveal(*[(5000, 4000, 3000)] * 3)
    return game


@pytest.fixture
def training() -> Game:
    return reached(Phase.TRAIN).fork()


def manifests(game: Game, leg: int = 0) -> commands.ReportManifests:
    return game.sign.manifests(game.model, game.number, leg, game.view.legs[leg].trainer, game.genesis, CHILDREN)


def reveals(game: Game, validator: Address, number: int = 1) -> commands.ReportReveals:
    return game.sign.reveals(game.model, number, validator, SCORES, SALTS)


# --- manifests --------------------------------------------------------------------------------------------------------


def test_manifests_of_no_leg(training: Game) -> None:
    training.relay.refuses(Reason.NO_SUCH_LEG, REPORTER, replace(manifests(training), leg=3))


def test_the_same_manifest_twice(training: Game) -> None:
    same = training.sign.manifests(training.model, 1, 0, FIRST, training.genesis, (CHILDREN[0], CHILDREN[0]))
    training.relay.refuses(Reason.SAME_MESSAGE, REPORTER, same)


def test_manifests_of_another_trainer_parent_round_or_signature(training: Game) -> None:
    sign, model = training.sign, training.model
    right = manifests(training)
    for wrong in [
        sign.manifests(model, 1, 0, SECOND, training.genesis, CHILDREN),
        sign.manifests(model, 1, 0, FIRST, root(9), CHILDREN),
        replace(sign.manifests(model, 2, 0, FIRST, training.genesis, CHILDREN), round=1),
        replace(right, leg=1),
        replace(right, signatures=(right.signatures[0], right.signatures[0])),
        replace(right, signatures=(bytes(64), right.signatures[1])),
    ]:
        training.relay.refuses(Reason.BAD_SIGNATURE, REPORTER, wrong)


def test_a_bid_is_lost_once(training: Game) -> None:
    training.relay.send(REPORTER, manifests(training))
    training.relay.refuses(Reason.NOTHING_TO_SLASH, REPORTER, manifests(training))


def test_no_lease_is_running_while_bids_are_placed() -> None:
    game = reached(Phase.BID).fork()
    proof = game.sign.manifests(game.model, 1, 0, FIRST, game.genesis, CHILDREN)
    game.relay.refuses(Reason.WRONG_PHASE, REPORTER, proof)


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.COMMIT, Phase.REVEAL, Phase.SETTLE])
def test_the_bond_goes_to_reporter_and_carry_in_every_later_phase(phase: Phase) -> None:
    game = reached(phase).fork()
    game.relay.evm.now = Timestamp(game.relay.evm.now + 10**6)  # a deadline that has passed does not matter
    free, carry = game.relay.free(REPORTER), game.relay.model(game.model).carry
    recorded = game.relay.send(REPORTER, manifests(game))
    assert recorded == (events.TrainerEquivocated(game.model, 1, 0, FIRST, REPORTER, Wei(20), Wei(4)),)
    assert game.relay.free(REPORTER) == free + 4
    assert game.relay.model(game.model).carry == carry + 16
    assert [leg.bid for leg in game.view.legs] == [0, 20, 20]


def test_the_leg_is_judged_and_never_selected_and_its_deposit_returns(training: Game) -> None:
    training.relay.send(REPORTER, manifests(training))
    training.submit()
    training.judge(*[(5000, 4000, 3000)] * 3)
    recorded = training.settle()
    legs = [event for event in recorded if isinstance(event, events.LegSettled)]
    assert [(leg.score, leg.selected, leg.bid_returned, leg.forfeited) for leg in legs] == [
        (5000, False, 0, 0),
        (4000, True, 20, 0),
        (3000, True, 20, 0),
    ]
    deposits = [event.amount for event in recorded if isinstance(event, events.DepositReturned)]
    assert deposits == [RULES.offer_deposit] * 3
    training.check_money()


def test_a_voided_round_returns_no_lost_bond(training: Game) -> None:
    training.relay.send(REPORTER, manifests(training))
    training.submit()
    recorded = training.advance()
    assert [event.reason for event in recorded if isinstance(event, events.RoundVoided)] == [VoidReason.TOO_FEW_COMMITS]
    legs = [event for event in recorded if isinstance(event, events.LegSettled)]
    assert [leg.bid_returned for leg in legs] == [0, 20, 20]
    training.check_money()


# --- reveals ----------------------------------------------------------------------------------------------------------


def test_the_same_reveal_twice(training: Game) -> None:
    same = training.sign.reveals(training.model, 1, VALIDATORS[0], (SCORES[0], SCORES[0]), SALTS)
    training.relay.refuses(Reason.SAME_MESSAGE, REPORTER, same)


def test_reveals_of_another_validator_round_or_signature(training: Game) -> None:
    right = reveals(training, VALIDATORS[0])
    for wrong in [
        replace(right, validator=VALIDATORS[1]),
        replace(right, round=2),
        replace(right, salts=(SALTS[0], bytes(32))),
        replace(right, signatures=(right.signatures[1], right.signatures[0])),
        replace(right, signatures=(bytes(64), bytes(64))),
    ]:
        training.relay.refuses(Reason.BAD_SIGNATURE, REPORTER, wrong)


def test_reveals_of_who_has_no_stake(training: Game) -> None:
    training.relay.refuses(Reason.NOTHING_TO_SLASH, REPORTER, reveals(training, FIRST))
    training.relay.send(REPORTER, reveals(training, VALIDATORS[0]))
    training.relay.refuses(Reason.NOTHING_TO_SLASH, REPORTER, reveals(training, VALIDATORS[0]))


@pytest.mark.parametrize("number", [0, 1, 99, 2**64 - 1])
def test_the_stake_goes_to_reporter_and_carry_for_any_round(training: Game, number: int) -> None:
    relay, validator = training.relay, VALIDATORS[2]
    free, stake = relay.free(REPORTER), relay.stake(training.model, validator)
    reward = stake * RULES.reporter_bps // 10_000
    recorded = relay.send(REPORTER, reveals(training, validator, number))
    assert recorded == (
        events.ValidatorEquivocated(training.model, number, validator, REPORTER, Wei(stake), Wei(reward)),
    )
    assert relay.free(REPORTER) == free + reward
    assert relay.stake(training.model, validator) == 0
    assert relay.model(training.model).carry == stake - reward


def test_the_same_scores_with_two_salts_are_two_reveals(training: Game) -> None:
    salts = SALTS[0], bytes(32)
    proof = training.sign.reveals(training.model, 1, VALIDATORS[0], (SCORES[0], SCORES[0]), salts)
    assert training.relay.send(REPORTER, proof)


def test_what_is_unbonding_is_lost_too_until_it_is_released() -> None:
    game = Game()
    validator, stake = VALIDATORS[0], RULES.validator_stake
    game.relay.send(validator, commands.Unstake(game.model))
    game.relay.send(validator, commands.Stake(game.model, Wei(stake + 5)))
    (event,) = game.relay.send(REPORTER, reveals(game, validator))
    assert isinstance(event, events.ValidatorEquivocated)
    assert event.amount == 2 * stake + 5
    assert game.relay.unbonding(game.model, validator).amount == 0
    game.relay.refuses(Reason.NOTHING_UNBONDING, validator, commands.Release(game.model))


def test_who_is_caught_keeps_its_seat_and_weight_in_the_running_round() -> None:
    game = reached(Phase.REVEAL).fork()
    seat = game.view.seats[0]
    game.relay.send(REPORTER, reveals(game, seat.validator))
    assert game.view.seats[0] == seat
    assert seat.validator in game.relay.model(game.model).validators
    game.relay.refuses(Reason.STAKE_IN_USE, seat.validator, commands.Unstake(game.model))
    game.reveal(*[(5000, 4000, 3000)] * 3)
    game.settle()
    game.relay.send(seat.validator, commands.Unstake(game.model))
    assert game.relay.unbonding(game.model, seat.validator).amount == 0


def test_who_reports_itself_still_loses_most() -> None:
    game = Game(replace(RULES, reporter_bps=5000))
    validator = VALIDATORS[0]
    free, stake = game.relay.free(validator), game.relay.stake(game.model, validator)
    game.relay.send(validator, reveals(game, validator))
    assert game.relay.free(validator) == free + stake // 2
