"""Rounds that end without a settlement: what returns, what is forfeited, who is slashed, what begins."""

from __future__ import annotations

from dataclasses import replace

from derelayl_protocol.ledger import commands, events
from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.types import UNAVAILABLE, Timestamp, Wei

from .game import Game
from .relay import CREATOR, RULES, TRAINERS, VALIDATORS

JUDGED = (5000, UNAVAILABLE, UNAVAILABLE)
"""Scores of three legs of which the first was submitted."""


def kinds(recorded: tuple[events.Event, ...]) -> list[str]:
    return [type(event).__name__ for event in recorded]


def voided(game: Game, recorded: tuple[events.Event, ...]) -> VoidReason:
    """The reason, after checks that hold for every void."""
    assert recorded[-1] == events.PhaseChanged(game.model, 2, Phase.BID, Timestamp(0))
    view = game.view
    assert (view.number, view.phase, view.bids, view.legs, view.seats) == (2, Phase.BID, (), (), ())
    assert [(tip.root, tip.offered) for tip in view.tips] == [(game.genesis, False)]
    assert game.relay.model(game.model).settled_rounds == 0
    game.check_money()
    event = recorded[-2]
    assert isinstance(event, events.RoundVoided)
    return event.reason


def test_too_small_a_committee_returns_bids_and_offers() -> None:
    game = Game(validators=1)
    free = [game.relay.free(owner) for owner in (CREATOR, *TRAINERS[:2])]
    game.send(CREATOR, commands.OfferTip, game.genesis)
    game.bid(20, 40)
    recorded = game.match()
    assert voided(game, recorded) is VoidReason.COMMITTEE_TOO_SMALL
    assert kinds(recorded) == ["BidReturned", "BidReturned", "DepositReturned", "RoundVoided", "PhaseChanged"]
    assert [event.amount for event in recorded if isinstance(event, events.BidReturned)] == [20, 40]
    assert [game.relay.free(owner) for owner in (CREATOR, *TRAINERS[:2])] == free


def test_bidders_owners_and_slashed_validators_get_no_seat() -> None:
    game = Game(replace(RULES, committee_size=15, quorum=1, slash_bps=10_000), validators=5)
    game.to_commit(40)
    assert len(game.view.seats) == 5
    game.judge((5000,), (5000,), (5000,), (5000,), None)
    silent = game.view.seats[4].validator
    game.settle()
    assert game.relay.stake(game.model, silent) == 0
    bidder = next(owner for owner in VALIDATORS[:5] if owner != silent)
    game.relay.send(TRAINERS[0], commands.Stake(game.model, RULES.validator_stake))  # owns the only tip
    game.send(bidder, commands.PlaceBid, 0, Wei(40))
    game.match()
    seated = {seat.validator for seat in game.view.seats}
    assert seated == set(VALIDATORS[:5]) - {silent, bidder}
    assert silent in game.relay.model(game.model).validators
    game.check_money()


def test_nothing_submitted_forfeits_every_bid() -> None:
    game = Game()
    game.send(CREATOR, commands.OfferTip, game.genesis)
    game.to_train()
    recorded = game.advance()
    assert voided(game, recorded) is VoidReason.NOTHING_SUBMITTED
    assert kinds(recorded) == ["LegSettled", "DepositReturned"] * 3 + ["RoundVoided", "PhaseChanged"]
    settled = [event for event in recorded if isinstance(event, events.LegSettled)]
    assert [(event.child, event.score, event.forfeited) for event in settled] == [
        (bytes(32), UNAVAILABLE, amount) for amount in (20, 20, 20)
    ]
    assert game.relay.model(game.model).carry == 60


def test_too_few_commits_returns_submitted_legs_and_slashes_who_did_not_commit() -> None:
    game = Game()
    game.send(CREATOR, commands.OfferTip, game.genesis)
    game.to_train()
    game.submit(0)
    game.commit(JUDGED)
    silent = game.view.seats[1:]
    recorded = game.advance()
    assert voided(game, recorded) is VoidReason.TOO_FEW_COMMITS
    settled = [event for event in recorded if isinstance(event, events.LegSettled)]
    assert [(event.bid_returned, event.forfeited) for event in settled] == [(20, 0), (0, 20), (0, 20)]
    assert [(event.score, event.selected, event.reward) for event in settled] == [(UNAVAILABLE, False, 0)] * 3
    slashed = [event for event in recorded if isinstance(event, events.ValidatorSlashed)]
    assert [event.validator for event in slashed] == [seat.validator for seat in silent]
    assert game.relay.model(game.model).carry == 20 + 20 + sum(event.amount for event in slashed)


def test_too_few_reveals_slashes_who_committed_and_who_did_not() -> None:
    game = Game()
    game.to_train()
    game.submit(0)
    game.to_reveal(JUDGED, JUDGED, None)
    game.reveal(JUDGED)
    silent = game.view.seats[1:]
    recorded = game.advance()
    assert voided(game, recorded) is VoidReason.TOO_FEW_REVEALS
    slashed = [event for event in recorded if isinstance(event, events.ValidatorSlashed)]
    assert [event.validator for event in slashed] == [seat.validator for seat in silent]
    assert [event.amount for event in slashed] == [seat.weight // 10 for seat in silent]


def test_carry_of_a_void_enters_the_next_pot() -> None:
    game = Game()
    game.to_train()
    game.advance()
    recorded = game.play((5000, 0, 0), (5000, 0, 0), (5000, 0, 0))
    settled = next(event for event in recorded if isinstance(event, events.RoundSettled))
    assert settled.pot == 60 + 40 + RULES.emission
    game.check_money()


def test_a_tip_whose_legs_mostly_went_missing_ranks_last_until_every_tip_does() -> None:
    game = Game(replace(RULES, legs_per_tip=3, selection_bps=10_000))
    game.play(*[(9000, 5000)] * 3, bids=(40, 30))
    best, second = (tip.root for tip in game.view.tips)
    game.to_train(40, 30, 20)
    assert {leg.parent for leg in game.view.legs} == {best}
    game.submit(1)
    game.advance()
    assert [(tip.root, tip.stalled) for tip in game.view.tips] == [(best, True), (second, False)]
    game.send(game.view.tips[0].owner, commands.OfferTip, best)  # an offer does not help
    game.to_train(40, 30)
    assert {leg.parent for leg in game.view.legs} == {second}
    game.submit(0)
    game.advance()
    assert [tip.stalled for tip in game.view.tips] == [True, False], "half of the legs are enough"
    game.to_train(40, 30)
    game.advance()
    assert [tip.stalled for tip in game.view.tips] == [False, False]
    game.check_money()
