"""The virtual world: a number gives the same run again, faults and adversaries have their effect, promises hold."""

from __future__ import annotations

from functools import cache

import pytest

from derelayl_protocol.ledger import events as ev
from derelayl_protocol.types import UNAVAILABLE
from tests.chaos import adversaries as bad
from tests.chaos import faults
from tests.chaos.adversaries import Adversary
from tests.chaos.faults import Fault
from tests.chaos.oracle import Facts, goodput, rounds_lost, violations
from tests.chaos.plan import Plan, kill_one_in_each_leg

from .many import Tally, try_seeds, virtual_plan
from .world import KEYS, VILLAINS, play

SEEDS = (*range(20), 32, 35, 37, 39, 790)
"""A sample; `python -m tests.chaos --seeds 0:1000` plays more."""

WHOLE = 3.0
"""Rounds: as long as the short runs of these tests."""


@cache
def run(*happenings: Fault | Adversary, number: int = 2) -> Facts:
    """Three rounds under these faults and adversaries alone."""
    chosen = tuple(each for each in happenings if isinstance(each, Fault))
    villains = tuple(each for each in happenings if isinstance(each, Adversary))
    return play(Plan(number, 3, chosen, villains))[0]


def of(facts: Facts, kind: type[ev.Event]) -> list[ev.Event]:
    return [event for event in facts.events if isinstance(event, kind)]


def scores_of(facts: Facts, name: str) -> list[int]:
    """What the committee gave to the legs of a peer."""
    leases = {
        (each.round, each.leg)
        for each in facts.events
        if isinstance(each, ev.LegLeased) and each.trainer == KEYS[name].address
    }
    settled = (each for each in facts.events if isinstance(each, ev.LegSettled) and each.child != bytes(32))
    return [each.score for each in settled if (each.round, each.leg) in leases]


@pytest.mark.parametrize("number", SEEDS)
def test_a_drawn_plan_breaks_no_promise(number: int) -> None:
    facts, _ = play(virtual_plan(number))
    assert violations(facts) == (), str(virtual_plan(number))


@pytest.mark.parametrize("number", [8, 33])
def test_a_number_gives_the_same_run_again(number: int) -> None:
    assert play(virtual_plan(number))[1] == play(virtual_plan(number))[1]


def test_another_number_gives_another_run() -> None:
    assert play(Plan(2, 3, (), ()))[1] != play(Plan(6, 3, (), ()))[1]


@pytest.mark.parametrize("number", [0, 1])
def test_one_of_seven_peers_killed_in_each_leg_costs_no_round_and_little_work(number: int) -> None:
    facts, _ = play(kill_one_in_each_leg(number))
    assert violations(facts) == ()
    assert goodput(facts) >= 0.85
    assert rounds_lost(facts) == 0


# --- what goes wrong is felt ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        faults.Kill(start=0, length=WHOLE, whom=("p4",)),
        faults.Pause(start=0.2, length=WHOLE, whom=("p4",)),
        faults.ChainDown(start=0.2, length=WHOLE, whom=("p4",)),
        faults.OutOfGas(start=0.2, length=WHOLE, whom=("p4",)),
        faults.RpcLies(start=0.2, length=WHOLE, whom=("p4",), lie=faults.Lie.GARBAGE),
        faults.RpcLies(start=0.2, length=WHOLE, whom=("p4",), lie=faults.Lie.FORGETS),
        faults.RpcLimits(start=0.2, length=WHOLE, whom=("p4",), share=1.0),
        faults.RpcLimits(start=0.2, length=WHOLE, whom=("p4",), refusal=faults.Refusal.SENDS, share=1.0),
    ],
    ids=lambda fault: f"{type(fault).__name__} {getattr(fault, 'lie', getattr(fault, 'refusal', ''))}",
)
def test_a_validator_that_is_kept_from_the_ledger_reveals_nothing_and_the_others_go_on(fault: Fault) -> None:
    facts = run(fault)
    voices = {event.validator for event in of(facts, ev.ScoresRevealed) if isinstance(event, ev.ScoresRevealed)}
    assert voices == {KEYS[name].address for name in ("p5", "p6")}
    assert of(facts, ev.RoundSettled)
    assert not of(facts, ev.RoundVoided)


