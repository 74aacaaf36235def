"""Rounds that end in a settlement, with every wei accounted for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derelayl_protocol import limits
from derelayl_protocol.ledger import commands, events
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import CheckpointRecord
from derelayl_protocol.types import UNAVAILABLE, WHOLE_MODEL, Ppm, Root, Timestamp, Wei

from .evm import account
from .game import Game
from .orders import agreement, bid_order, tip_order
from .relay import CREATOR, RULES, TRAINERS, VALIDATORS, root

FIRST, SECOND, THIRD, FOURTH, FIFTH = TRAINERS[:5]

AGREED = ((5000, 3000, -100),) * 3
"""All three seats give the same scores to three legs."""


def only(kind: type, recorded: tuple[events.Event, ...]) -> list[events.Event]:
    return [event for event in recorded if isinstance(event, kind)]


def test_a_whole_round_pays_trainer_parent_and_validators() -> None:
    game = Game()
    relay = game.relay
    game.send(CREATOR, commands.OfferTip, game.genesis)
    game.to_commit(40, 30, 20)
    game.judge((5000, 3000, -100), (5001, 3600, -90), (5002, 3601, UNAVAILABLE))
    before = {owner: relay.free(owner) for owner in (CREATOR, *TRAINERS[:3], *VALIDATORS[:4])}
    judged = game.view
    recorded = game.settle()

    pot = 20 + 20 + 2 * RULES.offer_deposit + RULES.emission  # two forfeited bonds with the deposits of their legs
    reward, royalty, share = pot * 6000 // 10_000, pot * 2500 // 10_000, pot * 1500 // 10_000
    settled = [event for event in recorded if isinstance(event, events.LegSettled)]
    assert [event.selected for event in settled] == [True, False, False]
    assert (settled[0].score, settled[0].reward, settled[0].royalty) == (5001, reward, royalty)
    assert [(event.bid_returned, event.forfeited) for event in settled] == [(20, 0), (0, 27), (0, 27)]
    assert only(events.DepositReturned, recorded) == [
        events.DepositReturned(game.model, 1, game.genesis, CREATOR, RULES.offer_deposit)
    ]
    paid = {event.validator: event for event in recorded if isinstance(event, events.ValidatorPaid)}
    fits = [agreement(judged, seat, RULES.agreement_ppm) for seat in range(3)]
    most = 3 * 2 * RULES.agreement_ppm
    assert 0 < min(fits) < max(fits) < most
    assert [(paid[seat.validator].agreement, paid[seat.validator].amount) for seat in judged.seats] == [
        (fit * 10**6 // most, share // 3 * fit // most) for fit in fits
    ]

    carry = pot - reward - royalty - sum(event.amount for event in paid.values())
    assert recorded[-2:] == (
        events.RoundSettled(game.model, 1, 1, Wei(pot), RULES.emission, Wei(carry)),
        events.PhaseChanged(game.model, 2, Phase.BID, Timestamp(0)),
    )
    assert relay.free(FIRST) == before[FIRST] + 20 + reward
    assert relay.free(CREATOR) == before[CREATOR] + RULES.offer_deposit
    assert relay.free(SECOND) == before[SECOND]
    model = relay.model(game.model, [game.genesis, root(1000)])
    assert (model.carry, model.budget, model.settled_rounds) == (carry, game.budget - RULES.emission, 1)
    assert model.checkpoints == {
        game.genesis: CheckpointRecord(CREATOR, parent=Root(bytes(32)), score=Ppm(0), round=0, pending=Wei(royalty)),
        root(1000): CheckpointRecord(FIRST, parent=game.genesis, score=Ppm(5001), round=1, pending=Wei(0)),
    }
    assert [(tip.root, tip.owner, tip.score, tip.offered) for tip in model.current.tips] == [
        (root(1000), FIRST, 5001, False)
    ]
    assert (model.current.bids, model.current.legs, model.current.seats) == ((), (), ())
    game.check_money()


def test_money_adds_up_after_every_step() -> None:
    game = Game()
    steps = [
        lambda: game.send(CREATOR, commands.OfferTip, game.genesis),
        lambda: game.bid(40, 30, 20, 50, 60),
        game.match,
        lambda: game.submit(0, 1, 3),
        lambda: game.to_reveal((5000, 1, UNAVAILABLE, 7000), (5000, 1, UNAVAILABLE, 7000)),
        lambda: game.reveal((5000, 1, UNAVAILABLE, 7000), (5000, 1, UNAVAILABLE, 7000)),
        game.settle,
    ]
    for step in steps:
        step()
        game.check_money()


def test_scores_add_up_along_a_lineage() -> None:
    game = Game()
    game.play(*AGREED)
    game.play(*AGREED)
    tip = game.view.tips[0]
    assert (tip.root, tip.score) == (root(2000), 10_000)
    record = game.relay.checkpoint(game.model, tip.root)
    assert record is not None
    assert (record.parent, record.round) == (root(1000), 2)


def test_the_best_are_selected_and_become_tips_in_order() -> None:
    game = Game(replace(RULES, selection_bps=6700))
    recorded = game.play(*[(2000, 5000, 3000)] * 3)
    assert [event.selected for event in recorded if isinstance(event, events.LegSettled)] == [False, True, True]
    assert [tip.root for tip in game.view.tips] == [root(1001), root(1002)]
    game.check_money()


def test_nothing_is_selected_below_the_margin() -> None:
    game = Game()
    recorded = game.play(*[(999, 999, UNAVAILABLE)] * 3)
    settled = next(event for event in recorded if isinstance(event, events.RoundSettled))
    assert (settled.selected, settled.emission, settled.pot) == (0, 0, 60)
    paid = sum(event.amount for event in recorded if isinstance(event, events.ValidatorPaid))
    assert settled.carry == 60 - paid
    assert [tip.root for tip in game.view.tips] == [game.genesis]
    game.check_money()


def test_two_legs_with_the_same_child_are_selected_once() -> None:
    game = Game(replace(RULES, selection_bps=10_000))
    game.to_train()
    view = game.view
    for leg, child in enumerate((root(7), root(7), root(8))):
        game.send(view.legs[leg].trainer, commands.SubmitLeg, leg, child)
    game.judge(*[(5000, 5000, 4000)] * 3)
    recorded = game.settle()
    assert [event.selected for event in recorded if isinstance(event, events.LegSettled)] == [True, False, True]
    assert [tip.root for tip in game.view.tips] == [root(7), root(8)]
    game.check_money()


def test_of_legs_that_most_of_the_weight_says_are_copies_the_best_is_selected() -> None:
    game = Game(replace(RULES, selection_bps=10_000))
    game.to_commit(40, 30, 20)
    copies, else_ = (0, 0, 1), (0, 1, 2)
    game.judge(*[(4000, 5000, 6000)] * 3, originals=(copies, copies, else_))
    recorded = game.settle()
    assert [event.selected for event in recorded if isinstance(event, events.LegSettled)] == [False, False, True]
    game.check_money()


def test_copies_make_no_room_for_more_selected_legs() -> None:
    game = Game(replace(RULES, selection_bps=5000))
    game.to_commit(50, 40, 30, 20)
    game.judge(*[(6000, 5000, 4000, 3000)] * 3, originals=((0, 0, 0, 3),) * 3)
    recorded = game.settle()
    assert [event.selected for event in recorded if isinstance(event, events.LegSettled)] == [True, False, False, False]


@pytest.mark.parametrize("rule", [0, 9500])
def test_half_of_the_weight_makes_no_copies_nor_does_a_model_without_the_rule(rule: int) -> None:
    game = Game(replace(RULES, selection_bps=10_000, duplicate_bps=rule, committee_size=4), validators=4)
    game.to_commit(40, 30)
    copied = 4 if rule == 0 else 2
    game.relay.send(VALIDATORS[0], commands.Stake(game.model, Wei(1000)))  # the weight is that of the seating
    game.judge(*[(5000, 4000)] * 4, originals=[(0, 0) if seat < copied else (0, 1) for seat in by_weight(game)])
    recorded = game.settle()
    assert [event.selected for event in recorded if isinstance(event, events.LegSettled)] == [True, True]


def by_weight(game: Game) -> list[int]:
    """For each seat its rank, so that the first and the last of four are not above half, whatever the stakes are."""
    weights = sorted(seat.weight for seat in game.view.seats)
    return [[0, 3, 2, 1][weights.index(seat.weight)] for seat in game.view.seats]


def test_the_median_is_by_weight_and_the_lower_of_two() -> None:
    game = Game(replace(RULES, committee_size=4), validators=4)
    heavy = VALIDATORS[0]
    game.relay.send(heavy, commands.Stake(game.model, Wei(2006)))  # as much as the three others together
    game.to_train(40)
    game.submit()
    rows = [(1500,) if seat.validator == heavy else (9000,) for seat in game.view.seats]
    game.judge(*rows)
    recorded = game.settle()
    settled = next(event for event in recorded if isinstance(event, events.LegSettled))
    assert settled.score == 1500


def test_a_silent_seat_is_slashed_into_the_pot() -> None:
    game = Game()
    game.to_commit()
    game.judge((5000, 0, 0), (5000, 0, 0), None)
    silent = game.view.seats[2]
    recorded = game.settle()
    loss = silent.weight * RULES.slash_bps // 10_000
    assert only(events.ValidatorSlashed, recorded) == [
        events.ValidatorSlashed(game.model, 1, silent.validator, Wei(loss))
    ]
    assert game.relay.stake(game.model, silent.validator) == silent.weight - loss
    settled = next(event for event in recorded if isinstance(event, events.RoundSettled))
    assert settled.pot == 40 + loss + RULES.emission
    game.check_money()


def test_seats_that_tell_the_legs_apart_get_their_whole_share() -> None:
    game = Game()
    recorded = game.play(*[(5000, 3000)] * 3, bids=(40, 30))
    share = (30 + RULES.emission) * 1500 // 10_000 // 3
    assert [(event.agreement, event.amount) for event in recorded if isinstance(event, events.ValidatorPaid)] == [
        (10**6, share)
    ] * 3
    assert not only(events.ValidatorCharged, recorded)
    game.check_money()


FOUR = replace(RULES, committee_size=4)
"""Four seats: one that is wrong is outvoted among the three others of each of the rest."""


def test_a_constant_answer_earns_and_costs_nothing() -> None:
    game = Game(FOUR)
    game.to_commit(40, 30)
    game.judge(*[(5000, 3000)] * 3, (5000, 5000))
    right = [seat.validator for seat in game.view.seats[:3]]
    recorded = game.settle()
    assert [event.validator for event in recorded if isinstance(event, events.ValidatorPaid)] == right
    assert not only(events.ValidatorCharged, recorded)
    game.check_money()


def test_a_seat_that_mixes_up_the_legs_is_charged_from_its_stake_to_the_carry() -> None:
    game = Game(FOUR)
    game.to_commit(40, 30)
    game.judge(*[(5000, 3000)] * 3, (3000, 5000))
    wrong = game.view.seats[3]
    recorded = game.settle()
    share = (30 + RULES.emission) * 1500 // 10_000 // 4
    charge = min(wrong.weight, share)
    assert only(events.ValidatorCharged, recorded) == [
        events.ValidatorCharged(game.model, 1, wrong.validator, Ppm(10**6), Wei(charge))
    ]
    assert game.relay.stake(game.model, wrong.validator) == wrong.weight - charge
    settled = next(event for event in recorded if isinstance(event, events.RoundSettled))
    paid = sum(event.amount for event in recorded if isinstance(event, events.ValidatorPaid))
    rewarded = sum(event.reward + event.royalty for event in recorded if isinstance(event, events.LegSettled))
    assert settled.carry == settled.pot - paid - rewarded + charge
    game.check_money()


def test_a_single_leg_pays_no_validator() -> None:
    game = Game()
    recorded = game.play(*[(5000,)] * 3, bids=(40,))
    assert not only(events.ValidatorPaid, recorded)
    assert not only(events.ValidatorCharged, recorded)
    game.check_money()


def test_a_seat_that_reveals_alone_is_not_paid() -> None:
    game = Game(replace(RULES, quorum=1))
    game.to_commit(40, 30)
    game.judge((5000, 3000), None, None)
    recorded = game.settle()
    assert not only(events.ValidatorPaid, recorded)
    assert len(only(events.ValidatorSlashed, recorded)) == 2
    game.check_money()


@pytest.mark.parametrize("heavy", [0, 1, 2])
def test_a_seat_is_compared_with_the_weighted_median_of_the_others(heavy: int) -> None:
    """One seat outweighs the two others together: they are compared with it, it with them."""
    game = Game(replace(RULES, agreement_ppm=Ppm(20_000)), validators=3)
    game.relay.send(VALIDATORS[heavy], commands.Stake(game.model, Wei(5000)))
    game.to_commit(40, 30, 20)
    game.judge((9000, 100, UNAVAILABLE), (5000, 4000, -2000), (-900, 7000, 50))
    judged = game.view
    fits = [agreement(judged, seat, 20_000) for seat in range(3)]
    recorded = game.settle()
    results = {
        event.validator: event.agreement if isinstance(event, events.ValidatorPaid) else -event.disagreement
        for event in recorded
        if isinstance(event, events.ValidatorPaid | events.ValidatorCharged)
    }
    most = 3 * 2 * 20_000
    found = [results.get(seat.validator, 0) for seat in judged.seats]
    assert found == [fit * 10**6 // most if fit > 0 else -(-fit * 10**6 // most) for fit in fits]
    game.check_money()


def test_emission_halves_and_ends_with_the_budget() -> None:
    game = Game(replace(RULES, halving_rounds=1), budget=1_000_003 + 500_001 + 100)
    emissions = [
        event.emission for _ in range(4) for event in game.play(*AGREED) if isinstance(event, events.RoundSettled)
    ]
    assert emissions == [1_000_003, 500_001, 100, 0]


def test_legs_follow_the_orders_and_surplus_bids_return() -> None:
    game = Game(replace(RULES, legs_per_tip=2, selection_bps=10_000, min_bid=Wei(1)))
    game.play(*[(5000, 9000)] * 3, bids=(40, 30))
    better, worse = root(1001), root(1000)
    assert [tip.root for tip in game.view.tips] == [better, worse]
    game.send(FIRST, commands.OfferTip, worse)  # an offered tip ranks before a better one
    for trainer, amount in zip(TRAINERS[2:8], (1, 5, 3, 5, 2, 4), strict=True):
        game.send(trainer, commands.PlaceBid, WHOLE_MODEL, Wei(amount))
    order, tips = bid_order(game.view), tip_order(game.view)
    recorded = game.match()
    view = game.view
    assert [view.tips[index].root for index in tips] == [worse, better]
    assert [leg.trainer for leg in view.legs] == [view.bids[index].trainer for index in order[:4]]
    assert [(leg.bid, leg.parent, leg.deposit) for leg in view.legs] == [
        (3, worse, RULES.offer_deposit),
        (3, worse, RULES.offer_deposit),
        (3, better, 0),
        (3, better, 0),
    ]
    returned = [(event.trainer, event.amount) for event in recorded if isinstance(event, events.BidReturned)]
    excess = [(leg.trainer, amount) for leg, amount in zip(view.legs, (2, 2, 1), strict=False)]
    assert returned == [*excess, (TRAINERS[6], 2), (TRAINERS[2], 1)], "every bond is the lowest bid that got a leg"
    assert not only(events.DepositReturned, recorded)
    game.check_money()


def test_in_a_full_round_a_higher_bid_displaces_the_latest_of_the_lowest() -> None:
    game = Game(trainers=33)
    game.bid(30, 20, 20, *[40] * (limits.MAX_BIDS - 3))
    late, loser = TRAINERS[32], TRAINERS[2]
    before = game.relay.free(loser), game.relay.free(late)
    recorded = game.send(late, commands.PlaceBid, 2, Wei(21))
    assert recorded == (
        events.BidPlaced(game.model, 1, late, 2, Wei(21)),
        events.BidDisplaced(game.model, 1, loser, late, Wei(20)),
    )
    assert (game.relay.free(loser), game.relay.free(late)) == (before[0] + 20, before[1] - 21)
    assert (game.view.bids[2].trainer, game.view.bids[2].segment) == (late, 2)
    assert len(game.view.bids) == limits.MAX_BIDS
    assert game.send(loser, commands.PlaceBid, 0, Wei(50))[1] == events.BidDisplaced(
        game.model, 1, TRAINERS[1], loser, Wei(20)
    )
    game.check_money()


def test_the_unused_part_of_an_offer_returns_at_matching() -> None:
    game = Game()
    game.send(CREATOR, commands.OfferTip, game.genesis)
    game.bid(40)
    recorded = game.match()
    assert recorded[0] == events.DepositReturned(game.model, 1, game.genesis, CREATOR, Wei(3 * RULES.offer_deposit))
    assert [type(event).__name__ for event in recorded[1:]] == ["LegLeased", "CommitteeSeated", "PhaseChanged"]
    game.check_money()


def test_phases_end_early_when_all_have_acted() -> None:
    game = Game()
    game.bid(40)
    assert game.view.deadline == game.relay.evm.now + RULES.bid_seconds
    game.match()
    assert game.view.deadline == game.relay.evm.now + RULES.train_seconds
    game.submit(0)
    assert (game.view.phase, game.view.deadline) == (Phase.COMMIT, game.relay.evm.now + RULES.commit_seconds)
    game.commit((5000,), (5000,), (5000,))
    assert (game.view.phase, game.view.deadline) == (Phase.REVEAL, game.relay.evm.now + RULES.reveal_seconds)
    game.reveal((5000,), (5000,), (5000,))
    assert (game.view.phase, game.view.deadline) == (Phase.SETTLE, 0)


def test_a_withdrawal_moves_tokens_back_to_the_wallet() -> None:
    game = Game()
    wallet, free = game.relay.wallet(FIRST), game.relay.free(FIRST)
    recorded = game.relay.send(FIRST, commands.Withdraw(Wei(400)))
    assert recorded == (events.Withdrawn(FIRST, Wei(400)),)
    assert (game.relay.wallet(FIRST), game.relay.free(FIRST)) == (wallet + 400, free - 400)


def test_the_last_validator_moves_up_when_one_leaves() -> None:
    game = Game()
    game.relay.send(VALIDATORS[1], commands.Unstake(game.model))
    assert game.relay.model(game.model).validators == (VALIDATORS[0], VALIDATORS[3], VALIDATORS[2])
    game.relay.send(VALIDATORS[2], commands.Unstake(game.model))
    assert game.relay.model(game.model).validators == (VALIDATORS[0], VALIDATORS[3])
    game.check_money()


def test_a_stranger_s_account_is_empty() -> None:
    game = Game()
    stranger = account(999)
    assert (game.relay.free(stranger), game.relay.stake(game.model, stranger)) == (0, 0)
    assert game.relay.checkpoint(game.model, root(5)) is None
