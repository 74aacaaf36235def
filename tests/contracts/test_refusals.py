"""What the ledger refuses, and why: every custom error, each test named after its condition."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from derelayl_protocol import limits
from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger import commands
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.rules import BOUNDS
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Ppm, Root, Timestamp, Wei

from .game import Game
from .orders import bid_order, own_originals, seats_by_score, settlement_order, tip_order
from .relay import CREATOR, RULES, TRAINERS, UNKNOWN, Relay, root

FIRST, SECOND, THIRD = TRAINERS[:3]
TOO_LARGE = Wei(limits.MAX_AMOUNT_WEI + 1)


ROWS = ((5000, 4000, UNAVAILABLE), (5000, 4001, UNAVAILABLE), None)
"""Two of three seats judge two submitted legs of three."""


@lru_cache
def reached(phase: Phase) -> Game:
    """A game in that phase: three legs, of which two are submitted, or three where it is to be settled."""
    game = Game()
    if phase is not Phase.BID:
        game.to_train()
    if phase in (Phase.COMMIT, Phase.REVEAL):
        game.submit(0, 1)
    if phase is Phase.REVEAL:
        game.to_reveal(*ROWS)
    if phase is Phase.SETTLE:
        game.submit()
        game.judge((5000, 4000, 3000), (5000, 4001, 3000), (5000, 4002, 3000))
    return game


@pytest.fixture
def game() -> Game:
    return Game()


@pytest.fixture
def training() -> Game:
    return reached(Phase.TRAIN).fork()


@pytest.fixture
def committing() -> Game:
    return reached(Phase.COMMIT).fork()


@pytest.fixture
def revealing() -> Game:
    return reached(Phase.REVEAL).fork()


@pytest.fixture
def settling() -> Game:
    return reached(Phase.SETTLE).fork()


def seat_of(game: Game, index: int) -> Any:
    return game.view.seats[index].validator


# --- money ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [commands.Deposit, commands.Withdraw])
def test_token_movement_of_zero(game: Game, make: Any) -> None:
    game.relay.refuses(Reason.ZERO_AMOUNT, FIRST, make(Wei(0)))


@pytest.mark.parametrize("make", [commands.Deposit, commands.Withdraw])
def test_token_movement_too_large(game: Game, make: Any) -> None:
    game.relay.refuses(Reason.AMOUNT_TOO_LARGE, FIRST, make(TOO_LARGE))


def test_deposit_of_more_than_the_wallet_holds(game: Game) -> None:
    game.relay.refuses(Reason.INSUFFICIENT_BALANCE, FIRST, commands.Deposit(Wei(game.relay.wallet(FIRST) + 1)))


def test_withdrawal_of_more_than_is_free(game: Game) -> None:
    game.relay.refuses(Reason.INSUFFICIENT_BALANCE, FIRST, commands.Withdraw(Wei(game.relay.free(FIRST) + 1)))


@pytest.mark.parametrize("make", [commands.Fund, commands.Stake])
@pytest.mark.parametrize(
    ("amount", "reason"),
    [(0, Reason.ZERO_AMOUNT), (TOO_LARGE, Reason.AMOUNT_TOO_LARGE), (10**9 + 1, Reason.INSUFFICIENT_BALANCE)],
)
def test_funding_or_staking_a_wrong_amount(game: Game, make: Any, amount: int, reason: Reason) -> None:
    game.relay.refuses(reason, FIRST, make(game.model, Wei(amount)))


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "bounds"), BOUNDS.items())
def test_rule_outside_its_bounds(game: Game, name: str, bounds: tuple[int, int]) -> None:
    for value in (bounds[0] - 1, bounds[1] + 1):
        changed: dict[str, Any] = {name: value}
        command = commands.CreateModel(replace(RULES, **changed), root(1), Wei(0))
        game.relay.refuses(Reason.BAD_RULES, CREATOR, command)


@pytest.mark.parametrize(
    "changed",
    [
        {"trainer_bps": RULES.trainer_bps + 1},
        {"validator_bps": RULES.validator_bps - 1},
        {"quorum": RULES.committee_size + 1},
    ],
)
def test_rules_that_contradict_each_other(game: Game, changed: dict[str, Any]) -> None:
    command = commands.CreateModel(replace(RULES, **changed), root(1), Wei(0))
    game.relay.refuses(Reason.BAD_RULES, CREATOR, command)


def test_genesis_of_zero(game: Game) -> None:
    game.relay.refuses(Reason.ZERO_ROOT, CREATOR, commands.CreateModel(RULES, Root(bytes(32)), Wei(0)))


def test_model_created_twice(game: Game) -> None:
    game.relay.refuses(Reason.MODEL_EXISTS, CREATOR, commands.CreateModel(RULES, game.genesis, Wei(0)))


@pytest.mark.parametrize(
    ("budget", "reason"), [(TOO_LARGE, Reason.AMOUNT_TOO_LARGE), (10**9 + 1, Reason.INSUFFICIENT_BALANCE)]
)
def test_budget_too_large(game: Game, budget: int, reason: Reason) -> None:
    game.relay.refuses(reason, CREATOR, commands.CreateModel(RULES, root(1), Wei(budget)))


@pytest.mark.parametrize(
    "command",
    [
        commands.Fund(UNKNOWN, Wei(1)),
        commands.Stake(UNKNOWN, Wei(1)),
        commands.Unstake(UNKNOWN),
        commands.PlaceBid(UNKNOWN, 1, 0, Wei(10)),
        commands.OfferTip(UNKNOWN, 1, root(0)),
        commands.MatchRound(UNKNOWN, 1, (0,), (0,)),
        commands.SubmitLeg(UNKNOWN, 1, 0, root(1)),
        commands.CommitScores(UNKNOWN, 1, root(1)),
        commands.RevealScores(UNKNOWN, 1, (), (), root(1)),
        commands.SettleRound(UNKNOWN, 1, (), ()),
        commands.Advance(UNKNOWN, 1),
        commands.CollectRoyalty(UNKNOWN, root(0), 1),
        commands.Release(UNKNOWN),
        commands.BuyAccess(UNKNOWN, root(0)),
        commands.BidBySig(UNKNOWN, 1, ()),
        commands.SubmitBySig(UNKNOWN, 1, ()),
        commands.CommitBySig(UNKNOWN, 1, ()),
        commands.RevealBySig(UNKNOWN, 1, ()),
        commands.ReportManifests(UNKNOWN, 1, 0, (root(0), root(1)), (bytes(64), bytes(64))),
        commands.ReportReveals(UNKNOWN, 1, FIRST, ((), ()), ((), ()), (root(0), root(1)), (bytes(64), bytes(64))),
    ],
    ids=lambda command: type(command).__name__,
)
def test_unknown_model(game: Game, command: commands.Command) -> None:
    game.relay.refuses(Reason.UNKNOWN_MODEL, CREATOR, command)


# --- stakes -----------------------------------------------------------------------------------------------------------


def test_stake_below_the_rule(game: Game) -> None:
    game.relay.refuses(Reason.STAKE_TOO_SMALL, FIRST, commands.Stake(game.model, Wei(999)))


def test_unstaking_without_stake(game: Game) -> None:
    game.relay.refuses(Reason.NO_STAKE, FIRST, commands.Unstake(game.model))


def test_unstaking_with_a_seat(training: Game) -> None:
    training.relay.refuses(Reason.STAKE_IN_USE, seat_of(training, 0), commands.Unstake(training.model))


# --- rounds and phases ------------------------------------------------------------------------------------------------

ROUND_CALLS = [
    (commands.PlaceBid, (0, Wei(10)), Phase.BID),
    (commands.OfferTip, (root(0),), Phase.BID),
    (commands.MatchRound, ((0,), (0,)), Phase.BID),
    (commands.SubmitLeg, (0, root(1)), Phase.TRAIN),
    (commands.CommitScores, (root(1),), Phase.COMMIT),
    (commands.RevealScores, ((), (), root(1)), Phase.REVEAL),
    (commands.SettleRound, ((), ()), Phase.SETTLE),
    (commands.BidBySig, ((),), Phase.BID),
    (commands.SubmitBySig, ((),), Phase.TRAIN),
    (commands.CommitBySig, ((),), Phase.COMMIT),
    (commands.RevealBySig, ((),), Phase.REVEAL),
]


@pytest.mark.parametrize("number", [0, 2, 2**64 - 1])
def test_another_round(game: Game, number: int) -> None:
    for make, arguments, _ in ROUND_CALLS:
        game.relay.refuses(Reason.WRONG_ROUND, FIRST, make(game.model, number, *arguments))
    game.relay.refuses(Reason.WRONG_ROUND, FIRST, commands.Advance(game.model, number))
    proof = (0, (root(0), root(1)), (bytes(64), bytes(64)))
    game.relay.refuses(Reason.WRONG_ROUND, FIRST, commands.ReportManifests(game.model, number, *proof))


@pytest.mark.parametrize("phase", Phase)
def test_another_phase(phase: Phase) -> None:
    game = reached(phase).fork()
    for make, arguments, wanted in ROUND_CALLS:
        if wanted is not phase:
            game.refuses(Reason.WRONG_PHASE, FIRST, make, *arguments)


@pytest.mark.parametrize("phase", [Phase.BID, Phase.SETTLE])
def test_nothing_to_advance(phase: Phase) -> None:
    reached(phase).fork().refuses(Reason.NOTHING_TO_ADVANCE, FIRST, commands.Advance)


@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.COMMIT, Phase.REVEAL])
def test_advancing_one_second_too_early(phase: Phase) -> None:
    game = reached(phase).fork()
    game.pass_deadline()
    game.relay.evm.now = Timestamp(game.relay.evm.now - 1)
    game.refuses(Reason.TOO_EARLY, FIRST, commands.Advance)


def test_matching_before_any_bid(game: Game) -> None:
    game.refuses(Reason.TOO_EARLY, FIRST, commands.MatchRound, (), (0,))


def test_matching_one_second_too_early(game: Game) -> None:
    game.bid(40)
    game.pass_deadline()
    game.relay.evm.now = Timestamp(game.relay.evm.now - 1)
    game.refuses(Reason.TOO_EARLY, FIRST, commands.MatchRound, (0,), (0,))


def test_bidding_and_offering_at_the_deadline(game: Game) -> None:
    game.bid(40)
    game.pass_deadline()
    game.refuses(Reason.TOO_LATE, SECOND, commands.PlaceBid, 0, Wei(10))
    game.refuses(Reason.TOO_LATE, CREATOR, commands.OfferTip, game.genesis)


def test_submitting_at_the_deadline(training: Game) -> None:
    training.pass_deadline()
    training.refuses(Reason.TOO_LATE, FIRST, commands.SubmitLeg, 0, root(1))


def test_committing_at_the_deadline(committing: Game) -> None:
    committing.pass_deadline()
    committing.refuses(Reason.TOO_LATE, seat_of(committing, 0), commands.CommitScores, root(1))


def test_revealing_at_the_deadline(revealing: Game) -> None:
    revealing.pass_deadline()
    revealing.refuses(
        Reason.TOO_LATE, seat_of(revealing, 0), commands.RevealScores, ROWS[0], (0, 1, 2), revealing.salt(0)
    )


# --- bids and offers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segment", "amount", "reason"),
    [
        (3, 10, Reason.BAD_SEGMENT),
        (254, 10, Reason.BAD_SEGMENT),
        (256, 10, Reason.BAD_SEGMENT),
        (0, 0, Reason.ZERO_AMOUNT),
        (0, TOO_LARGE, Reason.AMOUNT_TOO_LARGE),
        (0, 9, Reason.BID_TOO_SMALL),
        (0, 10**9 + 1, Reason.INSUFFICIENT_BALANCE),
    ],
)
def test_bid_of_a_wrong_segment_or_amount(game: Game, segment: int, amount: int, reason: Reason) -> None:
    game.refuses(reason, FIRST, commands.PlaceBid, segment, Wei(amount))


def test_bidding_twice(game: Game) -> None:
    game.bid(40)
    game.refuses(Reason.ALREADY_BID, FIRST, commands.PlaceBid, WHOLE_MODEL, Wei(50))


@pytest.mark.parametrize("amount", [19, 20])
def test_a_bid_that_is_no_higher_than_any_of_a_full_round(amount: int) -> None:
    game = Game(trainers=33)
    game.bid(*[20] * 5, *[30] * (limits.MAX_BIDS - 5))
    game.refuses(Reason.TOO_MANY_BIDS, TRAINERS[32], commands.PlaceBid, 0, Wei(amount))
    game.refuses(Reason.TOO_MANY_BIDS, TRAINERS[0], commands.PlaceBid, 0, Wei(amount))
    game.refuses(Reason.ALREADY_BID, TRAINERS[0], commands.PlaceBid, 0, Wei(50))


def test_offering_what_is_not_a_tip(game: Game) -> None:
    game.refuses(Reason.NOT_A_TIP, CREATOR, commands.OfferTip, root(1))


def test_offering_another_s_tip(game: Game) -> None:
    game.refuses(Reason.NOT_THE_OWNER, FIRST, commands.OfferTip, game.genesis)


def test_offering_twice(game: Game) -> None:
    game.send(CREATOR, commands.OfferTip, game.genesis)
    game.refuses(Reason.ALREADY_OFFERED, CREATOR, commands.OfferTip, game.genesis)


def test_offering_with_too_little_free_balance(game: Game) -> None:
    game.relay.send(CREATOR, commands.Fund(game.model, Wei(game.relay.free(CREATOR) - 27)))
    game.refuses(Reason.INSUFFICIENT_BALANCE, CREATOR, commands.OfferTip, game.genesis)


# --- orders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [(0, 1), (0, 1, 2, 2), (0, 1, 1), (0, 1, 3), (1, 0, 2), (0, 2, 1), (2, 1, 0)])
def test_bid_order_incomplete_repeated_absent_or_unsorted(game: Game, wrong: tuple[int, ...]) -> None:
    game.bid(40, 30, 20)
    game.pass_deadline()
    assert bid_order(game.view) == (0, 1, 2)
    game.refuses(Reason.WRONG_ORDER, FIRST, commands.MatchRound, wrong, (0,))


def test_equal_bids_not_by_hash(game: Game) -> None:
    game.bid(30, 30)
    game.pass_deadline()
    game.refuses(Reason.WRONG_ORDER, FIRST, commands.MatchRound, bid_order(game.view)[::-1], (0,))


@lru_cache
def two_tips() -> Game:
    """A second round with one bid, ready to be matched."""
    game = Game(replace(RULES, selection_bps=10_000))
    game.play(*[(5000, 4000, 0)] * 3)
    game.bid(40)
    game.pass_deadline()
    return game


@pytest.mark.parametrize("wrong", [(), (0,), (0, 0), (0, 2), (1, 0), (0, 1, 1)])
def test_tip_order_incomplete_repeated_absent_or_unsorted(wrong: tuple[int, ...]) -> None:
    game = two_tips().fork()
    assert tip_order(game.view) == (0, 1)
    game.refuses(Reason.WRONG_ORDER, FIRST, commands.MatchRound, (0,), wrong)


def seats_of(game: Game, order: tuple[int, ...]) -> tuple[int, ...]:
    """The right seat order for that leg order, as if every leg in it existed."""
    legs = range(len(game.view.legs))
    return tuple(seat for leg in order for seat in seats_by_score(game.view, leg if leg in legs else 0))


@pytest.mark.parametrize("wrong", [(0, 1), (0, 1, 2, 2), (0, 0, 1), (0, 1, 3), (1, 0, 2), (0, 2, 1)])
def test_leg_order_incomplete_repeated_absent_or_unsorted(settling: Game, wrong: tuple[int, ...]) -> None:
    assert settlement_order(settling.view)[0] == (0, 1, 2)
    settling.refuses(Reason.WRONG_ORDER, FIRST, commands.SettleRound, wrong, seats_of(settling, wrong))


def test_leg_order_with_a_leg_not_submitted(revealing: Game) -> None:
    revealing.reveal(*ROWS)
    revealing.refuses(Reason.WRONG_ORDER, FIRST, commands.SettleRound, (0, 2), seats_of(revealing, (0, 2)))


def test_equal_medians_not_by_leg_number(game: Game) -> None:
    game.to_commit()
    game.judge(*[(5000, 5000, 5000)] * 3)
    game.refuses(Reason.WRONG_ORDER, FIRST, commands.SettleRound, (1, 0, 2), (0, 1, 2) * 3)


@pytest.mark.parametrize("cut", [0, 1, 8, 10])
def test_seat_order_too_short_or_too_long(settling: Game, cut: int) -> None:
    order, seats = settlement_order(settling.view)
    settling.refuses(Reason.WRONG_SEAT_ORDER, FIRST, commands.SettleRound, order, (*seats, 0)[:cut])


@pytest.mark.parametrize("place", range(9))
@pytest.mark.parametrize("wrong", ["absent", "the one before", "the one after"])
def test_seat_order_with_an_absent_a_repeated_or_a_misplaced_seat(settling: Game, place: int, wrong: str) -> None:
    order, right = settlement_order(settling.view)
    seats = list(right)
    start = place // 3 * 3
    seats[place] = 3 if wrong == "absent" else seats[start + (place - start + (1 if "after" in wrong else -1)) % 3]
    settling.refuses(Reason.WRONG_SEAT_ORDER, FIRST, commands.SettleRound, order, tuple(seats))


def test_equal_scores_not_by_seat_number(game: Game) -> None:
    game.to_commit()
    game.judge(*[(5000, 4000, 3000)] * 3)
    game.refuses(Reason.WRONG_SEAT_ORDER, FIRST, commands.SettleRound, (0, 1, 2), (0, 1, 2, 0, 2, 1, 0, 1, 2))


def test_seat_order_with_a_seat_that_did_not_reveal(revealing: Game) -> None:
    revealing.reveal(*ROWS)
    revealing.refuses(Reason.WRONG_SEAT_ORDER, FIRST, commands.SettleRound, (0, 1), (0, 2, 0, 1))


def test_the_first_fault_on_the_way_down_counts(settling: Game) -> None:
    right = seats_of(settling, (0, 1, 2))
    swapped = (*right[:3], right[4], right[3], right[5], *right[6:])
    settling.refuses(Reason.WRONG_SEAT_ORDER, FIRST, commands.SettleRound, (0, 1, 7), swapped)
    settling.refuses(Reason.WRONG_ORDER, FIRST, commands.SettleRound, (0, 7, 1), swapped)


# --- legs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leg", [3, 255, 256])
def test_submitting_to_no_leg(training: Game, leg: int) -> None:
    training.refuses(Reason.NO_SUCH_LEG, FIRST, commands.SubmitLeg, leg, root(1))


def test_submitting_to_another_s_lease(training: Game) -> None:
    training.refuses(Reason.NOT_YOUR_LEASE, SECOND, commands.SubmitLeg, 0, root(1))


def test_submitting_twice(training: Game) -> None:
    training.send(FIRST, commands.SubmitLeg, 0, root(1))
    training.refuses(Reason.ALREADY_SUBMITTED, FIRST, commands.SubmitLeg, 0, root(2))


def test_submitting_zero(training: Game) -> None:
    training.refuses(Reason.ZERO_ROOT, FIRST, commands.SubmitLeg, 0, bytes(32))


def test_submitting_a_checkpoint(training: Game) -> None:
    training.refuses(Reason.CHECKPOINT_EXISTS, FIRST, commands.SubmitLeg, 0, training.genesis)


# --- seats ------------------------------------------------------------------------------------------------------------


def test_committing_without_a_seat(committing: Game) -> None:
    committing.refuses(Reason.NOT_SEATED, FIRST, commands.CommitScores, root(1))


def test_committing_zero(committing: Game) -> None:
    committing.refuses(Reason.ZERO_COMMITMENT, seat_of(committing, 0), commands.CommitScores, bytes(32))


def test_committing_twice(committing: Game) -> None:
    committing.commit(ROWS[0])
    committing.refuses(Reason.ALREADY_COMMITTED, seat_of(committing, 0), commands.CommitScores, root(1))


def test_revealing_without_a_seat(revealing: Game) -> None:
    revealing.refuses(Reason.NOT_SEATED, FIRST, commands.RevealScores, ROWS[0], (0, 1, 2), root(1))


def test_revealing_what_was_not_committed(revealing: Game) -> None:
    revealing.refuses(Reason.NOT_COMMITTED, seat_of(revealing, 2), commands.RevealScores, ROWS[0], (0, 1, 2), root(1))


def test_revealing_twice(revealing: Game) -> None:
    revealing.reveal(ROWS[0])
    validator, salt = seat_of(revealing, 0), revealing.salt(0)
    revealing.refuses(Reason.ALREADY_REVEALED, validator, commands.RevealScores, ROWS[0], (0, 1, 2), salt)


@pytest.mark.parametrize(
    ("scores", "originals", "salt_of"),
    [
        ((5000, 4001, UNAVAILABLE), (0, 1, 2), 0),
        ((5000, 4000, UNAVAILABLE), (0, 0, 2), 0),
        ((5000, 4000, UNAVAILABLE), (0, 1, 2), 1),
    ],
    ids=["other scores", "other originals", "other salt"],
)
def test_revealing_something_else(
    revealing: Game, scores: tuple[int, ...], originals: tuple[int, ...], salt_of: int
) -> None:
    validator, salt = seat_of(revealing, 0), revealing.salt(salt_of)
    revealing.refuses(Reason.COMMIT_MISMATCH, validator, commands.RevealScores, scores, originals, salt)


@pytest.mark.parametrize(
    "scores",
    [
        (),
        (5000, 4000),
        (5000, 4000, UNAVAILABLE, UNAVAILABLE),
        (5000, 4000, 0),
        (limits.MAX_SCORE_PPM + 1, 0, UNAVAILABLE),
        (-limits.MAX_SCORE_PPM - 1, 0, UNAVAILABLE),
        (UNAVAILABLE + 1, 0, UNAVAILABLE),
    ],
)
def test_scores_missing_surplus_out_of_bounds_or_of_no_child(game: Game, scores: tuple[Ppm, ...]) -> None:
    game.to_train()
    game.submit(0, 1)
    game.to_reveal(scores, scores)
    named = own_originals(scores)
    game.refuses(Reason.BAD_SCORES, seat_of(game, 0), commands.RevealScores, scores, named, game.salt(0))


@pytest.mark.parametrize(
    "originals",
    [(0, 1), (0, 1, 2, 0), (1, 1, 2), (0, 2, 2), (0, 1, 0), (0, 31, 2)],
    ids=["missing", "surplus", "of the first leg", "a later leg", "of no child", "no leg"],
)
def test_originals_missing_surplus_later_or_of_no_child(game: Game, originals: tuple[int, ...]) -> None:
    game.to_train()
    game.submit(0, 1)
    scores = (Ppm(5000), Ppm(4000), UNAVAILABLE)
    game.to_reveal(scores, scores, originals=(originals,) * 2)
    game.refuses(Reason.BAD_SCORES, seat_of(game, 0), commands.RevealScores, scores, originals, game.salt(0))


def test_a_leg_of_no_child_for_an_original(game: Game) -> None:
    game.to_train()
    game.submit(1, 2)
    scores = (UNAVAILABLE, Ppm(5000), Ppm(4000))
    game.to_reveal(scores, scores)
    game.refuses(Reason.BAD_SCORES, seat_of(game, 0), commands.RevealScores, scores, (0, 0, 2), game.salt(0))


# --- royalties --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, limits.MAX_COLLECT_STEPS + 1, 256])
def test_steps_out_of_bounds(game: Game, steps: int) -> None:
    game.relay.refuses(Reason.BAD_STEPS, FIRST, commands.CollectRoyalty(game.model, game.genesis, steps))


def test_collecting_at_what_is_not_a_checkpoint(game: Game) -> None:
    game.relay.refuses(Reason.UNKNOWN_CHECKPOINT, FIRST, commands.CollectRoyalty(game.model, root(1), 1))


# --- all of them ------------------------------------------------------------------------------------------------------


def test_refused_commands_change_nothing(training: Game) -> None:
    before = training.relay.model(training.model, [training.genesis])
    training.refuses(Reason.NOT_YOUR_LEASE, SECOND, commands.SubmitLeg, 0, root(1))
    assert training.relay.model(training.model, [training.genesis]) == before
    training.check_money()


@pytest.mark.parametrize("name", ["roundOf", "modelOf", "validatorsOf"])
def test_view_of_an_unknown_model(name: str) -> None:
    relay = Relay()
    with pytest.raises(Exception, match="UnknownModel"):
        relay.view(name, UNKNOWN)