def test_a_busy_machine_and_a_slow_disk_take_longer_than_a_phase() -> None:
    busy = run(faults.BusyMachine(start=0, length=WHOLE, whom=("p1", "p2", "p3"), factor=20.0))
    assert not of(busy, ev.LegSubmitted)


def test_a_full_disk_loses_the_leg_and_not_the_trainer() -> None:
    facts = run(faults.FullDisk(start=0.2, length=WHOLE, whom=("p1",)))
    assert KEYS["p1"].address not in {
        each.trainer for each in of(facts, ev.LegSubmitted) if isinstance(each, ev.LegSubmitted)
    }
    assert facts.leaks == ()


def test_a_peer_that_is_cut_off_judges_nothing_as_available() -> None:
    facts = run(faults.Partition(start=0.3, length=WHOLE, whom=("p4",)))
    reveals = [each for each in of(facts, ev.ScoresRevealed) if isinstance(each, ev.ScoresRevealed)]
    theirs = [each.scores for each in reveals if each.validator == KEYS["p4"].address]
    assert all(score == UNAVAILABLE for scores in theirs for score in scores)


def test_gossip_that_is_lost_does_not_stop_relayed_rounds() -> None:
    facts = run(faults.Loss(start=0, length=WHOLE, whom=("p1", "p4"), share=1.0), number=9)
    assert of(facts, ev.RoundSettled)


def test_a_reorganisation_replaces_blocks_and_every_index_follows() -> None:
    facts = run(faults.Reorganise(start=0.9, length=0.0))
    assert violations(facts) == ()
    assert facts.events != run().events


def test_a_clock_that_jumps_breaks_no_promise() -> None:
    assert violations(run(faults.ClockJump(start=0.5, length=1.0, whom=("p4",), seconds=30.0))) == ()


# --- adversaries are noticed ------------------------------------------------------------------------------------------


def test_a_child_that_is_withheld_or_names_another_parent_or_is_copied_is_unavailable() -> None:
    for kind in (bad.WithholdingDonor, bad.StaleParent, bad.CopiedChild):
        facts = run(kind(whom=("p1",)))
        assert violations(facts) == ()
        late = scores_of(facts, "p1")[1:] if kind is bad.StaleParent else scores_of(facts, "p1")
        assert set(late) <= {UNAVAILABLE}, kind


def test_two_children_under_one_lease_cost_the_bid() -> None:
    facts = run(bad.Equivocation(whom=("p1",)))
    caught = [event for event in of(facts, ev.TrainerEquivocated) if isinstance(event, ev.TrainerEquivocated)]
    assert {event.trainer for event in caught} == {KEYS["p1"].address}


def test_a_partial_validator_pays_or_is_outvoted() -> None:
    facts = run(bad.ColludingMinority(whom=("p4",), friends=("p1",)))
    assert violations(facts) == ()
    assert all(score > 0 for score in scores_of(facts, "p2") + scores_of(facts, "p3") if score != UNAVAILABLE)


@pytest.mark.parametrize("kind", [bad.CorruptDonor, bad.Replay, bad.GossipFlood])
def test_noise_changes_nothing_for_the_others(kind: type[Adversary]) -> None:
    facts = run(kind(whom=("p6",)))
    assert violations(facts) == ()
    assert len(of(facts, ev.RoundSettled)) == len(of(run(), ev.RoundSettled))


def test_every_adversary_but_those_of_sockets_is_played_here() -> None:
    assert set(bad.KINDS) - set(VILLAINS) == {bad.SilentConnections, bad.Eclipse}


# --- many -------------------------------------------------------------------------------------------------------------


def test_a_tally_names_the_plans_that_broke_a_promise() -> None:
    tally = Tally(plans=4, broken={3: ("why",)}, goodputs=[1.0, 0.5], lost=1, seconds=2.0)
    assert str(tally) == (
        "4 plans, 1 broke a promise; goodput 0.750 (least 0.500); 1 rounds void; 0.50 s of processor time each"
    )


def test_many_plans_are_played_one_after_the_other() -> None:
    lines: list[str] = []
    assert try_seeds([22], lines.append).plans == 1
    assert lines == []
