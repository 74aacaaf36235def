"""Whether cheating pays, and where people end up who try."""

from __future__ import annotations

import numpy as np
import pytest
from tests.simulations.world.builders import scenario

from derelayl_protocol.errors import LocalFault
from derelayl_simulations.scenarios.load import load
from derelayl_simulations.search.arena import arena, chosen
from derelayl_simulations.search.equilibrium import (
    best_response,
    deviations,
    deviations_of,
    replicator,
    replicators,
)

SMALL = {"rounds": 25, "share": 0.2, "agents": 3, "steps": 12}
NO_CONTROLS: dict[str, list[str]] = {"control": []}
MANY_TIPS = {"legs_per_tip": 4, "selected_share": 0.5, "min_bid": 1.0, "emission": 20.0, "offer_deposit": 0.5}
FROM_TIPS = {"start": "tip"}
PARENT = {"mechanism.base": "parent"}
EQUAL_TIPS = {"legs_per_tip": 16, "selected_share": 0.04}  # one tip lives, so there is no better tip to copy


def test_published_rules_know_no_strategies() -> None:
    with pytest.raises(LocalFault, match="published rules, which know no strategies"):
        deviations(load("published"), 1)


def test_a_world_earns_the_same_alone_and_beside_others() -> None:
    field = arena(scenario(people=24, relays=2, search=SMALL), [4])
    who = chosen(field.honest("trainer"), 3)
    alone = field.payoffs([{}])
    beside = field.payoffs([{"lazy": who}, {}, {"sybil": who}])
    assert (beside[1] == alone[0]).all()
    assert (beside[0] != alone[0]).any()


def test_many_worlds_are_played_in_batches_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    field = arena(scenario(people=24, search=SMALL), [4])
    who = chosen(field.honest("trainer"), 3)
    changes = [{}, {"lazy": who}, {"poisoner": who}]
    whole = field.payoffs(changes)
    monkeypatch.setattr("derelayl_simulations.search.arena.MAX_ACCOUNTS", field.people.places.accounts)
    assert (field.payoffs(changes) == whole).all()


def test_where_the_honest_start_from_the_average_a_merger_does_what_they_do() -> None:
    search = {"rounds": 20, "trainer": [], "validator": [], "rings": [], "control": ["merger"]}
    gains = {}
    for start in ("tip", "average"):
        found = deviations(scenario(people=60, relays=4, search=search, learning={"start": start}), 1)
        gains[start] = found["merger"].gain
    assert gains["tip"] > 0.1
    assert gains["average"] == pytest.approx(0, abs=1e-9)


def test_several_seeds_and_starts_side_by_side_come_to_what_each_comes_to_alone() -> None:
    search = {"rounds": 6, "steps": 2, "share": 0.2, "trainer": ["lazy", "sybil"], "validator": ["silent"], "rings": []}
    given = scenario(people=24, relays=2, search=search)
    assert deviations_of(given, [3, 7]) == [deviations(given, seed) for seed in (3, 7)]
    starts = [None, {"honest": 0.2, "lazy": 0.8}]
    for found, start in zip(replicators(given, 3, starts), starts, strict=True):
        alone = replicator(given, 3, start)
        assert (found.shares == alone.shares).all()
        assert np.array_equal(found.payoffs, alone.payoffs, equal_nan=True)


def test_useless_work_does_not_pay() -> None:
    found = deviations(scenario(people=40, relays=4, ledger=EQUAL_TIPS, search=SMALL), 1)
    for name in ("lazy", "poisoner", "copier", "free-rider", "silent", "guesser", "ring"):
        assert found[name].gain < 0, found[name]
    for name in ("lazy", "poisoner", "silent"):
        assert found[name].profit < 0, found[name]


def test_copying_the_best_tip_pays_where_tips_of_different_worth_live_side_by_side() -> None:
    """Where a score compares with the leased parent only: docs/SECURITY.md."""
    search = {"rounds": 60, "share": 0.1, "trainer": ["copier", "hopper"], "validator": [], "rings": []}
    given = scenario(people=100, relays=4, ledger=MANY_TIPS, search=search, learning=FROM_TIPS)
    found = deviations(given.with_values(PARENT), 1)
    assert found["copier"].gain > 0.3
    assert found["hopper"].gain > 0.1


def test_handing_over_what_anybody_can_make_pays_only_where_it_is_no_bar() -> None:
    search = {"rounds": 40, "share": 0.1, "trainer": ["averager", "copier"], "validator": [], "rings": []}
    gains = {}
    for base in ("parent", "public"):
        given = scenario(people=60, relays=4, search=search).with_values({"mechanism.base": base})
        gains[base] = {name: each.gain for name, each in deviations(given, 1).items()}
    assert gains["parent"]["averager"] > 0.3
    assert max(gains["public"]["averager"], gains["public"]["copier"]) < 0


def test_a_ring_pays_once_it_has_most_of_the_stake_and_not_before() -> None:
    gains = []
    for share in (0.1, 0.8):
        found = deviations(
            scenario(people=40, relays=4, search={"rounds": 25, "share": share, "trainer": [], "validator": []}), 1
        )
        gains.append(found["ring"].gain)
    assert gains[0] < 0 < gains[1]


