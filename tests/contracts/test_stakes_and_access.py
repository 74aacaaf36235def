"""Stakes that unbond, seats that need half a stake, and access that is paid for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger import commands, events
from derelayl_protocol.ledger.state import Unbonding
from derelayl_protocol.types import Timestamp, Wei

from .game import Game
from .relay import CREATOR, RULES, TRAINERS, UNKNOWN, VALIDATORS, root

FIRST, SECOND = TRAINERS[:2]
LEAVER = VALIDATORS[1]
PAID = replace(RULES, access_fee=Wei(101), access_pot_bps=3333)


# --- unbonding --------------------------------------------------------------------------------------------------------


def test_releasing_without_anything_unbonding() -> None:
    game = Game()
    game.relay.refuses(Reason.NOTHING_UNBONDING, LEAVER, commands.Release(game.model))
    game.relay.refuses(Reason.NOTHING_UNBONDING, FIRST, commands.Release(game.model))


def test_releasing_one_second_too_early() -> None:
    game = Game()
    game.relay.send(LEAVER, commands.Unstake(game.model))
    game.relay.evm.now = Timestamp(game.relay.evm.now + RULES.unbonding_seconds - 1)
    game.relay.refuses(Reason.TOO_EARLY, LEAVER, commands.Release(game.model))


def test_a_stake_returns_after_the_time_of_unbonding_and_once() -> None:
    game = Game()
    relay, free, stake = game.relay, game.relay.free(LEAVER), game.relay.stake(game.model, LEAVER)
    release_time = Timestamp(relay.evm.now + RULES.unbonding_seconds)
    recorded = relay.send(LEAVER, commands.Unstake(game.model))
    assert recorded == (events.Unstaked(game.model, LEAVER, stake, release_time),)
    assert (relay.free(LEAVER), relay.stake(game.model, LEAVER)) == (free, 0)
    assert relay.unbonding(game.model, LEAVER) == Unbonding(stake, release_time)
    game.check_money()
    relay.evm.now = release_time
    assert relay.send(LEAVER, commands.Release(game.model)) == (events.StakeReleased(game.model, LEAVER, stake),)
    assert relay.free(LEAVER) == free + stake
    assert relay.unbonding(game.model, LEAVER) == Unbonding(Wei(0), Timestamp(0))
    relay.refuses(Reason.NOTHING_UNBONDING, LEAVER, commands.Release(game.model))
    game.check_money()


def test_what_leaves_later_delays_what_left_before() -> None:
    game = Game()
    relay, stake = game.relay, game.relay.stake(game.model, LEAVER)
    relay.send(LEAVER, commands.Unstake(game.model))
    relay.evm.now = Timestamp(relay.evm.now + 100)
    relay.send(LEAVER, commands.Stake(game.model, RULES.validator_stake))
    relay.send(LEAVER, commands.Unstake(game.model))
    later = Timestamp(relay.evm.now + RULES.unbonding_seconds)
    assert relay.unbonding(game.model, LEAVER) == Unbonding(Wei(stake + RULES.validator_stake), later)
    relay.evm.now = Timestamp(later - 1)
    relay.refuses(Reason.TOO_EARLY, LEAVER, commands.Release(game.model))


def test_what_unbonds_in_one_model_is_nothing_in_another() -> None:
    game = Game()
    game.relay.send(LEAVER, commands.Unstake(game.model))
    (created, *_) = game.relay.send(CREATOR, commands.CreateModel(RULES, root(5), Wei(0)))
    assert isinstance(created, events.ModelCreated)
    assert game.relay.unbonding(created.model, LEAVER).amount == 0
    game.relay.refuses(Reason.NOTHING_UNBONDING, LEAVER, commands.Release(created.model))


@pytest.mark.parametrize(("slash_bps", "seated"), [(5000, True), (5001, False)])
def test_half_a_stake_is_enough_for_a_seat_and_less_is_not(slash_bps: int, seated: bool) -> None:
    rules = replace(RULES, slash_bps=slash_bps, committee_size=15, quorum=1, validator_stake=Wei(100_000))
    game = Game(rules, validators=1)
    game.to_commit(40)
    game.judge(None)  # voided: nobody committed
    assert game.number == 2
    half = game.relay.stake(game.model, VALIDATORS[0])
    assert half == 100_000 - 10 * slash_bps
    game.bid(40)
    game.match()
    assert (len(game.view.seats) == 1) is seated


# --- access -----------------------------------------------------------------------------------------------------------


def test_access_to_no_checkpoint() -> None:
    game = Game(PAID)
    game.relay.refuses(Reason.UNKNOWN_CHECKPOINT, FIRST, commands.BuyAccess(game.model, root(1)))
    game.relay.refuses(Reason.UNKNOWN_MODEL, FIRST, commands.BuyAccess(UNKNOWN, game.genesis))


def test_access_to_an_open_model_is_not_for_sale() -> None:
    game = Game()
    game.relay.refuses(Reason.NOT_FOR_SALE, FIRST, commands.BuyAccess(game.model, game.genesis))
    assert game.relay.view("accessOf", game.model, game.genesis, FIRST) is True


def test_buying_twice() -> None:
    game = Game(PAID)
    game.relay.send(FIRST, commands.BuyAccess(game.model, game.genesis))
    game.relay.refuses(Reason.ALREADY_BOUGHT, FIRST, commands.BuyAccess(game.model, game.genesis))


def test_buying_without_the_fee() -> None:
    game = Game(PAID)
    game.relay.send(FIRST, commands.Withdraw(Wei(game.relay.free(FIRST) - 100)))
    game.relay.refuses(Reason.INSUFFICIENT_BALANCE, FIRST, commands.BuyAccess(game.model, game.genesis))


def test_the_fee_goes_to_the_carry_and_to_the_lineage() -> None:
    game = Game(PAID)
    free = game.relay.free(FIRST)
    recorded = game.relay.send(FIRST, commands.BuyAccess(game.model, game.genesis))
    assert recorded == (events.AccessBought(game.model, game.genesis, FIRST, Wei(101), Wei(33)),)
    assert game.relay.free(FIRST) == free - 101
    assert game.relay.model(game.model).carry == 33
    record = game.relay.checkpoint(game.model, game.genesis)
    assert record is not None
    assert record.pending == 68
    game.check_money()


def test_access_is_the_buyer_s_and_the_owner_s_and_to_one_checkpoint() -> None:
    game = Game(PAID)
    game.play(*[(5000, 3000, -100)] * 3)
    child = root(1000)
    game.relay.send(SECOND, commands.BuyAccess(game.model, child))

    def access(name: bytes) -> list[bool]:
        return [game.relay.view("accessOf", game.model, name, owner) for owner in (FIRST, SECOND, CREATOR)]

    assert access(child) == [True, True, False]
    assert access(game.genesis) == [False, False, True]
