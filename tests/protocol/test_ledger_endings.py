"""Settlements on the ledger: claims, payments, the next round."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from derelayl_protocol.encoding import word
from derelayl_protocol.errors import Reason
from derelayl_protocol.ledger.commands import Stake, Unstake
from derelayl_protocol.ledger.events import (
    DepositReturned,
    LegSettled,
    PhaseChanged,
    RoundSettled,
    ValidatorCharged,
    ValidatorPaid,
    ValidatorSlashed,
)
from derelayl_protocol.ledger.phases import Phase
from derelayl_protocol.ledger.state import CheckpointRecord, TipEntry
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, Ppm, Timestamp, Wei

from .relay import GENESIS, JUDGES, NO_SCORE, OWNER, STRANGER, TRAINERS, Relay, in_phase, of, root, with_rules


def test_a_settlement_in_a_wrong_order_is_refused() -> None:
    relay = in_phase(Phase.SETTLE)
    assert relay.settling().leg_order == (0, 1)
    relay.refuse(Reason.WRONG_ORDER, STRANGER, replace(relay.settling(), leg_order=(1, 0)))


def test_a_settlement_with_seats_in_a_wrong_order_is_refused() -> None:
    relay = in_phase(Phase.SETTLE)
    assert relay.settling().seat_order == (0, 1, 2, 0, 1, 2)
    relay.refuse(Reason.WRONG_SEAT_ORDER, STRANGER, replace(relay.settling(), seat_order=(0, 1, 2, 0, 2, 1)))


def test_a_settlement_pays_in_the_order_of_the_protocol() -> None:
    relay = Relay(with_rules(committee_size=5))
    relay.do(TRAINERS[5], Stake(relay.model, Wei(1_004)))
    relay.lease(300, 200)
    relay.train()
    relay.judge((4_000, 2_000), (2_000, 4_000), None, (4_000, 2_000), (4_000, 2_000))
    first, straying, silent, second, third = relay.seated()
    stakes = dict(relay.held.stakes)
    slash = stakes[silent] // 10
    balances = {account: relay.free(account) for account in (OWNER, *TRAINERS[:2], *relay.seated())}
    events = relay.settle()

    pot = 200 + 5 + slash + 10_000
    reward, royalty, share = pot * 6 // 10, pot // 4, pot * 15 // 100 // 5
    carry = pot - reward - royalty - 3 * share + share
    won, lost = root("round 1 leg 0"), root("round 1 leg 1")
    full = Ppm(10**6)
    assert events == (
        LegSettled(
            relay.model, 1, 0, won, Ppm(4_000), True, Wei(reward), Wei(royalty), bid_returned=Wei(200), forfeited=Wei(0)
        ),
        DepositReturned(relay.model, 1, GENESIS, OWNER, Wei(5)),
        LegSettled(relay.model, 1, 1, lost, Ppm(2_000), False, Wei(0), Wei(0), Wei(0), forfeited=Wei(205)),
        ValidatorPaid(relay.model, 1, first, full, Wei(share)),
        ValidatorCharged(relay.model, 1, straying, full, Wei(share)),
        ValidatorSlashed(relay.model, 1, silent, Wei(slash)),
        ValidatorPaid(relay.model, 1, second, full, Wei(share)),
        ValidatorPaid(relay.model, 1, third, full, Wei(share)),
        RoundSettled(relay.model, 1, 1, Wei(pot), Wei(10_000), Wei(carry)),
        PhaseChanged(relay.model, 2, Phase.BID, Timestamp(0)),
    )
    assert relay.free(OWNER) == balances[OWNER] + 5
    assert relay.free(TRAINERS[0]) == balances[TRAINERS[0]] + 200 + reward
    assert relay.free(TRAINERS[1]) == balances[TRAINERS[1]]
    assert relay.free(first) == balances[first] + share
    assert relay.held.stakes == {**stakes, silent: stakes[silent] - slash, straying: stakes[straying] - share}
    assert (relay.held.budget, relay.held.carry, relay.held.settled_rounds) == (90_000, carry, 1)
    assert relay.held.checkpoints[GENESIS].pending == royalty


def test_the_selected_children_become_the_tips_and_scores_add_up() -> None:
    relay = Relay(with_rules(selection_bps=10_000))
    relay.whole_round((100, 90), (2_000, 3_000))
    second, first = root("round 1 leg 1"), root("round 1 leg 0")
    assert relay.round.tips == (
        TipEntry(second, TRAINERS[1], Ppm(3_000), offered=False),
        TipEntry(first, TRAINERS[0], Ppm(2_000), offered=False),
    )
    relay.whole_round((100,), (1_500,))
    child = root("round 2 leg 0")
    assert relay.held.checkpoints[child] == CheckpointRecord(TRAINERS[0], second, Ppm(4_500), 2, Wei(0))


def test_when_nothing_is_selected_the_old_tips_stay_and_no_emission_is_drawn() -> None:
    relay = Relay()
    events = relay.whole_round((100,), (999,))
    assert [tip.root for tip in relay.round.tips] == [GENESIS]
    assert of(RoundSettled, events) == [RoundSettled(relay.model, 1, 0, Wei(105), Wei(0), Wei(105))]
    assert relay.held.settled_rounds == 1


def test_legs_not_submitted_are_settled_too() -> None:
    relay = Relay()
    relay.lease(100, 90)
    relay.train(0)
    relay.judge(*[(UNAVAILABLE, 5_000)] * 3)
    events = relay.settle()
    assert of(LegSettled, events)[0] == LegSettled(
        relay.model, 1, 0, NO_ROOT, NO_SCORE, False, Wei(0), Wei(0), Wei(0), Wei(90)
    )
    assert [event.amount for event in of(DepositReturned, events)] == [5, 5]


def test_two_legs_of_one_child_make_one_checkpoint() -> None:
    relay = Relay(with_rules(selection_bps=10_000))
    relay.lease(100, 90)
    relay.submit(0, "twin")
    relay.submit(1, "twin")
    relay.judge(*[(5_000, 5_000)] * 3)
    assert [event.selected for event in of(LegSettled, relay.settle())] == [True, False]
    assert relay.held.checkpoints[root("twin")].owner == TRAINERS[0]


def test_two_legs_that_most_of_the_committee_calls_one_make_one_checkpoint() -> None:
    relay = Relay(with_rules(selection_bps=10_000))
    relay.lease(100, 90)
    relay.train()
    relay.judge(*[(5_000, 5_000)] * 3, originals=(0, 0))
    lost = of(LegSettled, relay.settle())[1]
    assert (lost.selected, lost.forfeited) == (False, 95)
    assert [tip.root for tip in relay.round.tips] == [root("round 1 leg 0")]


def forked() -> Relay:
    """A relay with two tips in its second round, the first of them the better one."""
    relay = Relay(with_rules(selection_bps=10_000))
    relay.whole_round((100, 90), (3_000, 2_000))
    return relay


def test_a_tip_whose_legs_mostly_stay_out_goes_behind_the_others() -> None:
    relay = forked()
    better, worse = relay.round.tips
    relay.lease(100, 90)
    assert {leg.parent for leg in relay.round.legs} == {better.root}
    relay.advance()
    assert [tip.stalled for tip in relay.round.tips] == [True, False]
    relay.lease(100, 90)
    assert {leg.parent for leg in relay.round.legs} == {worse.root}
    relay.train()
    relay.judge(*[(0, 0)] * 3)
    relay.settle()
    assert [tip.stalled for tip in relay.round.tips] == [True, False], "nobody continued it: its mark stays"
    relay.whole_round((100, 90), (3_000, 2_000))
    assert [tip.stalled for tip in relay.round.tips] == [False, False], "these are new"


def test_when_the_last_tip_stalls_all_begin_again() -> None:
    relay = forked()
    for stalled in ([True, False], [False, False]):
        relay.lease(100)
        relay.advance()
        assert [tip.stalled for tip in relay.round.tips] == stalled


def test_a_committee_that_fails_stalls_no_tip_that_was_continued() -> None:
    relay = forked()
    relay.lease(100, 90)
    relay.train(1)
    relay.advance()
    assert [tip.stalled for tip in relay.round.tips] == [False, False]


def test_a_round_without_a_committee_leaves_the_marks() -> None:
    relay = forked()
    relay.lease(100)
    relay.advance()
    for judge in JUDGES[:3]:
        relay.do(judge, Unstake(relay.model))
    relay.lease(100)
    assert (relay.number, relay.round.phase) == (4, Phase.BID)
    assert [tip.stalled for tip in relay.round.tips] == [True, False]


def test_the_next_round_begins_empty_with_a_seed_of_its_own() -> None:
    relay = in_phase(Phase.SETTLE)
    seed = hashlib.sha256(relay.held.next_seed + word(2)).digest()
    relay.settle()
    assert (relay.round.number, relay.round.phase, relay.round.deadline) == (2, Phase.BID, 0)
    assert (relay.round.bids, relay.round.legs, relay.round.seats) == ((), (), ())
    assert (relay.round.seed, relay.held.next_seed) == (seed, seed)


def test_the_last_to_reveal_can_only_choose_between_two_seeds() -> None:
    seeds = set()
    for silent in (False, True):
        relay = Relay()
        relay.lease(100)
        relay.train()
        relay.judge((2_000,), (2_000,), None if silent else (2_000,))
        relay.settle()
        seeds.add(relay.round.seed)
    assert len(seeds) == 2


def test_the_emission_halves_with_the_settled_rounds() -> None:
    relay = Relay()
    emissions = [event.emission for _ in range(5) for event in of(RoundSettled, relay.whole_round((100,), (2_000,)))]
    assert emissions == [10_000, 10_000, 5_000, 5_000, 2_500]
