"""A plan is drawn from its number alone and never asks more of a network than it has promised."""

from __future__ import annotations

from .faults import Kill, Pause
from .plan import MOST_DOWN, PEERS, QUIET_ROUNDS, SEEDER, VALIDATORS, bearable, draw, kill_one_in_each_leg

NUMBERS = range(500)


def test_a_number_draws_the_same_plan_again() -> None:
    assert [draw(number) for number in NUMBERS] == [draw(number) for number in NUMBERS]
    assert len({str(draw(number)) for number in NUMBERS}) == len(NUMBERS)


def test_the_steady_seeder_is_honest_and_meets_no_fault() -> None:
    for number in NUMBERS:
        plan = draw(number)
        assert SEEDER in plan.honest
        assert all(SEEDER not in fault.whom for fault in plan.faults)


def test_most_of_the_committee_is_honest() -> None:
    assert all(2 * len(draw(number).dishonest & set(VALIDATORS)) < len(VALIDATORS) for number in NUMBERS)


def test_the_last_rounds_are_quiet() -> None:
    assert all(draw(number).faults_end <= draw(number).rounds - QUIET_ROUNDS for number in NUMBERS)


def test_never_more_peers_are_crippled_at_one_time_than_allowed() -> None:
    assert MOST_DOWN == 1
    assert bearable((Kill(start=1, length=1, whom=("p1",)), Pause(start=1.5, length=1, whom=("p1",))))
    assert not bearable((Kill(start=1, length=1, whom=("p1",)), Pause(start=1.5, length=1, whom=("p2",))))
    assert all(bearable(draw(number).faults) for number in NUMBERS)


def test_for_goodput_a_peer_dies_in_every_leg() -> None:
    plan = kill_one_in_each_leg(3, rounds=8)
    assert [int(fault.start) for fault in plan.faults] == list(range(8))
    assert {name for number in NUMBERS for fault in kill_one_in_each_leg(number).faults for name in fault.whom} == set(
        PEERS
    )


def test_a_plan_reads_as_what_will_happen() -> None:
    assert str(kill_one_in_each_leg(3)).startswith("plan 3: 6 rounds, relayed\n  from 0.")
