from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tests.simulations.world.builders import HONEST, generator, played, scenario

from derelayl_protocol.ledger.experience import BID_SHARE, BID_STEP, CURIOSITY, RISK, TRIALS, WINDOW, Experience
from derelayl_protocol.limits import MAX_BIDS
from derelayl_simulations.ledger import NOBODY
from derelayl_simulations.world.bidding import learn_to_bid, offers, place_bids, serving, willing
from derelayl_simulations.world.luck import Luck, draw
from derelayl_simulations.world.opening import open_world
from derelayl_simulations.world.state import World


def fresh(people: int = 60, **words: Any) -> tuple[World, Luck]:
    given = scenario(people=people, **words)
    world, _ = open_world(given, 1)
    places = world.people.places
    return world, draw(generator(), 1, places.accounts, places.people, given.ledger.committee_size)


def test_only_trainers_who_are_there_and_up_want_a_leg() -> None:
    world, _ = fresh()
    world.round = 5
    world.present[0, 1] = False
    world.crash_from[0, 2], world.crash_until[0, 2] = 4, 6
    wants = willing(world)[0]
    assert wants.tolist() == [False if place in (1, 2) else bool(world.trainers[place]) for place in range(60)]


def test_legs_that_did_not_pay_are_tried_by_the_curious_only() -> None:
    for curiosity, rounds, any_left in ((0.0, 1_000, False), (1.0, 1, True), (0.1, 9, False), (0.1, 10, True)):
        world, _ = fresh(curiosity=curiosity)
        world.income.leg[:], world.income.legs[:], world.income.lost[:] = -1.0, 10, TRIALS
        world.leased[:], world.round = 7, 7 + rounds
        assert willing(world).any() == any_left


def test_people_decide_as_the_trainers_of_a_node_do() -> None:
    """Random histories of sixty people beside as many nodes' experience, round by round."""
    world, luck = fresh(groups=[{"name": "trainers", "share": 1.0, "risk": RISK, "boldness": 1.0}])
    luck = replace(luck, bid=np.full_like(luck.bid, 0.5))
    assert world.trainers.all()
    rng, people, coin = generator(3), world.present.shape[1], world.ledger.wei_per_coin
    nodes, newest = [Experience()] * people, [world.round] * people
    odds, floor = rng.random(people), world.book.rules.min_bid
    for _ in range(300):
        world.round += 1
        world.reward[:] = coin * rng.integers(1, 30)
        wants = willing(world)[0]
        expected = [node.wants(world.round - last) for node, last in zip(nodes, newest, strict=True)]
        assert wants.tolist() == expected
        bids = place_bids(world, wants[None], luck)
        purse = world.book.free[0]
        for account, amount in zip(bids.account[0], bids.amount[0], strict=True):
            if account != NOBODY:
                assert amount == int(nodes[account].bid(world.reward[0], floor, purse[account]))
        leased = wants & (rng.random(people) < 0.7)
        brought = np.where(rng.random(people) < odds, 3.0, -1.0)
        learn_to_bid(world, wants[None], leased[None])
        world.income.remember_legs(leased[None], brought[None])
        world.leased[0, leased] = world.round
        for person in np.flatnonzero(wants):
            nodes[person] = nodes[person].with_round(bool(leased[person]), float(brought[person]))
            newest[person] = world.round if leased[person] else newest[person]
    assert world.income.legs[0].max() > 5 * world.income.legs[0].min()  # some paused for long


def test_what_nobody_sets_is_the_same_here_and_on_a_node() -> None:
    world, _ = fresh()
    settings = world.settings
    assert (settings.window, settings.curiosity) == (WINDOW, CURIOSITY)
    assert (settings.bid_share, settings.bid_step) == (BID_SHARE, BID_STEP)
    assert {group.risk.mean for group in settings.group} == {RISK}


def test_the_wary_want_more_than_an_even_bet() -> None:
    groups = [{**HONEST[0], "risk": 0.5}, HONEST[1]]
    world, _ = fresh(groups=groups, curiosity=0.0)
    world.income.legs[:], world.income.leg[:], world.income.lost[:] = 10, 1.0, 1
    world.income.leg_square[:] = 1.0 + 1.9**2
    assert willing(world)[0, 0]
    world.income.leg_square[:] = 1.0 + 2.1**2
    assert not willing(world)[0, 0]


def test_the_highest_bids_take_the_places_and_nobody_bids_beyond_its_purse() -> None:
    world, luck = fresh(people=100)
    world.reward[:] = 1e12
    bids = place_bids(world, willing(world), luck)
    assert bids.account.shape == (1, MAX_BIDS)
    world.settings = world.settings.model_copy(update={"bid_share": 10.0})
    high = place_bids(world, willing(world), luck)
    assert (high.amount <= world.book.free[0, high.account[0]]).all()
    assert high.amount.min() > bids.amount.min()


def test_who_cannot_pay_the_least_bid_does_not_bid() -> None:
    world, luck = fresh(groups=[{**HONEST[0], "capital": 0.05}, HONEST[1]])
    assert (place_bids(world, willing(world), luck).account == NOBODY).all()


def test_bids_rise_for_who_missed_legs_that_pay_and_fall_for_who_got_legs_that_do_not() -> None:
    world, _ = fresh(people=10)
    wanted, leased = np.zeros((2, 1, 10), bool)
    wanted[0, :4], leased[0, [1, 3]] = True, True
    world.income.leg[0, :2], world.income.leg[0, 2:4] = 1.0, -1.0
    learn_to_bid(world, wanted, leased)
    assert world.eagerness[0, :5].round(6).tolist() == [1.05, 0.9875, 1.0, 0.95, 1.0]


def test_withholders_neither_offer_nor_serve_and_who_is_down_does_not_serve() -> None:
    groups = [{**HONEST[0], "strategy": "withholder"}, HONEST[1]]
    world, _ = fresh(groups=groups)
    assert not offers(world).any()
    assert not serving(world).any()
    honest, _ = fresh()
    assert offers(honest).all()
    honest.crash_from[:], honest.crash_until[:] = 0, 0
    assert not serving(honest).any()


def test_a_tip_that_nobody_serves_can_be_continued_by_its_owner_alone() -> None:
    groups = [{**HONEST[0], "strategy": "withholder"}, HONEST[1]]
    for seeders, others in ((0.0, False), (1.0, True)):
        _, rounds = played(scenario(groups=groups, seeders=seeders, rounds=6, curiosity=1.0, churn=False))
        submitted, own = [], []
        for each in rounds:
            legs = each.training.legs
            owner = each.leases.owner[legs.relay, legs.number]
            submitted += each.training.deeds.submitted.tolist()
            own += (owner == legs.trainer).tolist()
        assert any(done for done, mine in zip(submitted, own, strict=True) if not mine) == others
        assert any(submitted) >= others


def test_no_one_else_pays_for_a_leg_that_could_not_be_fetched() -> None:
    groups = [{**HONEST[0], "strategy": "withholder"}, HONEST[1]]
    _, rounds = played(scenario(groups=groups, seeders=0.0, rounds=3, churn=False))
    for each in rounds:
        lost = ~each.training.deeds.submitted
        assert lost.any()
        assert (each.training.deeds.effort[lost] == 0).all()
