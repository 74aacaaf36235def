"""Rules beside the contract's: what each pays, leases and judges, and that no money comes or goes by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulations.world.builders import played, scenario

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import UNAVAILABLE
from derelayl_simulations.ledger import CONTRACT
from derelayl_simulations.ledger.mechanism import KINDS, OWN, contract_rule, mechanism, rule
from derelayl_simulations.ledger.mechanism.port import Delivery, Gains, Matching, Payment
from derelayl_simulations.search.equilibrium import deviations, deviations_of

GAIN = st.integers(1, 20_000_000)


def weights(name: str, selected: Sequence[int], others: Sequence[int] = ()) -> list[int]:
    """What a payment gives the selected, in one relay with legs that are not, one of them never judged."""
    score = np.array([[*selected, *others, UNAVAILABLE]])
    first = np.arange(score.shape[1]) < len(selected)
    payment = rule("payment", name)
    assert isinstance(payment, Payment)
    found = payment.weights(Gains(score, score != UNAVAILABLE, first[None]))[0].tolist()
    assert found[len(selected) :] == [0] * (len(others) + 1)
    return found[: len(selected)]


def test_names_of_what_the_contract_runs_are_the_contract() -> None:
    assert mechanism({kind: contract_rule(kind) for kind in KINDS}) is CONTRACT


def test_payments_give_the_selected_their_parts() -> None:
    assert weights("proportional", [60, 20], [10]) == [60, 20]
    assert weights("best", [60, 20, 60]) == [1, 0, 0]
    assert weights("equal", [60, 20], [10]) == [1, 1]
    assert weights("ladder", [60, 20, 30]) == [20 // 3 + 10 // 2 + 30, 20 // 3, 20 // 3 + 10 // 2]
    assert weights("excess", [60, 20], [10, -5]) == [50, 10]
    assert weights("excess", [60, 20]) == [60, 20]
    assert weights("root", [400, 100]) == [20_000, 10_000]


@given(st.lists(GAIN, min_size=1, max_size=32))
def test_a_ladder_shares_out_the_best_gain_but_for_rounding(gains: list[int]) -> None:
    assert max(gains) - len(gains) < sum(weights("ladder", gains)) <= max(gains)


@given(st.lists(GAIN, min_size=1, max_size=8), st.integers(1, 24))
def test_paid_for_the_best_alone_no_copy_is_worth_anything(gains: list[int], copies: int) -> None:
    assert sum(weights("best", gains + [max(gains)] * copies)) == 1


def test_bonds_are_the_lowest_bid_or_each_its_own() -> None:
    bids = np.array([[50, 40, 30], [9, -1, -1], [-1, -1, -1]])
    trunk, first = rule("matching", "trunk"), rule("matching", "first-price")
    assert isinstance(trunk, Matching)
    assert isinstance(first, Matching)
    assert trunk.bonds(bids).tolist() == [[30, 30, 30], [9, 0, 0], [0, 0, 0]]
    assert first.bonds(bids).tolist() == [[50, 40, 30], [9, 0, 0], [0, 0, 0]]


def test_spread_legs_take_the_tips_in_turn() -> None:
    _, rounds = played(scenario(rounds=6).with_values({"mechanism.matching": "spread"}))
    tips = rounds[-1].leases.tip[rounds[-1].leases.is_leg]
    assert len(set(tips.tolist())) > 1
    assert np.ptp(np.bincount(tips)) <= 1
    _, rounds = played(scenario(rounds=6))
    assert len(set(rounds[-1].leases.tip[rounds[-1].leases.is_leg].tolist())) == 1


def test_a_tip_that_most_could_not_fetch_gives_no_selected_leg_and_stalls() -> None:
    tip, leg = np.array([[0, 0, 0, 0, 1, 1]]), np.ones((1, 6), np.bool_)
    came = np.array([[True, False, False, False, True, False]])
    everything, half = rule("delivery", "all"), rule("delivery", "half")
    assert isinstance(everything, Delivery)
    assert isinstance(half, Delivery)
    assert everything.counts(tip, leg, came).tolist() == came.tolist()
    assert half.counts(tip, leg, came)[0].tolist() == [False, False, False, False, True, False]


def test_who_serves_its_tip_to_nobody_gains_unless_it_must_deliver_half_of_the_legs() -> None:
    search = {"rounds": 40, "trainer": ["hostage"], "validator": [], "rings": [], "control": []}
    given = scenario(people=60, relays=8, search=search, seeders=0.0)
    gains = {}
    for name in ("all", "half"):
        found = deviations_of(given.with_values({"mechanism.delivery": name}), [1, 2, 3])
        gains[name] = np.mean([each["hostage"].gain for each in found])
    assert gains["all"] > 4 > 0.5 > gains["half"]


def test_where_copies_may_be_a_sybil_gains_and_where_none_is_missed_it_does_not() -> None:
    alike = {"world.learning.roughness": 0.0, "world.learning.noise": 0.0, "ledger.selected_share": 1.0}
    search = {"rounds": 20, "trainer": ["bold-sybil"], "validator": [], "rings": []}
    given = scenario(people=30, relays=4, search=search).with_values(alike)
    gains = {}
    for name in ("none", "exact"):
        gains[name] = deviations(given.with_values({"mechanism.duplicates": name}), 1)["bold-sybil"].gain
    assert gains["none"] > 0.3 > gains["exact"]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in OWN[kind]])
def test_no_rule_makes_or_loses_money(kind: str, name: str) -> None:
    world, _ = played(scenario(rounds=12).with_values({f"mechanism.{kind}": name}))
    assert int(world.book.total().sum()) == world.book.deposited
    assert all(values.min() >= 0 for values in (world.book.free, world.book.stake, world.book.carry))


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("payment", "best:2", "payment best has no dial: leave out :2"),
        ("score", "mean", "mean is no rule of score, which are median"),
        ("base", "Parent", r"mechanism\.base is 'Parent'"),
    ],
)
def test_a_rule_that_there_is_not_is_refused_by_name(kind: str, text: str, says: str) -> None:
    with pytest.raises(LocalFault, match=says):
        scenario().with_values({f"mechanism.{kind}": text})