def test_who_turns_to_many_accounts_has_them_and_an_honest_person_of_many_accounts_is_a_control() -> None:
    field = arena(scenario(people=24, search={"identities": 3}), [4])
    who = chosen(field.honest("trainer"), 2)
    for name, accounts in (("sybil", 3), ("half-sybil", 3), ("multi", 3), ("bold", 1), ("copier", 1)):
        assert (field.everybody([{name: who}]).identities[:, who] == accounts).all()
    found = deviations(scenario(people=24, search={**SMALL, "trainer": [], "validator": [], "rings": []}), 1)
    assert list(found) == ["bold", "multi", "merger"]


def test_with_churn_people_leave_a_world_that_does_not_pay_them_and_lose_less() -> None:
    patience = {"patience": 2}
    groups = [{"name": "t", "share": 0.7, **patience}, {"name": "v", "role": "validator", "share": 0.3, **patience}]
    found = {}
    for churn in (False, True):
        dear = {"energy_price": 50.0}
        given = scenario(people=24, groups=groups, costs=dear, outside=0.25, search={**SMALL, "churn": churn})
        found[churn] = arena(given, [4]).payoffs([{}])
    assert found[False].mean() < found[True].mean() < 0.25


@pytest.mark.parametrize(("name", "trainers"), [("crowded", 48), ("roomy", 24), ("alike", 48)])
def test_the_worlds_of_the_searches_have_as_many_trainers_as_they_say(name: str, trainers: int) -> None:
    field = arena(load(name), [0])
    assert field.role("trainer").sum() == trainers
    assert field.role("validator").sum() == 12
    alike = np.ptp(field.people.traits.quality[:, field.role("trainer")]) == 0
    assert alike == (name == "alike")


def test_deviations_are_those_that_somebody_can_try() -> None:
    groups = [
        {"name": "trainers", "share": 0.7},
        {"name": "v", "role": "validator", "strategy": "silent", "share": 0.3},
    ]
    found = deviations(scenario(groups=groups, search={**SMALL, "rings": []}), 1)
    assert {each.roles for each in found.values()} == {("trainer",)}


def test_best_response_stays_honest_where_no_deviation_pays() -> None:
    search = {**SMALL, **NO_CONTROLS, "trainer": ["lazy", "poisoner"], "validator": ["silent"], "rings": []}
    found = best_response(scenario(people=30, relays=2, search=search), 1)
    assert found.settled
    assert found.steps == ()
    assert found.start == {"trainer/honest": 1.0, "validator/honest": 1.0}


def test_best_response_finds_what_pays_and_stops_there() -> None:
    groups = [{"name": "trainers", "share": 0.6}, {"name": "validators", "role": "validator", "share": 0.4}]
    search = {**SMALL, **NO_CONTROLS, "rounds": 60, "trainer": ["hopper"], "validator": [], "rings": []}
    given = scenario(people=24, relays=6, groups=groups, search=search, ledger=MANY_TIPS, learning=FROM_TIPS)
    found = best_response(given, 1)
    assert found.steps
    assert all(step.gain > given.search.tolerance for step in found.steps)
    shares = found.shares()
    assert shares.shape == (len(found.steps) + 1, len(found.strategies))
    assert np.allclose(shares.sum(axis=1), 2)  # one for each role
    assert shares[-1][found.strategies.index("trainer/hopper")] > 0


def test_best_response_may_find_other_honest_work_to_be_better() -> None:
    search = {**SMALL, "trainer": ["lazy", "sybil"], "validator": [], "rings": []}
    found = best_response(scenario(people=30, relays=2, search=search), 1)
    assert {step.after for step in found.steps} <= {"multi", "bold"}
    assert found.settled


def test_best_response_is_the_same_for_the_same_seed() -> None:
    given = scenario(people=30, search={**SMALL, "trainer": ["copier", "lazy"], "validator": ["guesser"]})
    assert best_response(given, 7) == best_response(given, 7)


def test_the_replicator_drives_useless_strategies_down_to_the_floor() -> None:
    search = {"rounds": 20, "steps": 15, "trainer": ["lazy", "poisoner"], "floor": 0.05, "speed": 0.5}
    found = replicator(scenario(people=60, search=search), 1, {"honest": 0.4, "lazy": 0.3, "poisoner": 0.3})
    assert found.strategies == ("honest", "lazy", "poisoner")
    assert np.allclose(found.shares.sum(axis=1), 1)
    assert found.shares.min() >= 0.05 - 1e-12
    assert found.shares[-1][0] > 0.8
    assert found.payoffs.shape == (15, 3)


def test_a_step_of_the_replicator_does_not_mix_what_is_above_the_floor() -> None:
    search = {"rounds": 4, "steps": 1, "trainer": ["lazy"], "floor": 0.2, "speed": 1e-9}
    start = {"honest": 0.3, "lazy": 0.7}
    found = replicator(scenario(people=30, search=search), 1, start)
    assert found.shares == pytest.approx(np.array([[0.3, 0.7]] * 2))


def test_the_replicator_starts_nearly_honest_unless_told_otherwise() -> None:
    found = replicator(scenario(search={"rounds": 2, "steps": 1, "floor": 0.02}), 1)
    assert found.shares[0][0] == pytest.approx(1 - 0.02 * (len(found.strategies) - 1))
